import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Malformed } from '../../pipelines/base/errors.ts';
import { DataPointView } from '../../pipelines/otlp/data-point.ts';
import { METRIC_EXPONENTIAL_HISTOGRAM, METRIC_HISTOGRAM, METRIC_NONE, METRIC_SUM, MetricView } from '../../pipelines/otlp/metric.ts';
import { encode } from '../kit/proto.ts';

// What protobufjs never writes; the rest is held against it in test/encode/rows.test.ts.
const u64 = (value: number): number[] => [...new Uint8Array(new BigUint64Array([BigInt(value)]).buffer)];

test('DataPointView takes counts and bounds packed, one by one, and mixed', () => {
  const bytes = Buffer.from([0x31, ...u64(1), 0x32, 16, ...u64(2), ...u64(3), 0x31, ...u64(4)]);
  const point = new DataPointView().parse(METRIC_HISTOGRAM, bytes, 0, bytes.length);
  const counts = [];
  for (let i = 0; i < point.bucketCounts.count; i++) {
    for (let at = point.bucketCounts.start(i); at < point.bucketCounts.stop(i); at += 8) counts.push(Number(bytes.readBigUInt64LE(at)));
  }
  assert.deepEqual(counts, [1, 2, 3, 4]);
});

test('DataPointView takes exponential buckets packed and one by one, with a negative offset', () => {
  const bytes = Buffer.from([0x42, 10, 0x08, 0x03, 0x10, 0x07, 0x12, 3, 0x80, 0x01, 0x09, 0x07]);
  bytes[1] = bytes.length - 2 - 1;
  // The last byte of the array would be a stray tag; it is outside of the range that is parsed.
  const point = new DataPointView().parse(METRIC_EXPONENTIAL_HISTOGRAM, bytes, 0, bytes.length - 1);
  assert.equal(point.positive.offset, -2);
  assert.deepEqual(
    Array.from({ length: point.positive.count }, (_, i) => point.positive.lo(i)),
    [7, 128, 9],
  );
  assert.equal(point.negative.count, 0);
});

test('DataPointView refuses packed numbers that end halfway', () => {
  const bytes = Buffer.from([0x32, 7, 1, 2, 3, 4, 5, 6, 7]);
  assert.throws(() => new DataPointView().parse(METRIC_HISTOGRAM, bytes, 0, bytes.length), Malformed);
  const varints = Buffer.from([0x42, 3, 0x12, 1, 0x80]);
  assert.throws(() => new DataPointView().parse(METRIC_EXPONENTIAL_HISTOGRAM, varints, 0, varints.length), Malformed);
});

test('MetricView takes the last of several data, and forgets the metric before', () => {
  const view = new MetricView();
  const both = Buffer.concat([
    encode('Metric', { name: 'a', gauge: { dataPoints: [{}, {}] } }),
    encode('Metric', { sum: { dataPoints: [{}], isMonotonic: true, aggregationTemporality: 2 } }),
  ]);
  view.parse(both, 0, both.length);
  assert.deepEqual([view.kind, view.points.count, view.temporality, view.isMonotonic], [METRIC_SUM, 1, 2, true]);
  view.parse(both, 0, 0);
  assert.deepEqual([view.kind, view.points.count, view.temporality, view.isMonotonic, view.nameStop], [METRIC_NONE, 0, 0, false, 0]);
});
