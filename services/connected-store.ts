import type { WriteStage } from '../config/plan.ts';
import type { Clock } from '../pipelines/base/clock.ts';
import type { StageCounters } from '../pipelines/base/counters.ts';
import type { Log } from '../pipelines/base/log.ts';
import { createStore, storeDefaults, type Store } from '../pipelines/store/client.ts';
import { syncInserts } from '../pipelines/store/durable.ts';
import { migrate } from '../pipelines/store/migrate.ts';
import type { Topics } from '../pipelines/topic/topic.ts';
import { writeDefaults } from './write-settings.ts';
import { migrateSettings } from './settings.ts';
import { startWrite } from './write.ts';

export interface ConnectedStore {
  /** Its id in the file. */
  readonly exporter: string;
  /** The consumer group that fills it. */
  readonly group: string;
  readonly store: Store;
  /** Letters written to the dead-letter topic, by reason. */
  readonly deadLetters: ReadonlyMap<string, number>;
  readonly counters: readonly StageCounters[];
  outageSince_ms(): number | undefined;
  stop(): Promise<void>;
  readonly failed: Promise<never>;
}

const MIGRATE_RETRY_MS = [500, 15_000] as const;

/**
 * A store with its tables and its write role. Where ClickHouse is down the role starts once the tables could be made; ingest does not wait for it.
 * `makesTables` false: another process makes them (`jobs`, `tailrace migrate`), and inserts wait for them.
 */
export async function connectStore(
  parts: { readonly clock: Clock; readonly log: Log },
  stage: WriteStage,
  url: string,
  topics: Topics,
  makesTables: boolean,
): Promise<ConnectedStore> {
  const { clock, log } = parts;
  const { config } = stage;
  const settings = { ...storeDefaults, url, username: config.username, password: config.password };
  // The database is made by the migration, so the client that makes it must not name it.
  const admin = createStore(settings);
  const store = createStore({ ...settings, database: config.database });
  const tables = async (): Promise<void> => {
    if (!makesTables || !config.create_schema) return;
    await migrate(admin, migrateSettings(config), log);
    if (config.endpoint === 'embedded') await syncInserts(admin, config.database);
  };
  const write = () =>
    startWrite({
      settings: {
        ...writeDefaults,
        group: stage.name,
        topics: stage.topics,
        batch_rows_max: config.batch.rows_max,
        batch_bytes_max: config.batch.bytes_max,
        batchWait_ms: config.batch.timeout,
      },
      topics,
      store,
      log,
      clock,
    });
  const stopped = new AbortController();
  let running: Awaited<ReturnType<typeof write>> | undefined;
  let downSince_ms: number | undefined;
  const { promise: failed, reject } = Promise.withResolvers<never>();
  // Nobody may be listening yet, and nobody need be: the race in standalone listens soon.
  failed.catch(() => undefined);
  const begin = async (): Promise<void> => {
    let delay_ms: number = MIGRATE_RETRY_MS[0];
    while (!stopped.signal.aborted) {
      try {
        await tables();
        running = await write();
        running.failed.catch(reject);
        if (downSince_ms !== undefined) log.info({ url }, 'ClickHouse is there');
        downSince_ms = undefined;
        return;
      } catch (error) {
        if (downSince_ms === undefined) log.warn({ err: error, url }, 'cannot make the tables yet: data waits in the log');
        downSince_ms ??= clock.now_ms();
        await clock.sleep(delay_ms, stopped.signal);
        delay_ms = Math.min(delay_ms * 2, MIGRATE_RETRY_MS[1]);
      }
    }
  };
  const beginning = begin();
  // The embedded engine is up: wait for its tables, so that "ready" means that SQL works.
  if (config.endpoint === 'embedded') await beginning;
  return {
    exporter: stage.exporter,
    group: stage.name,
    store,
    get deadLetters() {
      return running?.deadLetters ?? new Map<string, number>();
    },
    get counters() {
      return running?.counters ?? [];
    },
    outageSince_ms: () => downSince_ms ?? running?.outageSince_ms(),
    failed,
    stop: async () => {
      stopped.abort();
      await beginning;
      await running?.drain();
      await Promise.all([admin.close(), store.close()]);
    },
  };
}
