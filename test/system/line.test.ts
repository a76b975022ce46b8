import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestClickhouse, type TestClickhouse } from '../kit/clickhouse.ts';
import { startKafka, type Kafka } from '../kit/kafka.ts';
import { runCommand, startRole, writeLineFile, type RoleProcess } from '../kit/line.ts';
import { traces } from '../kit/otlp.ts';
import { freePorts, until } from '../kit/process.ts';
import { seeded } from '../kit/random.ts';

/** The roles as processes over a real broker and the real engine: killed, scaled, cut off. */

let kafka: Kafka;
let clickhouse: TestClickhouse;
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));

before(async () => {
  console.log(`SEED=${seed}`);
  [kafka, clickhouse] = await Promise.all([startKafka(), startTestClickhouse()]);
});
after(async () => {
  await clickhouse.stop();
  await kafka.stop();
});

const SPANS = 3;

/** Sends whole traces, each span in a request of its own, until told to stop; remembers those whose every span was acknowledged. */
class Load {
  readonly kept = new Set<string>();
  readonly dropped = new Set<string>();
  private readonly port: number;
  private sent = 0;
  private going = true;
  private readonly done: Promise<void>;

  constructor(port: number) {
    this.port = port;
    this.done = this.run();
  }

  async stop(): Promise<void> {
    this.going = false;
    await this.done;
  }

  private async run(): Promise<void> {
    while (this.going) {
      const batch = Array.from({ length: 8 }, () => {
        const n = ++this.sent;
        return { id: `${n.toString(16).padStart(16, '0')}${(n * 2654435761).toString(16).padStart(16, '0')}`, error: n % 2 === 0 };
      });
      let whole = true;
      for (let span = 1; span <= SPANS; span++) {
        const body = traces(
          batch.map(({ id, error }, n) => ({
            trace: id,
            span: `${this.sent - n}${span}`,
            status: error && span === SPANS ? 2 : 0,
            start_ns: BigInt(Date.now()) * 1_000_000n,
          })),
        );
        whole = (await this.post(body)) && whole;
      }
      // Of a trace that was not acknowledged whole nobody can say what is stored.
      if (whole) for (const { id, error } of batch) (error ? this.kept : this.dropped).add(id);
    }
  }

