import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { logs, type AttributeValue } from '../kit/otlp.ts';
import { until } from '../kit/process.ts';
import { startTailrace, type Tailrace } from '../kit/tailrace.ts';

interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function dead(tailrace: Tailrace, ...argv: string[]): Promise<Ran> {
  const url = `http://127.0.0.1:${tailrace.ports.metrics}`;
  return new Promise((resolve) => {
    execFile(process.execPath, ['services/launch.js', 'dead', ...argv, '--url', url], (error, stdout, stderr) =>
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

async function send(tailrace: Tailrace, bodies: AttributeValue[]): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${tailrace.ports.http}/v1/logs`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf' },
    body: logs(bodies.map((body, n) => ({ body, time_ns: BigInt(Date.now()) * 1_000_000n, trace: 'abc', span: String(n + 1) }))),
  });
  assert.equal(response.status, 200);
}

async function command(tailrace: Tailrace, sql: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${tailrace.ports.sql}/`, { method: 'POST', body: sql });
  assert.equal(response.status, 200, await response.text());
}

test('a row that ClickHouse refuses is listed with its reason, shown, and stored by a replay once the constraint is gone; the rows beside it are stored once', async () => {
  let tailrace = await startTailrace();
  const bodies = async (): Promise<unknown[]> => (await tailrace.sql('SELECT Body FROM otel_logs ORDER BY Body')).map((row) => row['Body']);
  await command(tailrace, "ALTER TABLE otel_logs ADD CONSTRAINT c CHECK Body != 'poison'");
  const good = Array.from({ length: 200 }, (_, n) => `good ${String(n).padStart(3, '0')}`);
  await send(tailrace, [...good.slice(0, 77), 'poison', ...good.slice(77)]);
  await until('the dead letter', async () => (await tailrace.metric('tailrace_dead_letters_total', 'reason="violated_constraint"')) === 1);
  await until('the good rows', async () => (await bodies()).length >= good.length);
  assert.deepEqual(await bodies(), good);
  assert.equal(await tailrace.metric('tailrace_items_imbalance'), 0);
  assert.equal(await tailrace.metric('tailrace_items_dropped_total', 'reason="dead_letter"'), 1);
  assert.equal(await tailrace.metric('tailrace_lag_records', 'topic="dead"'), 1);

  const list = await dead(tailrace, 'list');
  assert.equal(list.status, 0, list.stderr);
  assert.match(
    list.stdout,
    /^NUMBER +TIME \(UTC\) +SIGNAL +REASON +TABLE +FROM +TRACE\/SPAN +MESSAGE\n0 .* logs +violated_constraint +otel_logs +logs\/\d@\d+#77 +0+abc\/0+78 /,
  );
  const show = await dead(tailrace, 'show', '0');
  assert.match(show.stdout, /reason +violated_constraint\n[\s\S]*"stringValue": "poison"/);
  assert.match(show.stdout, /"service.name"/);

  // While the constraint stands, a replay says so and the letter stays.
  const again = await dead(tailrace, 'replay', '--all');
  assert.equal(again.status, 1);
  assert.match(again.stdout, /^0 replayed, 1 refused again: .*469/);
  // Letters outlive the process.
  assert.equal(await tailrace.process.end('SIGKILL'), 'SIGKILL');
  tailrace = await startTailrace({ data: tailrace.data, ports: tailrace.ports });
  await command(tailrace, 'ALTER TABLE otel_logs DROP CONSTRAINT c');
  const replay = await dead(tailrace, 'replay', '--reason', 'violated_constraint');
  assert.equal(replay.stdout, '1 replayed\n', replay.stderr);
  assert.equal((await dead(tailrace, 'replay', '--all')).stdout, '0 replayed\n');
  assert.deepEqual(await bodies(), [...good, 'poison']);
  assert.equal((await dead(tailrace, 'list')).stdout, 'no dead letters\n');
  assert.equal(await tailrace.metric('tailrace_lag_records', 'topic="dead"'), 0);
  assert.equal(await tailrace.process.end('SIGTERM'), 0, tailrace.process.output());
});

test('dead says what is wrong: no process, no such letter, no action, no filter', async () => {
  const tailrace = await startTailrace();
  const none = await dead(tailrace, 'show', '7');
  assert.equal(none.status, 1);
  assert.match(none.stderr, /there is no dead letter 7/);
  assert.equal((await dead(tailrace, 'shwo')).status, 2);
  const all = await dead(tailrace, 'drop');
  assert.equal(all.status, 2);
  assert.match(all.stderr, /which ones\? .*--all/);
  assert.match((await dead(tailrace, '--help')).stdout, /Examples:/);
  // A page in a browser cannot send the header.
  assert.equal((await fetch(`http://127.0.0.1:${tailrace.ports.metrics}/dead/drop`, { method: 'POST' })).status, 403);
  assert.equal(await tailrace.process.end('SIGTERM'), 0, tailrace.process.output());
  const nobody = await dead(tailrace, 'list');
  assert.equal(nobody.status, 1);
  assert.match(nobody.stderr, /no Tailrace answers at .*\n.*must run/);
});
