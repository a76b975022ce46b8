import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spanMetricsDefaults } from '../../pipelines/aggregate/settings.ts';
import { Malformed } from '../../pipelines/base/errors.ts';
import { keyValues, traces } from '../kit/otlp.ts';
import { decode, encode } from '../kit/proto.ts';
import { BOUNDS_MS, attributesOf, read } from './naive.ts';
import { MS, T, create, once, windowOf, type Emitted } from './once.ts';

// oxlint-disable-next-line typescript/no-explicit-any
const only = (emitted: Emitted[]): any => {
  assert.equal(emitted.length, 1);
  return decode('MetricsData', emitted[0]!.bytes);
};

void test('calls and duration of one series are written as the Collector writes them, with delta temporality', () => {
  const emitted = once([traces([{ duration_ns: 3n * MS }, { duration_ns: 2n * MS }, { duration_ns: 20_000n * MS }], 'cart')]);
  assert.equal(emitted[0]!.metrics, 2);
  assert.equal(emitted[0]!.windowEnd_ms, windowOf(T) + 15_000);
  assert.equal(emitted[0]!.part, 0);
  const { resourceMetrics } = only(emitted);
  assert.equal(resourceMetrics.length, 1);
  assert.deepEqual(attributesOf(resourceMetrics[0].resource.attributes), { 'service.name': 'cart' });
  const { scope, metrics } = resourceMetrics[0].scopeMetrics[0];
  assert.equal(scope.name, 'spanmetricsconnector');
  const [calls, duration] = metrics;
  const attributes = {
    'service.name': 'cart',
    'span.name': 'GET /',
    'span.kind': 'SPAN_KIND_SERVER',
    'status.code': 'STATUS_CODE_UNSET',
  };
  const times = { startTimeUnixNano: `${windowOf(T)}000000`, timeUnixNano: `${windowOf(T) + 15_000}000000` };

  assert.equal(calls.name, 'traces.span.metrics.calls');
  assert.equal(calls.sum.isMonotonic, true);
  assert.equal(calls.sum.aggregationTemporality, 1);
  const { attributes: callsAttributes, ...callsPoint } = calls.sum.dataPoints[0];
  assert.deepEqual(callsPoint, { ...times, asInt: '3' });
  assert.deepEqual(attributesOf(callsAttributes), attributes);

  assert.equal(duration.name, 'traces.span.metrics.duration');
  assert.equal(duration.unit, 'ms');
  assert.equal(duration.histogram.aggregationTemporality, 1);
  const { attributes: durationAttributes, ...durationPoint } = duration.histogram.dataPoints[0];
  assert.deepEqual(durationPoint, {
    ...times,
    count: '3',
    sum: 20_005,
    min: 2,
    max: 20_000,
    explicitBounds: BOUNDS_MS,
    // (−∞, 2], (2, 4], … (15000, ∞): a duration that equals a bound is in the bucket below it.
    bucketCounts: ['1', '1', ...Array.from({ length: 14 }, () => '0'), '1'],
  });
  assert.deepEqual(attributesOf(durationAttributes), attributes);
});

void test('errors are calls of their own series, by status code; kinds too', () => {
  const window = read(once([traces([{ status: 2 }, { status: 2 }, { status: 1 }, {}, { kind: 3 }])]).map((e) => e.bytes)).get('shop')!;
  const counts = [...window.values()].map((p) => [p.attributes['span.kind'], p.attributes['status.code'], p.calls]);
  assert.deepEqual(counts, [
    ['SPAN_KIND_SERVER', 'STATUS_CODE_ERROR', 2],
    ['SPAN_KIND_SERVER', 'STATUS_CODE_OK', 1],
    ['SPAN_KIND_SERVER', 'STATUS_CODE_UNSET', 1],
    ['SPAN_KIND_CLIENT', 'STATUS_CODE_UNSET', 1],
  ]);
});

void test('a span that ends before it starts has duration 0', () => {
  const point = [
    ...read(once([traces([{ duration_ns: -5n * MS }])]).map((e) => e.bytes))
      .get('shop')!
      .values(),
  ][0]!;
  assert.equal(point.sum_ms, 0);
  assert.equal(point.buckets[0], 1);
});

void test('unit s divides bounds, sum, min and max', () => {
  const { resourceMetrics } = only(
    once([traces([{ duration_ns: 1500n * MS }])], { histogram: { ...spanMetricsDefaults.histogram, unit: 's' } }),
  );
  const duration = resourceMetrics[0].scopeMetrics[0].metrics[1];
  assert.equal(duration.unit, 's');
  const point = duration.histogram.dataPoints[0];
  assert.deepEqual([point.sum, point.min, point.max], [1.5, 1.5, 1.5]);
  assert.deepEqual(point.explicitBounds.slice(0, 2), [0.002, 0.004]);
  assert.equal(point.bucketCounts[12], '1');
});

void test('a dimension comes from the span, then the resource, then its default, and else is left out; it keeps its type', () => {
  const dimensions = [{ name: 'http.method', default: 'GET' }, { name: 'http.status_code' }, { name: 'region' }, { name: 'absent' }];
  const request = traces([{ attributes: { 'http.method': 'POST', 'http.status_code': 503, region: 'own' } }, { attributes: {} }], 'cart', {
    region: 'eu',
    'http.status_code': true,
  });
  const points = [
    ...read(once([request], { dimensions }).map((e) => e.bytes))
      .get('cart')!
      .values(),
  ];
  const own = points.map(({ attributes }) => [attributes['http.method'], attributes['http.status_code'], attributes['region']]);
  assert.deepEqual(own, [
    ['POST', '503', 'own'],
    ['GET', true, 'eu'],
  ]);
  assert.ok(points.every(({ attributes }) => !('absent' in attributes)));
});

