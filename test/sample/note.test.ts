import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readNote, writeNote, type NotedLife, type SampleNote } from '../../pipelines/sample/note.ts';
import type { Closing, Lease, LimitState } from '../../pipelines/sample/policies/rate-limit.ts';

const COMMITTED = 2 ** 40;
// deepEqual tells prototypes apart.
const PLAIN = { noNullPrototype: true } as const;
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const life: fc.Arbitrary<NotedLife> = fc.record(
  {
    hashA: u32,
    hashB: u32,
    offset: fc.integer({ min: COMMITTED - 2 ** 33, max: COMMITTED - 1 }),
  },
  PLAIN,
);
const closings: fc.Arbitrary<Closing[]> = fc
  .array(
    fc.record({
      step: fc.integer({ min: 1, max: 100 }),
      offset: fc.integer({ min: COMMITTED - 2 ** 20, max: COMMITTED - 1 }),
      spanIndex: fc.nat(),
    }),
    { maxLength: 20 },
  )
  .map((list) => {
    let window = 1_780_000_000;
    return list.map(({ step, offset, spanIndex }) => ({ window: (window += step), offset, spanIndex }));
  });
const leases: fc.Arbitrary<Lease[]> = fc
  .array(
    fc.record({
      step: fc.integer({ min: 1, max: 20 }),
      spans: fc.oneof(fc.integer({ min: 1, max: 2 ** 40 }), fc.integer({ min: -(2 ** 40), max: -1 })),
    }),
    { maxLength: 20 },
  )
  .map((list) => {
    let block = 178_000_000;
    return list.map(({ step, spans }) => ({ block: (block += step), spans }));
  });
const limit: fc.Arbitrary<LimitState> = fc.record(
  {
    window: fc.integer({ min: -1, max: 2 ** 31 }),
    used: fc.nat(),
    closed: fc.boolean(),
    closings,
    leases,
  },
  PLAIN,
);
const note: fc.Arbitrary<SampleNote> = fc.record(
  {
    from: fc.integer({ min: COMMITTED - 2 ** 34, max: COMMITTED }),
    committed: fc.constant(COMMITTED),
    settledBlock: fc.integer({ min: -1, max: 2 ** 31 }),
    limits: fc.array(limit, { maxLength: 3 }),
    lives: fc.array(life, { maxLength: 40 }),
  },
  PLAIN,
);

test('property: readNote() gives back what writeNote() was given', () => {
  fc.assert(
    fc.property(note, (one) => {
      const { text, overflow } = writeNote(one, 3_600);
      assert.equal(overflow, 0);
      assert.deepEqual(readNote(text), one);
    }),
  );
});

test('a note that does not fit keeps the newest lives and closings, stays within its characters, and counts what it left out', () => {
  const lives = Array.from({ length: 1000 }, (_, n): NotedLife => ({ hashA: n, hashB: n, offset: COMMITTED - 1 - n }));
  const many = Array.from({ length: 5000 }, (_, n): Closing => ({
    window: 1_780_000_000 + n,
    offset: COMMITTED - 10_000 + n,
    spanIndex: n,
  }));
  const manyLeases = Array.from({ length: 3000 }, (_, n): Lease => ({ block: 178_000_000 + n, spans: n % 2 === 0 ? -n - 1 : n }));
  const limits: LimitState[] = [{ window: 1_780_005_000, used: 3, closed: true, closings: many, leases: manyLeases }];
  for (const characters_max of [200, 3_600]) {
    const withLives = writeNote({ from: 5, committed: COMMITTED, settledBlock: -1, limits: [], lives }, characters_max);
    assert.ok(withLives.text.length <= characters_max && withLives.text.length > characters_max - 40, String(withLives.text.length));
    const read = readNote(withLives.text)!;
    assert.equal(read.lives.length + withLives.overflow, 1000);
    assert.deepEqual(read.lives, lives.slice(0, read.lives.length));
    const withClosings = writeNote({ from: 5, committed: COMMITTED, settledBlock: -1, limits, lives }, characters_max);
    assert.ok(withClosings.text.length <= characters_max, String(withClosings.text.length));
    const kept = readNote(withClosings.text)!.limits[0]!.closings;
    assert.ok(kept.length > 5);
    assert.deepEqual(kept, many.slice(-kept.length));
    const keptLeases = readNote(withClosings.text)!.limits[0]!.leases;
    assert.ok(keptLeases.length > 5);
    assert.deepEqual(keptLeases, manyLeases.slice(-keptLeases.length));
  }
});

test('a text that is no note of ours is undefined', () => {
  for (const text of ['', 'AA', 'hello', '{}', 'AQ']) assert.equal(readNote(text), undefined, text);
  const { text } = writeNote({ from: 1, committed: 9, settledBlock: 7, limits: [], lives: [{ hashA: 1, hashB: 2, offset: 3 }] }, 1000);
  assert.notEqual(readNote(text), undefined);
  for (let length = 1; length < text.length - 1; length++) assert.equal(readNote(text.slice(0, length)), undefined, String(length));
});
