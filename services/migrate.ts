import { parseArgs } from 'node:util';
import { parseDuration } from '../config/duration.ts';
import type { WriteStage } from '../config/plan.ts';
import { wallClock } from '../pipelines/base/clock.ts';
import { OperatorError } from '../pipelines/base/errors.ts';
import { createLog, type Log } from '../pipelines/base/log.ts';
import { createStore, storeDefaults } from '../pipelines/store/client.ts';
import { migrate } from '../pipelines/store/migrate.ts';
import { planOrExplain } from './check.ts';
import { migrateSettings } from './settings.ts';

const USAGE = `Creates the tables of a pipeline file's ClickHouse exporters, or brings them to this version, and sets their retention. Safe to run again.

Usage: tailrace migrate --config FILE [--wait 60s]

  --wait TIME   how long to wait for a server that does not answer yet (default 60s)
`;

const RETRY_MS = 1_000;

/** `tailrace migrate`. */
export async function runMigrate(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: { help: { type: 'boolean', short: 'h' }, config: { type: 'string' }, wait: { type: 'string', default: '60s' } },
  });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const wait_ms = parseDuration(values.wait);
  if (values.config === undefined || wait_ms === undefined)
    throw new OperatorError(
      values.config === undefined ? 'migrate needs a file' : `--wait ${values.wait} is not a duration`,
      'Example: tailrace migrate --config config/examples/cluster.yaml --wait 60s',
    );
  const { config, plan } = planOrExplain(values.config);
  const log = createLog(config.service.telemetry.logs.level);
  for (const stage of plan.write) {
    const done = await migrateStage(stage, wait_ms, log);
    const { endpoint, database } = stage.config;
    process.stdout.write(
      `${stage.exporter}: ${endpoint}, database ${database}: ${done.length === 0 ? 'up to date' : `applied ${done.join(', ')}`}\n`,
    );
  }
  return 0;
}

/** Tables and retention of one exporter; waits for the server. @throws OperatorError where it does not answer in time, the server's error where it refuses */
export async function migrateStage(stage: WriteStage, wait_ms: number, log: Log): Promise<string[]> {
  const { config } = stage;
  const url = serverOf(stage);
  const store = createStore({ ...storeDefaults, url, username: config.username, password: config.password });
  const end_ms = wallClock.now_ms() + wait_ms;
  try {
    for (;;) {
      const answer = await store.ping({ select: true });
      if (answer.success) return await migrate(store, migrateSettings(config), log);
      if (wallClock.now_ms() > end_ms)
        throw new OperatorError(
          `ClickHouse at ${url} does not answer: ${answer.error.message}`,
          `Start it, or set exporters.${stage.exporter}.endpoint, username and password.`,
        );
      await wallClock.sleep(RETRY_MS);
    }
  } finally {
    await store.close();
  }
}

/** The server's address. @throws OperatorError for the embedded engine, which only standalone has */
export function serverOf(stage: { readonly exporter: string; readonly config: { readonly endpoint: string } }): string {
  const { endpoint } = stage.config;
  if (endpoint !== 'embedded') return endpoint;
  throw new OperatorError(
    `exporters.${stage.exporter}.endpoint is "embedded", which only standalone has`,
    'Name a ClickHouse server, such as http://clickhouse:8123.',
  );
}