void test('exclude_dimensions leaves dimensions out and joins their series', () => {
  const settings = {
    excludeDimensions: ['span.name', 'status.code', 'service.name', 'a'],
    dimensions: [{ name: 'a', default: 'x' }, { name: 'b' }],
  };
  const request = traces([{ name: 'one', status: 2 }, { name: 'two', attributes: { a: 'y' } }, { attributes: { b: '1' } }]);
  const points = [
    ...read(once([request], settings).map((e) => e.bytes))
      .get('shop')!
      .values(),
  ];
  assert.deepEqual(
    points.map((p) => [p.attributes, p.calls]),
    [
      [{ 'span.kind': 'SPAN_KIND_SERVER' }, 2],
      [{ 'span.kind': 'SPAN_KIND_SERVER', b: '1' }, 1],
    ],
  );
});

void test('a namespace names the metrics; none gives bare names', () => {
  const names = (namespace: string): string[] =>
    only(once([traces([{}])], { namespace })).resourceMetrics[0].scopeMetrics[0].metrics.map((m: { name: string }) => m.name);
  assert.deepEqual(names('mesh'), ['mesh.calls', 'mesh.duration']);
  assert.deepEqual(names(''), ['calls', 'duration']);
});

void test('histogram none writes calls alone', () => {
  const emitted = once([traces([{}])], { histogram: { ...spanMetricsDefaults.histogram, kind: 'none' }, exemplarsPerPoint: 2 });
  assert.equal(emitted[0]!.metrics, 1);
  assert.equal(only(emitted).resourceMetrics[0].scopeMetrics[0].metrics.length, 1);
});

void test('resources of one service name are one ResourceMetrics; a resource without a name is unknown_service', () => {
  const nameless = encode('TracesData', {
    resourceSpans: [
      { scopeSpans: [{ spans: [{ name: 'x', kind: 1 }] }] },
      { resource: {}, scopeSpans: [{ spans: [{ name: 'x', kind: 1 }] }] },
    ],
  });
  const emitted = once([traces([{}], 'b', { pod: '1' }), traces([{}], 'a'), traces([{}], 'b', { pod: '2' }), nameless]);
  const { resourceMetrics } = only(emitted);
  const services = resourceMetrics.map((r: { resource: { attributes: [] } }) => attributesOf(r.resource.attributes)['service.name']);
  assert.deepEqual(services, ['b', 'a', 'unknown_service']);
  assert.equal(emitted[0]!.metrics, 6);
  assert.deepEqual(
    [...read(emitted.map((e) => e.bytes)).values()].map((points) => [...points.values()].map((p) => p.calls)),
    [[2], [1], [2]],
  );
});

void test('a window closes when log time reaches its end, before that record is folded', () => {
  const { metrics, emitted } = create();
  const end = windowOf(T) + 15_000;
  metrics.fold(traces([{}]), T);
  assert.equal(metrics.openWindowStart_ms, windowOf(T));
  metrics.fold(traces([{}]), end - 1);
  metrics.tick(end - 1);
  assert.equal(emitted.length, 0);
  assert.equal(metrics.counters.held, 2);
  metrics.fold(traces([{}]), end);
  assert.deepEqual(
    emitted.map((e) => e.windowEnd_ms),
    [end],
  );
  assert.equal(metrics.counters.held, 1);
  metrics.tick(end + 15_000);
  assert.deepEqual(
    emitted.map((e) => [e.windowEnd_ms, [...read([e.bytes]).get('shop')!.values()][0]!.calls]),
    [
      [end, 2],
      [end + 15_000, 1],
    ],
  );
  assert.equal(metrics.openWindowStart_ms, undefined);
  assert.equal(metrics.counters.out, 3);
  assert.equal(metrics.counters.imbalance(), 0);
});

void test('windows without spans give nothing, and a gap leaves no trace in the next window', () => {
  const { metrics, emitted } = create();
  metrics.tick(T);
  metrics.fold(encode('TracesData', {}), T);
  metrics.fold(encode('TracesData', { resourceSpans: [{ resource: { attributes: keyValues({ 'service.name': 'idle' }) } }] }), T);
  metrics.tick(T + 600_000);
  assert.equal(emitted.length, 0);
  metrics.fold(traces([{}]), T + 900_000);
  metrics.tick(T + 960_000);
  assert.deepEqual(
    emitted.map((e) => [e.windowEnd_ms, [...read([e.bytes]).keys()]]),
    [[windowOf(T + 900_000) + 15_000, ['shop']]],
  );
});

void test('exemplars are the first spans of a series, bounded', () => {
  const request = traces([
    { trace: 'a1', span: 'b1', duration_ns: 3n * MS },
    { trace: 'a2', span: 'b2', duration_ns: 30n * MS },
    { trace: 'a3', span: 'b3', duration_ns: 300n * MS },
  ]);
  const { resourceMetrics } = only(once([request], { exemplarsPerPoint: 2 }));
  const { exemplars } = resourceMetrics[0].scopeMetrics[0].metrics[1].histogram.dataPoints[0];
  assert.deepEqual(
    exemplars.map((e: { traceId: Buffer; spanId: Buffer; asDouble: number; timeUnixNano: string }) => [
      e.traceId.toString('hex').slice(-2),
      e.spanId.toString('hex').slice(-2),
      e.asDouble,
      e.timeUnixNano,
    ]),
    [
      ['a1', 'b1', 3, '1780000000003000000'],
      ['a2', 'b2', 30, '1780000000030000000'],
    ],
  );
});

void test('malformed bytes are refused as such', () => {
  const { metrics } = create();
  assert.throws(() => metrics.fold(Buffer.from([0x0a, 0x7f]), T), Malformed);
});
