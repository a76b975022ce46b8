import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEY_BYTES_MAX } from '../../pipelines/aggregate/span-metrics.ts';
import { WEIGHT_MAX } from '../../pipelines/aggregate/weight.ts';
import { traces, type SpanSpec } from '../kit/otlp.ts';
import { decode } from '../kit/proto.ts';
import { attributesOf, read } from './naive.ts';
import { MS, T, create, once } from './once.ts';

void test('beyond the cardinality limit spans count in one overflow series of their service', () => {
  const { metrics, emitted } = create({ cardinalityLimit: 3 });
  const names = (prefix: string, count: number): SpanSpec[] => Array.from({ length: count }, (_, i) => ({ name: `${prefix}${i}` }));
  metrics.fold(traces(names('a', 5), 'one'), T);
  metrics.fold(traces([...names('a', 2), ...names('b', 4)], 'two'), T);
  metrics.fold(traces(names('a', 5), 'one'), T);
  metrics.tick(T + 60_000);
  const window = read(emitted.map((e) => e.bytes));
  const of = (service: string): unknown[] =>
    [...window.get(service)!.values()].map((p) => [p.attributes['span.name'], p.attributes, p.calls]);
  assert.deepEqual(
    of('one').map((p) => (p as unknown[])[0]),
    ['a0', 'a1', 'a2', undefined],
  );
  assert.deepEqual((of('one')[3] as unknown[]).slice(1), [{ 'otel.metric.overflow': true }, 4]);
  assert.deepEqual(of('two'), [[undefined, { 'otel.metric.overflow': true }, 6]]);
  assert.equal(metrics.overflowSpans, 10);
  assert.equal(metrics.counters.out, 16);
});

void test('beyond the services limit, and for names too long, spans count in one overflow series without a service', () => {
  const { metrics, emitted } = create({ servicesLimit: 2 });
  for (const service of ['one', 'two', 'three', 'four', 'one', 'x'.repeat(KEY_BYTES_MAX + 1)]) metrics.fold(traces([{}], service), T);
  metrics.fold(traces([{ name: 'y'.repeat(KEY_BYTES_MAX) }], 'one'), T);
  metrics.tick(T + 60_000);
  const { resourceMetrics } = decode('MetricsData', emitted[0]!.bytes);
  const found = resourceMetrics.map((r: { resource: { attributes?: [] }; scopeMetrics: { metrics: { sum: { dataPoints: [] } }[] }[] }) => [
    attributesOf(r.resource.attributes)['service.name'],
    r.scopeMetrics[0]!.metrics[0]!.sum.dataPoints.map((dp: { asInt: string; attributes: [] }) => [
      dp.asInt,
      attributesOf(dp.attributes)['otel.metric.overflow'],
    ]),
  ]);
  assert.deepEqual(found, [
    [
      'one',
      [
        ['2', undefined],
        ['1', true],
      ],
    ],
    ['two', [['1', undefined]]],
    [undefined, [['3', true]]],
  ]);
  assert.equal(metrics.overflowSpans, 4);
  metrics.fold(traces([{}], 'five'), T + 120_000);
  metrics.tick(T + 180_000);
  assert.deepEqual([...read([emitted[1]!.bytes]).keys()], ['five'], 'the limits begin anew with every window');
});

void test('a window larger than a record is cut into numbered records that hold it all', () => {
  const requests = Array.from({ length: 30 }, (_, s) =>
    traces(
      Array.from({ length: 20 }, (__, i) => ({ name: `GET /${i}` })),
      `service-${s}`,
    ),
  );
  const whole = once(requests);
  const cut = once(requests, { record_bytes_max: 20_000 });
  assert.equal(whole.length, 1);
  assert.ok(cut.length > 10);
  assert.deepEqual(
    cut.map((e) => e.part),
    cut.map((_, i) => i),
  );
  assert.ok(cut.every((e) => e.bytes.length < 22_000));
  for (const { bytes, metrics } of cut) {
    const { resourceMetrics } = decode('MetricsData', bytes);
    const count = resourceMetrics.flatMap((r: { scopeMetrics: { metrics: [] }[] }) => r.scopeMetrics.flatMap((s) => s.metrics)).length;
    assert.equal(count, metrics);
  }
  assert.deepEqual(read(cut.map((e) => e.bytes)), read(whole.map((e) => e.bytes)));
});

void test('a sampled span counts as often as its threshold says', () => {
  const point = (traceState: string): { calls: number; sum_ms: number; buckets: number[] } =>
    [
      ...read(once([traces([{ traceState, duration_ns: 3n * MS }])]).map((e) => e.bytes))
        .get('shop')!
        .values(),
    ][0]!;
  assert.equal(point('ot=th:8').calls, 2);
  assert.equal(point('ot=th:c').calls, 4);
  assert.equal(point('ot=th:c').sum_ms, 12);
  assert.equal(point('ot=th:c').buckets[1], 4);
  assert.equal(point('ot=th:0').calls, 1);
  assert.equal(point('vendor=1').calls, 1);
  assert.equal(point('ot=th:nonsense').calls, 1);
  const { metrics, emitted } = create();
  metrics.fold(traces([{ traceState: 'ot=th:ffffffffffffff' }]), T);
  metrics.tick(T + 60_000);
  assert.equal([...read([emitted[0]!.bytes]).get('shop')!.values()][0]!.calls, WEIGHT_MAX);
  assert.equal(metrics.cappedWeights, 1);
});

void test('an adjusted count that is not whole is rounded by the span id: right in the mean, and the same every time', () => {
  // 2^56 / (2^56 − 0x55555555555555) = 1.5
  const spans = Array.from({ length: 4000 }, (_, i): SpanSpec => ({
    traceState: 'ot=th:55555555555555',
    trace: (i >> 3).toString(16),
    span: (i + 1).toString(16),
  }));
  const emitted = once([traces(spans)]);
  const { calls } = [
    ...read(emitted.map((e) => e.bytes))
      .get('shop')!
      .values(),
  ][0]!;
  assert.ok(Math.abs(calls - 6000) < 150, `${calls} calls`);
  assert.deepEqual(once([traces(spans)])[0]!.bytes, emitted[0]!.bytes);
});
