import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Clock } from '../../pipelines/base/clock.ts';
import { Busy } from '../../pipelines/base/errors.ts';
import { PartitionBatcher, type PartitionBatcherSettings } from '../../pipelines/topic/batcher.ts';
import { decompress } from '../../pipelines/topic/record.ts';
import { FakeTopics } from '../kit/fake-topics.ts';
import { traces } from '../kit/otlp.ts';
import { decode } from '../kit/proto.ts';

/** Sleeps until told: a linger is over when the test says so. */
class HandClock implements Clock {
  time_ms = 1_780_000_000_000;
  private sleepers: (() => void)[] = [];
  now_ms(): number {
    return this.time_ms;
  }
  sleep(): Promise<void> {
    return new Promise((resolve) => this.sleepers.push(resolve));
  }
  wake(): void {
    for (const resolve of this.sleepers.splice(0)) resolve();
  }
}

function setUp(settings: Partial<PartitionBatcherSettings> = {}) {
  const clock = new HandClock();
  const topics = new FakeTopics({ topics: { traces: 2 }, clock });
  const batcher = new PartitionBatcher({ topics, topic: 'traces', codec: 'none', clock, ...settings });
  return { clock, topics, batcher };
}

/** Protobuf data of about `bytes` bytes with `spans` spans. */
function dataOf(spans: number, name = 'span', bytes = 0): Buffer {
  return traces(
    Array.from({ length: spans }, (_, index) => ({
      span: String(index + 1),
      name,
      attributes: bytes > 0 ? { pad: 'x'.repeat(bytes) } : {},
    })),
  );
}

test('parts of one batch become one record, share its promise, and are copied at once', async () => {
  const { clock, topics, batcher } = setUp();
  const parts = [dataOf(1, 'a'), dataOf(2, 'b')];
  const expected = Buffer.concat(parts);
  const promises = parts.map((part, index) => batcher.add(0, part, index + 1));
  assert.equal(promises[0], promises[1]);
  for (const part of parts) part.fill(0);
  assert.equal(topics.appendCalls, 0);
  assert.equal(batcher.counters.held, 3);
  clock.wake();
  await promises[0];
  const [record] = topics.records('traces');
  assert.ok(record!.value.equals(expected));
  assert.deepEqual(record!.headers, { format: 1, codec: 'none', items: 3, raw_bytes: expected.length });
  assert.deepEqual([batcher.counters.in, batcher.counters.out, batcher.counters.held, batcher.pending_bytes], [3, 3, 0, 0]);
});

test('a batch is sent when it is full, without waiting; the next fills while it is being appended', async () => {
  const { topics, batcher } = setUp({ batch_bytes_max: 1000, codec: 'zstd' });
  topics.hold();
  const part = dataOf(1, 'x'.repeat(300));
  const waits = Array.from({ length: 10 }, () => batcher.add(1, part, 1));
  assert.ok(topics.appendCalls >= 3, `${topics.appendCalls} batches under way`);
  assert.ok(new Set(waits).size >= 4);
  topics.release();
  await batcher.flush();
  await Promise.all(waits);
  let items = 0;
  for (const record of topics.records('traces', 1)) {
    assert.equal(record.headers.codec, 'zstd');
    const raw = decompress(record);
    assert.ok(raw.length <= 1000);
    items += (decode('TracesData', raw) as { resourceSpans: unknown[] }).resourceSpans.length;
  }
  assert.equal(items, 10);
});

test('a part larger than a record is cut at its spans; a span too large is dropped, counted and told', async () => {
  const told: number[] = [];
  const { topics, batcher } = setUp({ record_bytes_max: 2000, oversize: (partition, part) => told.push(partition, part.length) });
  const large = dataOf(10, 'n', 700);
  const done = batcher.add(0, large, 10);
  const mixed = batcher.add(1, Buffer.concat([dataOf(1, 'small'), dataOf(1, 'huge', 5000)]), 2);
  await batcher.flush();
  await Promise.all([done, mixed]);
  assert.equal(topics.items('traces'), 11);
  assert.ok(topics.records('traces', 0).length >= 5);
  for (const { value } of topics.records('traces')) assert.ok(value.length <= 2000);
  assert.equal(told[0], 1);
  assert.ok(told[1]! > 5000);
  assert.equal(batcher.counters.dropped.get('record_too_large'), 1);
  assert.equal(batcher.counters.in, 12);
  assert.equal(batcher.counters.imbalance(), 0);
});

test('beyond pending_bytes_max, and after close, add() answers Busy and takes nothing', async () => {
  const { topics, batcher } = setUp({ pending_bytes_max: 1000 });
  topics.hold();
  const part = dataOf(1, 'x'.repeat(500));
  const first = batcher.add(0, part, 1);
  await assert.rejects(batcher.add(1, part, 1), (error) => error instanceof Busy && error.reason === 'batcher_full');
  assert.equal(batcher.counters.in, 1);
  topics.release();
  await batcher.flush();
  await first;
  const second = batcher.add(1, part, 1);
  await batcher.close();
  await second;
  await assert.rejects(batcher.add(0, part, 1), Busy);
  assert.equal(topics.items('traces'), 2);
});

test('a failed append reaches everyone in the batch, is counted with its reason, and the next batch goes through', async () => {
  const { topics, batcher } = setUp();
  topics.busy(1, 50);
  const waits = [batcher.add(0, dataOf(1), 1), batcher.add(0, dataOf(2), 2)];
  const failed = Promise.all(waits.map((wait) => assert.rejects(wait, (error) => error instanceof Busy && error.retryAfter_ms === 50)));
  await batcher.flush();
  await failed;
  assert.equal(batcher.counters.dropped.get('log_full'), 3);
  const later = batcher.add(0, dataOf(1), 1);
  await batcher.flush();
  await later;
  assert.deepEqual([batcher.counters.in, batcher.counters.out, batcher.counters.imbalance(), batcher.pending_bytes], [4, 1, 0, 0]);
});

test('whatever is added comes out once, in order, per partition', async () => {
  const step = fc.record({ partition: fc.nat(1), spans: fc.integer({ min: 1, max: 30 }), flush: fc.boolean(), wake: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const { clock, topics, batcher } = setUp({ batch_bytes_max: 600, record_bytes_max: 900 });
      const names: string[][] = [[], []];
      const waits: Promise<void>[] = [];
      for (const [index, { partition, spans, flush, wake }] of steps.entries()) {
        const name = `add ${index}`;
        for (let span = 0; span < spans; span++) names[partition]!.push(name);
        waits.push(batcher.add(partition, dataOf(spans, name), spans));
        if (wake) clock.wake();
        if (flush) await batcher.flush();
      }
      await batcher.close();
      await Promise.all(waits);
      for (const partition of [0, 1]) {
        const got: string[] = [];
        for (const { value } of topics.records('traces', partition)) {
          const data = decode('TracesData', value) as { resourceSpans: { scopeSpans: { spans: { name: string }[] }[] }[] };
          for (const { scopeSpans } of data.resourceSpans)
            for (const { spans } of scopeSpans) for (const span of spans) got.push(span.name);
        }
        assert.deepEqual(got, names[partition]);
      }
      assert.equal(batcher.counters.imbalance(), 0);
      assert.equal(batcher.counters.held, 0);
    }),
    { numRuns: 40 },
  );
});
