import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts, type Running, start, temporaryFolder, until } from './process.ts';

const root = new URL('../../', import.meta.url).pathname;

/** What the roles of a line share. */
export interface LineParts {
  readonly brokers: readonly string[];
  readonly clickhouse: string;
  readonly redis?: string;
  readonly prefix: string;
  readonly partitions: number;
  readonly decisionWait: string;
}

/** A pipeline file for many processes: errors are kept and every span is counted. */
export function writeLineFile(parts: LineParts): string {
  const file = join(temporaryFolder('line'), 'pipeline.yaml');
  writeFileSync(
    file,
    `receivers:
  otlp:
    protocols:
      grpc: { endpoint: "\${env:GRPC:-127.0.0.1:0}" }
      http: { endpoint: "\${env:HTTP:-127.0.0.1:0}" }
processors:
  tail_sampling:
    decision_wait: ${parts.decisionWait}
    late_wait: 10s
    policies:
      - { name: errors, type: status_code, status_code: { status_codes: [ERROR] } }
connectors:
  spanmetrics: { metrics_flush_interval: 2s }
exporters:
  clickhouse: { endpoint: "${parts.clickhouse}", batch: { timeout: 500ms } }
service:
  telemetry:
    logs: { level: info }
    metrics: { address: "\${env:METRICS:-127.0.0.1:0}" }
  pipelines:
    traces/all: { receivers: [otlp], exporters: [spanmetrics] }
    traces: { receivers: [otlp], processors: [tail_sampling], exporters: [clickhouse] }
    metrics/spans: { receivers: [spanmetrics], exporters: [clickhouse] }
    logs: { receivers: [otlp], exporters: [clickhouse] }
tailrace:
  sql: { endpoint: "\${env:SQL:-127.0.0.1:0}" }
  kafka: { brokers: [${parts.brokers.map((broker) => `"${broker}"`).join(', ')}], topic_prefix: "${parts.prefix}", partitions: ${parts.partitions}, replication_factor: 1 }
${parts.redis === undefined ? '' : `  redis: { url: "${parts.redis}", key_prefix: "${parts.prefix}" }\n`}`,
  );
  return file;
}

export interface RoleProcess {
  readonly name: string;
  readonly process: Running;
  readonly metricsPort: number;
  readonly env: Record<string, string>;
}

/** Starts one role as a process and waits until it is ready. */
export async function startRole(name: string, file: string, env: Record<string, string> = {}): Promise<RoleProcess> {
  const [metricsPort] = (await freePorts(1)) as [number];
  const process = start(globalThis.process.execPath, ['services/launch.js', name, '--config', file], {
    cwd: root,
    env: { ...env, METRICS: `127.0.0.1:${metricsPort}` },
  });
  let over = false;
  void process.ended.then(() => {
    over = true;
  });
  await until(
    `${name} to be ready`,
    async () => {
      if (over) return true;
      return (await fetch(`http://127.0.0.1:${metricsPort}/readyz`)).ok;
    },
    60_000,
  );
  if (over) throw new Error(`${name} ended at start:\n${process.output()}`);
  return { name, process, metricsPort, env };
}

/** Runs a command to its end. @throws with its output where it fails */
export async function runCommand(args: readonly string[]): Promise<string> {
  const command = start(globalThis.process.execPath, ['services/launch.js', ...args], { cwd: root });
  const code = await command.ended;
  if (code !== 0) throw new Error(`tailrace ${args.join(' ')} ended with ${code}:\n${command.output()}`);
  return command.output();
}
