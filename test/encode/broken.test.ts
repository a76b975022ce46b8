import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { Malformed } from '../../pipelines/base/errors.ts';
import { createEncoder } from '../../pipelines/encode/encoder.ts';
import type { Signal } from '../../pipelines/otlp/walk.ts';
import { nativeRows } from '../kit/native.ts';

/** Adds bytes that may be broken; whatever comes of it must be counted, and must be blocks that can be read. Returns what happened. */
function survive(signal: Signal, bytes: Buffer): string {
  const encoder = createEncoder(signal);
  let outcome = 'whole';
  try {
    encoder.add(bytes);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    assert.equal(encoder.counters.in, 0, 'a refused message counts nothing');
    outcome = 'refused';
  }
  if (encoder.counters.droppedTotal() > 0) outcome = 'dropped';
  let rows = 0;
  encoder.finish((block) => (rows += nativeRows(block.native).length));
  assert.equal(encoder.counters.imbalance(), 0);
  assert.equal(encoder.rowCounters.imbalance(), 0);
  assert.equal(rows, encoder.rowCounters.out);
  return outcome;
}

for (const [signal, name] of [
  ['traces', 'trace-19.bin'],
  ['logs', 'logs-02.bin'],
  ['metrics', 'metrics-03.bin'],
] as const) {
  const fixture = readFileSync(new URL(`../fixtures/envoy/${name}`, import.meta.url));

  test(`${signal} cut off anywhere are refused`, () => {
    const step = Math.ceil(fixture.length / 1000);
    const seen = new Set<string>();
    for (let size = 1; size < fixture.length; size += step) seen.add(survive(signal, fixture.subarray(0, size)));
    assert.deepEqual(seen, new Set(['refused']));
  });

  test(`${signal} with bytes changed are counted and never corrupt a block`, () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(fixture.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 }), (changes) => {
        const bytes = Buffer.from(fixture);
        for (const [at, byte] of changes) bytes[at] = byte;
        const outcome = survive(signal, bytes);
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
      }),
      { numRuns: 150 },
    );
    assert.ok((seen.get('whole') ?? 0) > 0, JSON.stringify([...seen]));
  });
}
