import { decode } from '../kit/proto.ts';

/** Span metrics the slow and plain way, over decoded objects: what the real ones are compared with. */
interface NaivePoint {
  attributes: Record<string, unknown>;
  calls: number;
  sum_ms: number;
  min_ms: number;
  max_ms: number;
  buckets: number[];
}
export const BOUNDS_MS = [2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000];
const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];
const STATUSES = ['UNSET', 'OK', 'ERROR'];

export interface AnyValue {
  stringValue?: string;
  intValue?: string;
  boolValue?: boolean;
  doubleValue?: number;
}
const plain = (value: AnyValue | undefined): unknown =>
  value === undefined ? undefined : (value.stringValue ?? value.intValue ?? value.boolValue ?? value.doubleValue ?? null);

export function attributesOf(list: { key: string; value?: AnyValue }[] = []): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }) => [key, plain(value)]));
}

/** service → JSON of the attributes → point */
export type NaiveWindow = Map<string, Map<string, NaivePoint>>;

export function naive(requests: readonly Buffer[], dimensions: readonly { name: string; default?: string }[] = []): NaiveWindow {
  const services: NaiveWindow = new Map();
  for (const request of requests) {
    for (const { resource, scopeSpans = [] } of decode('TracesData', request).resourceSpans ?? []) {
      const resourceAttributes = attributesOf(resource?.attributes);
      const service = (resourceAttributes['service.name'] as string | undefined) ?? 'unknown_service';
      for (const { spans = [] } of scopeSpans) {
        for (const span of spans) {
          const own = attributesOf(span.attributes);
          const attributes: Record<string, unknown> = {
            'service.name': service,
            'span.name': span.name ?? '',
            'span.kind': `SPAN_KIND_${KINDS[span.kind ?? 0] ?? KINDS[0]}`,
            'status.code': `STATUS_CODE_${STATUSES[span.status?.code ?? 0] ?? STATUSES[0]}`,
          };
          for (const { name, default: fallback } of dimensions) {
            const value = name in own ? own[name] : name in resourceAttributes ? resourceAttributes[name] : fallback;
            if (value !== undefined) attributes[name] = value;
          }
          const end = BigInt(span.endTimeUnixNano ?? 0);
          const start = BigInt(span.startTimeUnixNano ?? 0);
          const duration_ms = end > start ? Number(end - start) / 1e6 : 0;
          const points = services.get(service) ?? new Map<string, NaivePoint>();
          services.set(service, points);
          const key = JSON.stringify(attributes);
          const point = points.get(key) ?? {
            attributes,
            calls: 0,
            sum_ms: 0,
            min_ms: Infinity,
            max_ms: 0,
            buckets: Array.from({ length: BOUNDS_MS.length + 1 }, () => 0),
          };
          points.set(key, point);
          point.calls++;
          point.sum_ms += duration_ms;
          point.min_ms = Math.min(point.min_ms, duration_ms);
          point.max_ms = Math.max(point.max_ms, duration_ms);
          const bucket = BOUNDS_MS.findIndex((bound) => duration_ms <= bound);
          const at = bucket < 0 ? BOUNDS_MS.length : bucket;
          point.buckets[at] = point.buckets[at]! + 1;
        }
      }
    }
  }
  return services;
}

/** What SpanMetrics gave out, in the same shape. Checks on the way that calls and duration agree. */
export function read(records: readonly Buffer[]): NaiveWindow {
  const services: NaiveWindow = new Map();
  for (const record of records) {
    for (const { resource, scopeMetrics } of decode('MetricsData', record).resourceMetrics) {
      const service = attributesOf(resource.attributes)['service.name'] as string;
      const points = services.get(service) ?? new Map<string, NaivePoint>();
      services.set(service, points);
      for (const { metrics } of scopeMetrics) {
        for (const metric of metrics) {
          for (const dp of (metric.sum ?? metric.histogram ?? metric.exponentialHistogram).dataPoints) {
            const attributes = attributesOf(dp.attributes);
            const key = JSON.stringify(attributes);
            const point = points.get(key) ?? { attributes, calls: 0, sum_ms: 0, min_ms: 0, max_ms: 0, buckets: [] };
            points.set(key, point);
            if (metric.sum !== undefined) point.calls += Number(dp.asInt);
            else {
              if (Number(dp.count) !== point.calls) throw new Error(`count ${dp.count} of ${key}, but ${point.calls} calls`);
              point.sum_ms += dp.sum;
              point.min_ms = dp.min;
              point.max_ms = dp.max;
              point.buckets = (dp.bucketCounts ?? []).map(Number);
            }
          }
        }
      }
    }
  }
  return services;
}
