import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLog } from '../../pipelines/base/log.ts';
import { createStore, storeDefaults, type Store } from '../../pipelines/store/client.ts';
import { startEmbeddedClickhouse, type EmbeddedClickhouse } from '../../services/embedded-clickhouse-parent.ts';

export interface TestClickhouse {
  readonly engine: EmbeddedClickhouse;
  readonly url: string;
  readonly directory: string;
  readonly store: Store;
  /** Rows of a query. */
  rows<T = Record<string, unknown>>(query: string): Promise<T[]>;
  stop(): Promise<void>;
}

/** The real engine in its own process, in a folder of its own. About a second. */
export async function startTestClickhouse(): Promise<TestClickhouse> {
  const directory = await mkdtemp(join(tmpdir(), 'tailrace-clickhouse-'));
  const engine = await startEmbeddedClickhouse({ directory, host: '127.0.0.1', port: 0, log: createLog('silent') });
  const store = createStore({ ...storeDefaults, url: engine.url });
  return {
    engine,
    url: engine.url,
    directory,
    store,
    rows: async <T>(query: string) => (await store.query({ query, format: 'JSONEachRow' })).json<T>(),
    async stop() {
      await store.close();
      await engine.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
