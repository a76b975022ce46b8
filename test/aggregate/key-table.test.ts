import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { KeyTable } from '../../pipelines/aggregate/key-table.ts';

void test('KeyTable numbers keys in the order of their first appearance, as a Map would', () => {
  const keys = fc.array(fc.uint8Array({ maxLength: 3 }), { maxLength: 400 });
  fc.assert(
    fc.property(keys, keys, (first, second) => {
      const table = new KeyTable(1000);
      for (const round of [first, second]) {
        const expected = new Map<string, number>();
        for (const key of round) {
          const text = Buffer.from(key).toString('hex');
          if (!expected.has(text)) expected.set(text, expected.size);
          const padded = Buffer.concat([Buffer.from('<'), key, Buffer.from('>')]);
          const number = table.lookup(padded, 1, padded.length - 1);
          assert.equal(number, expected.get(text));
          assert.equal(table.bytes.toString('hex', table.keyStart(number), table.keyStop(number)), text);
        }
        assert.equal(table.count, expected.size);
        table.clear();
      }
    }),
    { numRuns: 50 },
  );
});

void test('KeyTable refuses new keys at its limit, finds the old ones, and lets in what must be', () => {
  const table = new KeyTable(2);
  const at = (text: string, beyond = false): number => table.lookup(Buffer.from(text), 0, text.length, beyond);
  assert.deepEqual(
    ['a', 'b', 'c', 'a'].map((text) => at(text)),
    [0, 1, -1, 0],
  );
  assert.equal(at('c', true), 2);
  assert.deepEqual(
    ['c', 'd'].map((text) => at(text)),
    [2, -1],
  );
  table.clear();
  assert.equal(at('d'), 0);
});
