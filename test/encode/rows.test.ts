import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EncodedBlock } from '../../pipelines/encode/block.ts';
import { createEncoder } from '../../pipelines/encode/encoder.ts';
import type { Signal } from '../../pipelines/otlp/walk.ts';
import { messages } from '../kit/messages.ts';
import { nativeRows } from '../kit/native.ts';
import { storedRows } from '../kit/stored-rows.ts';

const FIXTURES = new URL('../fixtures/envoy/', import.meta.url);
const DAY_NS = 86_400_000_000_000n;

/** Blocks of the inputs, checked: in order, of one day each, and equal to the expected rows in their order. Returns the rows seen. */
function check(signal: Signal, inputs: Buffer[]): number {
  const encoder = createEncoder(signal);
  const expected = inputs.flatMap((bytes) => storedRows(signal, bytes));
  let added = 0;
  for (const bytes of inputs) added += encoder.add(Buffer.from(bytes));
  assert.equal(added, expected.length);
  assert.equal(encoder.rows, expected.length);
  const held_bytes = encoder.bytes;
  const blocks: EncodedBlock[] = [];
  encoder.finish((block) => blocks.push(block));
  assert.equal(encoder.counters.imbalance(), 0);
  assert.equal(encoder.rowCounters.imbalance(), 0);
  assert.equal(encoder.counters.droppedTotal(), 0);
  assert.equal(encoder.rowCounters.out, expected.length);
  assert.equal(encoder.rows, 0);
  assert.equal(
    blocks.reduce((sum, block) => sum + block.native.length, 0),
    held_bytes,
  );
  const order = blocks.map((block) => `${block.table} ${String(block.day).padStart(6)}`);
  assert.deepEqual(order, [...new Set(order)].sort());
  for (const { table, day, columns, rows, native } of blocks) {
    const timeColumn = table.startsWith('otel_metrics') ? 'TimeUnix' : 'Timestamp';
    const want = expected
      .filter((e) => e.table === table && BigInt(e.row[timeColumn] as string) / DAY_NS === BigInt(day))
      .map((e) => e.row);
    const got = nativeRows(native);
    assert.equal(rows, want.length);
    assert.deepEqual(got, want);
    assert.deepEqual([...columns].sort(), Object.keys(want[0]!).sort());
  }
  assert.equal(
    blocks.reduce((sum, block) => sum + block.rows, 0),
    expected.length,
  );
  return expected.length;
}

for (const [signal, prefix] of [
  ['traces', 'trace-'],
  ['logs', 'logs-'],
  ['metrics', 'metrics-'],
] as const) {
  test(`${signal} of a real Envoy become the rows that protobufjs sees`, () => {
    const names = readdirSync(FIXTURES).filter((name) => name.startsWith(prefix));
    const rows = check(
      signal,
      names.map((name) => readFileSync(new URL(name, FIXTURES))),
    );
    assert.ok(names.length > 0 && rows > names.length, `${rows} rows of ${names.length} fixtures`);
  });

  test(`any ${signal} become the rows that protobufjs sees`, () => {
    let rows = 0;
    fc.assert(
      fc.property(fc.array(messages[signal], { maxLength: 3 }), (inputs) => {
        rows += check(signal, inputs);
      }),
      { numRuns: 25 },
    );
    assert.ok(rows > 5, `${rows} rows`);
  });
}
