import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { Session, type HeapProfiler } from 'node:inspector';
import { test } from 'node:test';
import { createEncoder } from '../../pipelines/encode/encoder.ts';
import type { Signal } from '../../pipelines/otlp/walk.ts';

const FIXTURES = new URL('../fixtures/envoy/', import.meta.url);
const ROUNDS = 80;
/** V8 compiles when it has time for it, and code that is not compiled yet puts numbers on the heap: the best of so many tries counts. */
const TRIES_MAX = 8;
/** What adding a span, record or point may leave on the JavaScript heap, on average. An object, string or closure an item would be more. */
const ITEM_BYTES_MAX = 8;

/** Bytes that `work` allocates on the heap, collected or not, by V8's sampling profiler. */
function allocated_bytes(work: () => void): number {
  const session = new Session();
  session.connect();
  session.post('HeapProfiler.startSampling', {
    samplingInterval: 512,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  } as HeapProfiler.StartSamplingParameterType);
  work();
  let total = 0;
  session.post('HeapProfiler.stopSampling', (error, result) => {
    if (error !== null) throw error;
    const sum = (node: HeapProfiler.SamplingHeapProfileNode): number =>
      node.selfSize + node.children.reduce((bytes, child) => bytes + sum(child), 0);
    total = sum(result.profile.head);
  });
  session.disconnect();
  return total;
}

test('the measure sees a small object an item', () => {
  const kept: object[] = [];
  const bytes = allocated_bytes(() => {
    for (let i = 0; i < 10_000; i++) kept.push({ i });
  });
  assert.ok(bytes > 10_000 * 12, `${bytes} bytes of ${kept.length} objects`);
});

for (const [signal, prefix] of [
  ['traces', 'trace-'],
  ['logs', 'logs-'],
  ['metrics', 'metrics-'],
] as const satisfies readonly (readonly [Signal, string])[]) {
  test(`encoding ${signal} leaves next to nothing on the heap`, () => {
    const inputs = readdirSync(FIXTURES)
      .filter((name) => name.startsWith(prefix))
      .map((name) => readFileSync(new URL(name, FIXTURES)));
    const encoder = createEncoder(signal);
    const work = (): void => {
      // By number: the iterator of a for-of would be counted too.
      for (let i = 0; i < ROUNDS * inputs.length; i++) encoder.add(inputs[i % inputs.length]!);
    };
    let least = Infinity;
    for (let tries = 0; tries < TRIES_MAX && least >= ITEM_BYTES_MAX; tries++) {
      encoder.finish(() => {});
      const before = encoder.rowCounters.in;
      const bytes = allocated_bytes(work);
      const items = encoder.rowCounters.in - before;
      assert.ok(items >= ROUNDS * inputs.length, `${items} items`);
      least = Math.min(least, bytes / items);
    }
    assert.ok(least < ITEM_BYTES_MAX, `${least.toFixed(1)} bytes an item`);
  });
}
