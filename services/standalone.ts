import { join } from 'node:path';
import { openEmbeddedTopics, type EmbeddedTopics } from '../pipelines/topic/embedded.ts';
import { connectStore } from './connected-store.ts';
import { startEmbeddedClickhouse } from './embedded-clickhouse-parent.ts';
import { parseEndpoint } from './endpoint.ts';
import { runRole, type Running } from './role.ts';
import { startSample } from './sample.ts';
import { groupsOf, sampleSettings } from './settings.ts';
import { welcome } from './welcome.ts';

const USAGE = `Runs the whole line in one process: receives OTLP, samples whole traces, makes metrics from spans, stores it all in
the embedded ClickHouse, and answers SQL. Nothing else is needed; the data folder holds everything.

Usage: tailrace standalone [--config FILE]

  --config FILE   the pipeline file (default config/tailrace.yaml)

Ctrl-C stops: what was acknowledged is in the log, and what waits for a decision goes on at the next start.
`;

/** The role `standalone`: all of them in one process, over the embedded log and the embedded ClickHouse. */
export function runStandalone(argv: string[]): Promise<number> {
  return runRole(argv, USAGE, async (running) => {
    // The log first: it locks the data folder.
    const topics = await openLog(running);
    const url = await startClickhouse(running);
    for (const stage of running.plan.write) {
      const store = await connectStore(running, stage, stage.config.endpoint === 'embedded' ? url! : stage.config.endpoint, topics);
      running.stores.push(store);
      running.add(() => store.stop(), store.failed);
    }
    for (const stage of running.plan.sample) {
      const settings = sampleSettings(stage, running.config.tailrace);
      const sample = await startSample({ settings, topics, clock: running.clock, log: running.log });
      running.samples.push(sample);
      running.add(() => sample.stop(), sample.failed);
    }
    await running.startReceivers(topics);
    return welcome({ ...running.addresses, sql: url, metrics: running.observer, data: running.directory });
  });
}

async function openLog(running: Running): Promise<EmbeddedTopics> {
  const { plan, log, clock } = running;
  const settings = running.config.tailrace.log;
  const groups = groupsOf(plan);
  const topics = await openEmbeddedTopics({
    directory: join(running.directory, 'log'),
    topics: Object.fromEntries(plan.topics.map((topic) => [topic, settings.partitions])),
    groups,
    bytes_max: settings.bytes_max,
    retention_ms: settings.retention,
    recordBytes_max: settings.record_bytes_max * 2,
    clock,
    log,
  });
  running.add(() => topics.close());
  running.topics = topics;
  for (const [topic, names] of Object.entries(groups)) for (const group of names) running.groups.push({ group, topic });
  running.metrics.push(() => {
    const { used_bytes, file_bytes } = topics.usage();
    return [
      { name: 'tailrace_log_bytes', help: 'Bytes that the embedded log holds.', kind: 'gauge', value: used_bytes },
      { name: 'tailrace_log_file_bytes', help: 'Bytes of its file; free pages are used again.', kind: 'gauge', value: file_bytes },
    ];
  });
  return topics;
}

/** The engine's address; undefined where every exporter names a server. */
async function startClickhouse(running: Running): Promise<string | undefined> {
  if (!running.plan.write.some((stage) => stage.config.endpoint === 'embedded')) return undefined;
  const { host, port } = parseEndpoint(running.config.tailrace.sql.endpoint, 'tailrace.sql.endpoint');
  const clickhouse = await startEmbeddedClickhouse({ directory: running.directory, host, port, log: running.log });
  running.add(() => clickhouse.stop(), clickhouse.failed);
  return clickhouse.url;
}
