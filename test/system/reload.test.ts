import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { traces } from '../kit/otlp.ts';
import { temporaryFolder, until } from '../kit/process.ts';
import { startTailrace, type Tailrace } from '../kit/tailrace.ts';

async function send(tailrace: Tailrace, id: string, attributes: Record<string, string>): Promise<void> {
  const body = traces([{ trace: id, start_ns: BigInt(Date.now()) * 1_000_000n, attributes }]);
  await until(`trace ${id} to be taken`, async () => {
    const response = await fetch(`http://127.0.0.1:${tailrace.ports.http}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body,
    });
    return response.status === 200;
  });
}

test('reload: a good file changes over without losing what waits, a bad one is refused with its errors', async () => {
  const file = join(temporaryFolder('reload'), 'pipeline.yaml');
  const text = readFileSync('config/tailrace.yaml', 'utf8');
  // Kept by this file only when gold; trace ids whose last 7 bytes are 0 are not drawn by the probabilistic policy.
  const gold = (value: string): string =>
    text
      .replace(/decision_wait: 5s.*/, 'decision_wait: 3s')
      .replace(
        '- name: errors\n',
        `- name: gold\n        type: string_attribute\n        string_attribute: { key: tier, values: [${value}] }\n      - name: errors\n`,
      );
  writeFileSync(file, gold('first'));
  const tailrace = await startTailrace({ config: file });
  const id = (n: number): string => `${n.toString(16).padStart(16, '0')}${'0'.repeat(16)}`;
  await send(tailrace, id(1), { tier: 'second' });
  writeFileSync(file, gold('first').replace('type: latency', 'type: latancy'));
  tailrace.process.child.kill('SIGHUP');
  await until('the bad file to be refused', () =>
    /is not taken, the old one goes on[\s\S]*unknown type "latancy"; did you mean "latency"\?/.test(tailrace.process.output()),
  );
  writeFileSync(file, gold('second'));
  tailrace.process.child.kill('SIGHUP');
  await until('the good file to be taken', () => tailrace.process.output().includes('changed over'));
  await send(tailrace, id(2), { tier: 'first' });
  await send(tailrace, id(3), { tier: 'second' });
  // The first trace waited across the change and is decided by the new file: nothing that was acknowledged is lost.
  const kept = async (): Promise<string[]> =>
    (await tailrace.sql('SELECT TraceId FROM otel_traces ORDER BY TraceId')).map((row) => String(row['TraceId']));
  await until('both traces of the new tier', async () => (await kept()).length >= 2);
  assert.deepEqual(await kept(), [id(1), id(3)]);
  assert.equal(await tailrace.process.end('SIGTERM'), 0, tailrace.process.output());
});
