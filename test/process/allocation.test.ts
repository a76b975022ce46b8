import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

/** No object, string or BigInt per span: the smallest object takes 24 bytes, a boxed number 16. */
const BYTES_PER_SPAN_MAX = 8;

test(`filter, attributes and samplers allocate less than ${BYTES_PER_SPAN_MAX} bytes a span`, () => {
  const script = new URL('allocated.ts', import.meta.url).pathname;
  const lines = execFileSync(process.execPath, [script], { encoding: 'utf8' }).trim().split('\n');
  assert.deepEqual(
    lines.map((line) => line.split(' ')[0]),
    ['filter', 'attributes', 'proportional', 'hash_seed'],
  );
  for (const line of lines) assert.ok(Number(line.split(' ')[1]) < BYTES_PER_SPAN_MAX, `${line} bytes a span`);
});
