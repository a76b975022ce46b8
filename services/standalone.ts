import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Plan } from '../config/plan.ts';
import type { Config } from '../config/schema.ts';
import { wallClock } from '../pipelines/base/clock.ts';
import { createLog, type Log } from '../pipelines/base/log.ts';
import { openEmbeddedTopics } from '../pipelines/topic/embedded.ts';
import { planOrExplain } from './check.ts';
import { startEmbeddedClickhouse } from './embedded-clickhouse-parent.ts';
import { formatEndpoint, parseEndpoint } from './endpoint.ts';
import { startIngest, type Ingest } from './ingest.ts';
import { startObserver } from './observe.ts';
import { startSample, type Sample } from './sample.ts';
import { groupsOf, ingestSettings, sampleSettings } from './settings.ts';
import { connectStore, type ConnectedStore } from './standalone-store.ts';
import { samplesOf } from './standalone-metrics.ts';
import { welcome } from './welcome.ts';

const USAGE = `Runs the whole line in one process: receives OTLP, samples whole traces, makes metrics from spans, stores it all in
the embedded ClickHouse, and answers SQL. Nothing else is needed; the data folder holds everything.

Usage: tailrace standalone [--config FILE]

  --config FILE   the pipeline file (default config/tailrace.yaml)

Ctrl-C stops: what was acknowledged is in the log, and what waits for a decision goes on at the next start.
`;

/** Starts the parts in order and stops them in reverse. */
export async function runStandalone(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: { help: { type: 'boolean', short: 'h' }, config: { type: 'string', default: 'config/tailrace.yaml' } },
  });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { config, plan } = planOrExplain(values.config);
  const log = createLog(config.service.telemetry.logs.level);
  const stops: (() => Promise<void>)[] = [];
  const failures: Promise<never>[] = [];
  try {
    await startParts(config, plan, log, stops, failures);
    await Promise.race([stopSignal(log), ...failures]);
    return 0;
  } finally {
    for (const stop of stops.toReversed()) await stop();
  }
}

async function startParts(config: Config, plan: Plan, log: Log, stops: (() => Promise<void>)[], failures: Promise<never>[]): Promise<void> {
  const { tailrace } = config;
  const directory = resolve(tailrace.data_dir);
  const clock = wallClock;
  const state = { ready: false, ingests: [] as Ingest[], samples: [] as Sample[], stores: [] as ConnectedStore[] };

  // The log first: it locks the data folder, so that a second process is refused before it touches anything.
  const topics = await openEmbeddedTopics({
    directory: join(directory, 'log'),
    topics: Object.fromEntries(plan.topics.map((topic) => [topic, tailrace.log.partitions])),
    groups: groupsOf(plan),
    bytes_max: tailrace.log.bytes_max,
    retention_ms: tailrace.log.retention,
    recordBytes_max: tailrace.log.record_bytes_max * 2,
    clock,
    log,
  });
  stops.push(() => topics.close());

  const health = parseEndpoint(config.service.telemetry.metrics.address, 'service.telemetry.metrics.address');
  const observer = await startObserver(health, {
    stages: () => [...state.ingests, ...state.stores, ...state.samples].flatMap((part) => part.counters),
    samples: () => samplesOf({ ...state, plan, topics }),
    notReady: () => [...(state.ready ? [] : ['starting']), ...state.ingests.flatMap((ingest) => ingest.admission.whyBusy()?.message ?? [])],
  });
  stops.push(() => observer.stop());

  const sql = parseEndpoint(tailrace.sql.endpoint, 'tailrace.sql.endpoint');
  const embedded = plan.write.some((stage) => stage.config.endpoint === 'embedded');
  const clickhouse = embedded ? await startEmbeddedClickhouse({ directory, host: sql.host, port: sql.port, log }) : undefined;
  if (clickhouse !== undefined) {
    stops.push(() => clickhouse.stop());
    failures.push(clickhouse.failed);
  }
  for (const stage of plan.write) {
    const store = await connectStore({
      stage,
      url: stage.config.endpoint === 'embedded' ? clickhouse!.url : stage.config.endpoint,
      directory,
      topics,
      clock,
      log,
    });
    state.stores.push(store);
    stops.push(() => store.stop());
    failures.push(store.failed);
  }
  for (const stage of plan.sample) {
    const sample = await startSample({ settings: sampleSettings(stage, tailrace), topics, clock, log });
    state.samples.push(sample);
    stops.push(() => sample.stop());
    failures.push(sample.failed);
  }
  const addresses = { grpc: [] as string[], http: [] as string[] };
  for (const id of config.receivers.keys()) {
    const settings = ingestSettings(id, config, plan);
    if (settings.branches.length === 0) continue;
    const ingest = await startIngest({ settings, topics, log, clock });
    state.ingests.push(ingest);
    stops.push(() => ingest.drain());
    for (const protocol of ['grpc', 'http'] as const) {
      const port = ingest.listening[protocol];
      if (port !== undefined) addresses[protocol].push(formatEndpoint(settings[protocol]!.host, port));
    }
  }
  state.ready = true;
  process.stdout.write(
    welcome({
      ...addresses,

      sql: clickhouse?.url,
      metrics: `http://${formatEndpoint(health.host, observer.port)}`,
      data: directory,
    }),
  );
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once, which loses nothing either: the log replays. */
function stopSignal(log: Log): Promise<void> {
  return new Promise((done) => {
    let asked = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (asked) process.exit(130);
        asked = true;
        log.info({ signal }, 'draining; once more ends at once');
        done();
      });
    }
  });
}
