import assert from 'node:assert/strict';
import { spanMetricsDefaults, type SpanMetricsSettings } from '../../pipelines/aggregate/settings.ts';
import { SpanMetrics } from '../../pipelines/aggregate/span-metrics.ts';

export const MS = 1_000_000n;
export const T = 1_780_000_005_000;
export const windowOf = (time_ms: number): number => Math.floor(time_ms / 15_000) * 15_000;

export interface Emitted {
  bytes: Buffer;
  metrics: number;
  windowEnd_ms: number;
  part: number;
}

export function create(settings: Partial<SpanMetricsSettings> = {}): { metrics: SpanMetrics; emitted: Emitted[] } {
  const emitted: Emitted[] = [];
  const metrics = new SpanMetrics({ ...spanMetricsDefaults, ...settings }, (bytes, count, windowEnd_ms, part) => {
    emitted.push({ bytes: Buffer.from(bytes), metrics: count, windowEnd_ms, part });
  });
  return { metrics, emitted };
}

/** Everything of one window, at its defaults but for `settings`. */
export function once(requests: Buffer[], settings: Partial<SpanMetricsSettings> = {}): Emitted[] {
  const { metrics, emitted } = create(settings);
  for (const request of requests) metrics.fold(request, T);
  metrics.tick(T + 60_000);
  assert.equal(metrics.counters.imbalance(), 0);
  return emitted;
}
