import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NO_SLOT, TraceTable, UNDECIDED } from '../../pipelines/sample/trace-table.ts';
import { seeded } from '../kit/random.ts';

const id = (n: number): Buffer => {
  const bytes = Buffer.alloc(16);
  // Few different words: many ids share all but one.
  bytes.writeUInt32LE(n % 7, 0);
  bytes.writeUInt32LE(Math.floor(n / 7), 12);
  return bytes;
};

test('property: begin, find and release agree with a Map from id to its newest slot, over growth and shifts', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = seeded(seed);
      const table = new TraceTable(2, seed);
      const newest = new Map<number, number>();
      const slots: { n: number; slot: number }[] = [];
      for (let step = 0; step < 6000; step++) {
        if (random() < 0.6 || slots.length === 0) {
          const n = Math.floor(random() * 3000);
          const slot = table.begin(id(n), 0, step);
          assert.ok(!slots.some((other) => other.slot === slot), 'a slot in use was handed out');
          assert.equal(table.verdict[slot], UNDECIDED);
          assert.equal(table.words[slot * 2], 0);
          table.words[slot * 2] = n;
          newest.set(n, slot);
          slots.push({ n, slot });
        } else {
          const at = Math.floor(random() * slots.length);
          const { n, slot } = slots[at]!;
          slots[at] = slots.at(-1)!;
          slots.pop();
          assert.equal(table.words[slot * 2], n, 'a slot changed its owner');
          table.release(slot);
          if (newest.get(n) === slot) newest.delete(n);
        }
        const n = Math.floor(random() * 3000);
        assert.equal(table.find(id(n), 0), newest.get(n) ?? NO_SLOT);
      }
      for (let n = 0; n < 3000; n++) assert.equal(table.find(id(n), 0), newest.get(n) ?? NO_SLOT);
      assert.equal(table.size, slots.length);
    }),
    { numRuns: 3 },
  );
});

test('duration_ns() is exact to the nanosecond, ignores a start of 0, and never is negative', () => {
  const table = new TraceTable(0);
  const slot = table.begin(id(1), 0, 0);
  assert.equal(table.duration_ns(slot), 0);
  const at = (ns: bigint): [number, number] => [Number(ns >> 32n), Number(ns & 0xffff_ffffn)];
  const base = 1_780_000_000_000_000_001n;
  table.addSpan(slot, ...at(base + 5n), ...at(base + 10n), 100);
  assert.equal(table.duration_ns(slot), 5);
  table.addSpan(slot, ...at(base), ...at(base + 3n), 100);
  assert.equal(table.duration_ns(slot), 10);
  table.addSpan(slot, ...at(0n), ...at(base + 7_000_000_001n), 100);
  assert.equal(table.duration_ns(slot), 7_000_000_001);
  assert.deepEqual([table.spans[slot], table.bytes[slot]], [3, 300]);
  const backwards = table.begin(id(2), 0, 0);
  table.addSpan(backwards, ...at(base + 5n), ...at(base), 1);
  assert.equal(table.duration_ns(backwards), 0);
});
