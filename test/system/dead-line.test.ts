import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestClickhouse, type TestClickhouse } from '../kit/clickhouse.ts';
import { startKafka, type Kafka } from '../kit/kafka.ts';
import { runCommand, startRole, writeLineFile } from '../kit/line.ts';
import { logs } from '../kit/otlp.ts';
import { freePorts, until } from '../kit/process.ts';

let kafka: Kafka;
let clickhouse: TestClickhouse;
before(async () => {
  [kafka, clickhouse] = await Promise.all([startKafka(), startTestClickhouse()]);
});
after(async () => {
  await clickhouse.stop();
  await kafka.stop();
});

test('over Kafka, with two write replicas: the row at fault is listed at either of them and stored by a replay', async () => {
  const file = writeLineFile({ brokers: kafka.brokers, clickhouse: clickhouse.url, prefix: 'dead.', partitions: 2, decisionWait: '2s' });
  await runCommand(['topics', '--config', file]);
  await runCommand(['migrate', '--config', file]);
  await clickhouse.store.command({ query: "ALTER TABLE otel_logs ADD CONSTRAINT c CHECK Body != 'poison'" });
  const [http, grpc] = (await freePorts(2)) as [number, number];
  const ingest = await startRole('ingest', file, { HTTP: `127.0.0.1:${http}`, GRPC: `127.0.0.1:${grpc}` });
  const writes = [await startRole('write', file), await startRole('write', file)];
  const dead = (at: number, ...argv: string[]): Promise<string> =>
    runCommand(['dead', ...argv, '--url', `http://127.0.0.1:${writes[at]!.metricsPort}`]);
  const bodies = ['a', 'poison', 'b', 'c'];
  const response = await fetch(`http://127.0.0.1:${http}/v1/logs`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf' },
    // One trace: one partition, one batch.
    body: logs(bodies.map((body, n) => ({ body, time_ns: BigInt(Date.now()) * 1_000_000n, trace: 'abc', span: String(n + 1) }))),
  });
  assert.equal(response.status, 200);
  const stored = async (): Promise<string[]> =>
    (await clickhouse.rows<{ Body: string }>('SELECT Body FROM otel_logs ORDER BY Body')).map((row) => row.Body);
  await until('the dead letter', async () => (await dead(0, 'list')).includes('violated_constraint'));
  assert.match(await dead(1, 'show', '0'), /"stringValue": "poison"/);
  await until('the good rows', async () => (await stored()).length === 3);
  assert.deepEqual(await stored(), ['a', 'b', 'c']);
  await clickhouse.store.command({ query: 'ALTER TABLE otel_logs DROP CONSTRAINT c' });
  assert.match(await dead(1, 'replay', '--all'), /^1 replayed\n/m);
  assert.match(await dead(0, 'replay', '--all'), /^0 replayed\n/m);
  assert.deepEqual(await stored(), ['a', 'b', 'c', 'poison']);
  assert.match(await dead(0, 'list'), /no dead letters/);
  for (const role of [...writes, ingest]) assert.equal(await role.process.end('SIGTERM'), 0, role.process.output());
});
