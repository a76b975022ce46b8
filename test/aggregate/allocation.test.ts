import assert from 'node:assert/strict';
import { test } from 'node:test';
import v8 from 'node:v8';
import { spanMetricsDefaults } from '../../pipelines/aggregate/settings.ts';
import { SpanMetrics } from '../../pipelines/aggregate/span-metrics.ts';
import { traces } from '../kit/otlp.ts';
import { T } from './once.ts';

/** About 20 in fact: a number or two beyond 31 bits that V8 boxes (12 bytes each). An object for every attribute of these spans would be over 80, a string or a subarray a span as much. */
const SPAN_BYTES_MAX = 48;

interface HeapWithTotal {
  total_allocated_bytes: number;
}
const allocated_bytes = (): number => (v8.getHeapStatistics() as unknown as HeapWithTotal).total_allocated_bytes;

void test('folding allocates next to nothing a span', () => {
  const request = traces(
    Array.from({ length: 500 }, (_, i) => ({
      name: `GET /${i % 40}`,
      trace: (i + 1).toString(16),
      traceState: 'vendor=1,ot=th:5555',
      attributes: { 'http.method': 'GET', code: i % 7, other: 'x'.repeat(40) },
    })),
  );
  for (const kind of ['explicit', 'exponential'] as const) {
    const metrics = new SpanMetrics(
      {
        ...spanMetricsDefaults,
        dimensions: [{ name: 'http.method' }, { name: 'code' }],
        exemplarsPerPoint: 1,
        histogram: { ...spanMetricsDefaults.histogram, kind },
      },
      () => {},
    );
    const rounds = 60;
    const fold = (): number => {
      const before = allocated_bytes();
      for (let i = 0; i < rounds; i++) metrics.fold(request, T);
      return (allocated_bytes() - before) / (rounds * 500);
    };
    // The first one or two run before the optimising compiler has come round.
    const perSpan = Math.min(fold(), fold(), fold(), fold());
    assert.ok(perSpan >= 0 && perSpan < SPAN_BYTES_MAX, `${kind}: ${perSpan.toFixed(1)} bytes a span`);
  }
});