  private async post(body: Buffer): Promise<boolean> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.port}/v1/traces`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-protobuf' },
        body,
        signal: AbortSignal.timeout(20_000),
      });
      await response.arrayBuffer();
      return response.status === 200;
    } catch {
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
      return false;
    }
  }
}

/** Every acknowledged trace with an error is stored whole, every span of it once; none of the others is. */
async function assertExact(load: Load, database = 'default'): Promise<void> {
  const stored = async (): Promise<Map<string, { spans: number; distinct: number }>> => {
    const rows = await clickhouse.rows<{ TraceId: string; n: string; d: string }>(
      `SELECT TraceId, count() AS n, uniqExact(SpanId) AS d FROM ${database}.otel_traces GROUP BY TraceId`,
    );
    return new Map(rows.map((row) => [row.TraceId, { spans: Number(row.n), distinct: Number(row.d) }]));
  };
  await until(
    'every kept trace to be stored',
    async () => {
      const rows = await stored();
      return [...load.kept].every((id) => rows.get(id)?.distinct === SPANS);
    },
    60_000,
    250,
  );
  const rows = await stored();
  const twice = [...rows].filter(([, row]) => row.spans !== row.distinct);
  assert.deepEqual(twice, [], 'spans stored twice');
  assert.deepEqual(
    [...load.dropped].filter((id) => rows.has(id)),
    [],
    'traces stored that should have been dropped',
  );
}

test('line: kill -9 of any role under load, again and again: every kept trace is stored whole, every span once', async () => {
  const file = writeLineFile({ brokers: kafka.brokers, clickhouse: clickhouse.url, prefix: 'kill.', partitions: 4, decisionWait: '2s' });
  console.log(await runCommand(['topics', '--config', file]));
  await runCommand(['migrate', '--config', file]);
  const [http, grpc] = (await freePorts(2)) as [number, number];
  const env = { HTTP: `127.0.0.1:${http}`, GRPC: `127.0.0.1:${grpc}` };
  const roles = new Map<string, RoleProcess>();
  for (const name of ['ingest', 'sample', 'write']) roles.set(name, await startRole(name, file, env));
  const load = new Load(http);
  const random = seeded(seed);
  for (const name of ['sample', 'write', 'ingest', 'sample', 'write']) {
    const goal = load.kept.size + 20 + Math.floor(random() * 60);
    await until('some load', () => load.kept.size >= goal, 60_000);
    await roles.get(name)!.process.end('SIGKILL');
    roles.set(name, await startRole(name, file, env));
  }
  const goal = load.kept.size + 50;
  await until('load after the last kill', () => load.kept.size >= goal, 60_000);
  await load.stop();
  await assertExact(load);
  console.log(`${load.kept.size} traces kept, ${load.dropped.size} dropped, 5 kills`);
  for (const role of roles.values()) assert.equal(await role.process.end('SIGTERM'), 0, role.process.output());
});

test('line: one, three, two samplers under load: the same', async () => {
  const file = writeLineFile({ brokers: kafka.brokers, clickhouse: clickhouse.url, prefix: 'scale.', partitions: 4, decisionWait: '2s' });
  await runCommand(['migrate', '--config', file]);
  await clickhouse.store.command({ query: 'TRUNCATE TABLE otel_traces' });
  await runCommand(['topics', '--config', file]);
  const [http, grpc] = (await freePorts(2)) as [number, number];
  const env = { HTTP: `127.0.0.1:${http}`, GRPC: `127.0.0.1:${grpc}` };
  const ingest = await startRole('ingest', file, env);
  const write = await startRole('write', file, env);
  const samples = [await startRole('sample', file, env)];
  const load = new Load(http);
  const more = async (): Promise<void> => {
    const goal = load.kept.size + 60;
    await until('more load', () => load.kept.size >= goal, 60_000);
  };
  await more();
  samples.push(...(await Promise.all([startRole('sample', file, env), startRole('sample', file, env)])));
  await more();
  assert.equal(await samples.shift()!.process.end('SIGTERM'), 0);
  await more();
  await load.stop();
  await assertExact(load);
  console.log(`${load.kept.size} traces kept, ${load.dropped.size} dropped, 1 → 3 → 2 samplers`);
  for (const role of [ingest, write, ...samples]) assert.equal(await role.process.end('SIGTERM'), 0, role.process.output());
});

test('line: with Kafka away, ingest answers at once that it is to be sent again, is not ready, and recovers alone', async () => {
  const file = writeLineFile({ brokers: kafka.brokers, clickhouse: clickhouse.url, prefix: 'away.', partitions: 2, decisionWait: '1s' });
  await runCommand(['topics', '--config', file]);
  const [http, grpc] = (await freePorts(2)) as [number, number];
  const ingest = await startRole('ingest', file, { HTTP: `127.0.0.1:${http}`, GRPC: `127.0.0.1:${grpc}` });
  const send = (): Promise<Response> =>
    fetch(`http://127.0.0.1:${http}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: traces([{ start_ns: BigInt(Date.now()) * 1_000_000n }]),
      // What was on its way when the broker went waits for it: it may have been stored.
      signal: AbortSignal.timeout(1_000),
    });
  assert.equal((await send()).status, 200);
  await kafka.kill();
  await until('ingest to say that it is busy, at once', async () => {
    const started = performance.now();
    const response = await send();
    return response.status === 503 && Number(response.headers.get('retry-after')) >= 1 && performance.now() - started < 1_000;
  });
  await until('readiness to be false', async () => (await fetch(`http://127.0.0.1:${ingest.metricsPort}/readyz`)).status === 503);
  await kafka.restart();
  await until('ingest to take data again', async () => (await send()).status === 200, 60_000);
  await until('readiness to be true', async () => (await fetch(`http://127.0.0.1:${ingest.metricsPort}/readyz`)).ok);
  assert.equal(await ingest.process.end('SIGTERM'), 0, ingest.process.output());
});
