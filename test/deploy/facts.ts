import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { formatProblems, checkConfig } from '../../config/load.ts';
import { planPipelines } from '../../config/plan.ts';
import type { OtlpConfig } from '../../config/schema-components.ts';
import type { Config } from '../../config/schema.ts';
import { parseEndpoint } from '../../services/endpoint.ts';
import { read, repository } from './strict-yaml.ts';

/** The pipeline file of k8s/ and docker-compose.yml. */
export const PIPELINE = 'config/examples/cluster.yaml';

/** What the code says of a pipeline file: manifests must agree with it. */
export interface Facts {
  readonly ports: { readonly grpc: number; readonly http: number; readonly sql: number; readonly health: number };
  readonly drain_s: number;
  readonly partitions: number;
  readonly brokers: readonly string[];
  /** With the prefix, as Kafka sees them. */
  readonly topics: readonly string[];
  readonly groups: { readonly sample: readonly string[]; readonly write: readonly string[] };
  /** The topics that a group reads. */
  readonly reads: ReadonlyMap<string, readonly string[]>;
  /** Bytes that one replica of sample may come to hold, when it has all partitions. */
  readonly heldBytes: number;
  /** Environment variables that the file names; those without a default must be set. */
  readonly environment: { readonly names: ReadonlySet<string>; readonly required: ReadonlySet<string> };
}

/** @throws AssertionError where the file has errors or warnings under this environment */
export function factsOf(text: string, environment: Readonly<Record<string, string>>): Facts {
  const { config, problems } = checkConfig(PIPELINE, text, environment);
  assert.equal(formatProblems(PIPELINE, problems), '');
  const plan = planPipelines(config!);
  const { kafka, sql, limits } = config!.tailrace;
  assert.ok(kafka !== undefined, 'the file names no Kafka');
  const port = (address: string): number => parseEndpoint(address, 'address').port;
  const receiver = otlpReceiver(config!);
  const prefixed = (name: string): string => kafka.topic_prefix + name;
  const reads = new Map<string, string[]>();
  for (const stage of plan.sample) reads.set(prefixed(stage.name), [prefixed(stage.topic)]);
  for (const stage of plan.write)
    reads.set(
      prefixed(stage.name),
      stage.topics.map(({ topic }) => prefixed(topic)),
    );
  const held = plan.sample.map((stage) => stage.tail?.config.held_bytes_max ?? 0);
  const uses = [...text.replaceAll(/^\s*#.*$/gm, '').matchAll(/\$\{env:([A-Za-z0-9_]+)(:-)?/g)];
  return {
    ports: {
      grpc: port(receiver.grpc),
      http: port(receiver.http),
      sql: port(sql.endpoint),
      health: port(config!.service.telemetry.metrics.address),
    },
    drain_s: limits.drain_timeout / 1000,
    partitions: kafka.partitions,
    brokers: kafka.brokers,
    topics: plan.topics.map(prefixed),
    groups: { sample: plan.sample.map(({ name }) => prefixed(name)), write: plan.write.map(({ name }) => prefixed(name)) },
    reads,
    heldBytes: held.reduce((sum, bytes) => sum + bytes, 0) * kafka.partitions,
    environment: {
      names: new Set(uses.map((use) => use[1]!)),
      required: new Set(uses.filter((use) => use[2] === undefined).map((use) => use[1]!)),
    },
  };
}

/** Every address that others connect to must not be on the loopback of a container. */
export function loopback(text: string, environment: Readonly<Record<string, string>>): string[] {
  const { config } = checkConfig(PIPELINE, text, environment);
  const receiver = otlpReceiver(config!);
  const addresses = [receiver.grpc, receiver.http, config!.tailrace.sql.endpoint, config!.service.telemetry.metrics.address];
  return addresses.filter((address) => /^(?:127\.|localhost|\[::1\])/.test(address));
}

function otlpReceiver(config: Config): { readonly grpc: string; readonly http: string } {
  const { grpc, http } = (config.receivers.get('otlp') as OtlpConfig).protocols;
  assert.ok(grpc !== undefined && http !== undefined, 'both protocols are wanted');
  return { grpc: grpc.endpoint, http: http.endpoint };
}

export const pipelineText = (): string => read(PIPELINE);

let commands: ReadonlySet<string> | undefined;

/** The subcommands that `tailrace --help` lists. */
export function tailraceCommands(): ReadonlySet<string> {
  if (commands !== undefined) return commands;
  const { stdout, status } = spawnSync(process.execPath, [`${repository}/services/launch.js`, '--help'], { encoding: 'utf8' });
  assert.equal(status, 0);
  commands = new Set([...stdout.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map((match) => match[1]!));
  assert.ok(commands.size >= 5, `--help lists ${commands.size} commands`);
  return commands;
}
