import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ExponentialHistogram, bucketIndex } from '../../pipelines/aggregate/exponential-histogram.ts';
import { Writer } from '../../pipelines/wire/writer.ts';
import { decode } from '../kit/proto.ts';

interface Point {
  scale: number;
  zeroCount?: string;
  positive?: { offset?: number; bucketCounts: string[] };
}

/** What the histogram of `durations_ns` writes, in units of 1 ns. */
function pointOf(durations_ns: readonly number[], maxSize: number): Point {
  const histogram = new ExponentialHistogram(maxSize, 1);
  histogram.begin(0);
  for (const duration of durations_ns) histogram.observe(0, duration, 1);
  const writer = new Writer();
  histogram.write(writer, 0);
  return decode('ExponentialHistogramDataPoint', writer.view());
}

void test('bucketIndex() puts powers of two into the bucket that they close', () => {
  // Scale 0: (1, 2] is 0, (2, 4] is 1, (0.5, 1] is −1. Scale −1: (1, 4] is 0. Scale 1: (1, √2] is 0, (√2, 2] is 1.
  assert.deepEqual(
    [0.6, 1, 1.5, 2, 3, 4, 5].map((v) => bucketIndex(v, 0)),
    [-1, -1, 0, 0, 1, 1, 2],
  );
  assert.deepEqual(
    [1, 2, 4, 5, 16].map((v) => bucketIndex(v, -1)),
    [-1, 0, 0, 1, 1],
  );
  assert.deepEqual(
    [1, 1.4, 1.5, 2, 2.1, 4].map((v) => bucketIndex(v, 1)),
    [-1, 0, 1, 1, 2, 3],
  );
});

void test('bucketIndex() of a coarser scale is the finer one halved, so merging neighbours is exact', () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-6, max: 1e9, noNaN: true }), fc.integer({ min: -9, max: 20 }), (value, scale) => {
      assert.equal(bucketIndex(value, scale - 1), bucketIndex(value, scale) >> 1);
    }),
  );
});

void test('values lie within the bounds of their buckets', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 40 }),
      fc.integer({ min: 2, max: 200 }),
      fc.integer({ min: 1, max: 2 ** 40 }),
      (a, maxSize, b) => {
        const { scale, positive } = pointOf([a, b], maxSize);
        const base = 2 ** (2 ** -scale);
        const counts = positive!.bucketCounts.map(Number);
        assert.ok(counts.length <= maxSize);
        const offset = positive!.offset ?? 0;
        const low = Math.min(a, b);
        const high = Math.max(a, b);
        const slack = 1e-6;
        assert.ok(low > base ** offset * (1 - slack) && low <= base ** (offset + 1) * (1 + slack));
        const last = offset + counts.length - 1;
        assert.ok(high > base ** last * (1 - slack) && high <= base ** (last + 1) * (1 + slack));
      },
    ),
  );
});

void test('zeros are counted apart, and a series of zeros has no buckets', () => {
  assert.deepEqual(pointOf([0, 0, 0], 160), { scale: 20, zeroCount: '3' });
  const { zeroCount, positive } = pointOf([0, 5], 160);
  assert.equal(zeroCount, '1');
  assert.deepEqual(positive!.bucketCounts, ['1']);
});

void test('the order of the values changes nothing once they are all in', () => {
  const durations = fc.array(fc.integer({ min: 0, max: 20_000_000_000 }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(durations, fc.integer({ min: 2, max: 40 }), (values, maxSize) => {
      const forwards = pointOf(values, maxSize);
      assert.deepEqual(pointOf(values.toReversed(), maxSize), forwards);
      const total = (forwards.positive?.bucketCounts ?? []).reduce((sum, count) => sum + Number(count), Number(forwards.zeroCount ?? 0));
      assert.equal(total, values.length);
    }),
  );
});

void test('160 buckets hold 1 ms to 15 s at scale 3 or finer: within 9 %', () => {
  const { scale } = pointOf([1_000_000, 15_000_000_000], 160);
  assert.ok(scale >= 3, `scale ${scale}`);
});
