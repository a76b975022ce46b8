import { join } from 'node:path';
import type { WriteStage } from '../config/plan.ts';
import { OperatorError } from '../pipelines/base/errors.ts';
import { openEmbeddedTopics, type EmbeddedTopics } from '../pipelines/topic/embedded.ts';
import { startEmbeddedClickhouse } from './embedded-clickhouse-parent.ts';
import { parseEndpoint } from './endpoint.ts';
import { runRole } from './role.ts';
import type { Running } from './running.ts';
import { groupsOf } from './settings.ts';
import { welcome } from './welcome.ts';

const USAGE = `Runs the whole line in one process: receives OTLP, samples whole traces, makes metrics from spans, stores it all in
the embedded ClickHouse, and answers SQL. Nothing else is needed; the data folder holds everything.

Usage: tailrace standalone [--config FILE]

  --config FILE   the pipeline file (default config/tailrace.yaml)

Ctrl-C stops: what was acknowledged is in the log, and what waits for a decision goes on at the next start.
`;

/** The role `standalone`: all of them in one process, over the embedded log and the embedded ClickHouse. */
export function runStandalone(argv: string[]): Promise<number> {
  return runRole(argv, { usage: USAGE, prepare: startClickhouse, start });
}

async function start(running: Running): Promise<string> {
  const topics = await openLog(running);
  const addressOf = ({ config }: WriteStage): string => {
    if (config.endpoint !== 'embedded') return config.endpoint;
    if (running.clickhouseUrl !== undefined) return running.clickhouseUrl;
    throw new OperatorError('the embedded ClickHouse was not started with this process', 'Restart it: a reload cannot add the engine.');
  };
  await running.startStores(topics, addressOf, true);
  await running.startSamplers(topics);
  await running.startReceivers(topics);
  return welcome({ ...running.addresses, sql: running.clickhouseUrl, metrics: running.observer, data: running.directory });
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

async function startClickhouse(base: Running): Promise<void> {
  if (!base.plan.write.some((stage) => stage.config.endpoint === 'embedded')) return;
  const { host, port } = parseEndpoint(base.config.tailrace.sql.endpoint, 'tailrace.sql.endpoint');
  const clickhouse = await startEmbeddedClickhouse({ directory: base.directory, host, port, log: base.log });
  base.add(() => clickhouse.stop(), clickhouse.failed);
  base.clickhouseUrl = clickhouse.url;
}
