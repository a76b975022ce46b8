import { createHash } from 'node:crypto';
import { spanMetricsDefaults } from '../../pipelines/aggregate/settings.ts';
import { SpanMetrics } from '../../pipelines/aggregate/span-metrics.ts';
import { decode, encode } from '../kit/proto.ts';
import { keyValues, span } from '../kit/otlp.ts';
import type { Bench, Scale } from './bench.ts';

/** Seeded mesh traffic: 15 services, 12 routes, about 20 string attributes a span. */
const SERVICES = 15;
const ROUTES = 12;
const SPANS_PER_REQUEST = 50;
const REQUESTS = 40;

function requests(): Buffer[] {
  let state = 7;
  const next = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  return Array.from({ length: REQUESTS }, () => {
    const service = `service-${next(SERVICES)}`;
    const spans = Array.from({ length: SPANS_PER_REQUEST }, () => {
      const error = next(100) === 0;
      const attributes: Record<string, string> = { 'http.method': 'GET', 'http.status_code': error ? '503' : '200' };
      for (let i = 0; i < 18; i++) attributes[`istio.attribute.${i}`] = `value ${next(1000)} of some length`;
      return span({
        trace: (next(2 ** 24) + 1).toString(16),
        span: (next(2 ** 24) + 1).toString(16),
        name: `${service}.shop.svc.cluster.local:8080/route/${next(ROUTES)}`,
        kind: 2 + next(2),
        status: error ? 2 : 0,
        duration_ns: BigInt(next(2 ** 24)) * 10n,
        attributes,
      });
    });
    return encode('TracesData', {
      resourceSpans: [
        { resource: { attributes: keyValues({ 'service.name': service }) }, scopeSpans: [{ scope: { name: 'envoy' }, spans }] },
      ],
    });
  });
}

let input: Buffer[] | undefined;

function bench(name: string, kind: 'explicit' | 'exponential', dimensions: { name: string }[]): Bench {
  return {
    name: `aggregate: ${name}`,
    unit: 'span',
    prepare: () => {
      input ??= requests();
    },
    run(scale: Scale) {
      input ??= requests();
      const rounds = scale === 'smoke' ? 2 : 300;
      const hash = createHash('sha256');
      let calls = 0;
      const settings = { ...spanMetricsDefaults, dimensions, histogram: { ...spanMetricsDefaults.histogram, kind } };
      const metrics = new SpanMetrics(settings, (bytes) => {
        hash.update(bytes);
        if (scale === 'smoke') calls += callsOf(bytes);
      });
      // A round is one window: what a close costs is part of the work, as it is in a partition of about 130 spans a second.
      for (let round = 0; round < rounds; round++) for (const bytes of input) metrics.fold(bytes, round * settings.interval_ms);
      metrics.tick(rounds * settings.interval_ms);
      const items = rounds * REQUESTS * SPANS_PER_REQUEST;
      if (metrics.counters.out !== items || metrics.overflowSpans !== 0)
        throw new Error(`${metrics.counters.out} of ${items} spans came out`);
      if (scale === 'smoke' && calls !== items) throw new Error(`${calls} calls of ${items} spans`);
      return { items, hash: hash.digest('hex').slice(0, 16) };
    },
  };
}

function callsOf(bytes: Buffer): number {
  let calls = 0;
  for (const { scopeMetrics } of decode('MetricsData', bytes).resourceMetrics) {
    for (const { metrics } of scopeMetrics) {
      for (const { sum } of metrics) for (const point of sum?.dataPoints ?? []) calls += Number(point.asInt);
    }
  }
  return calls;
}

export const benches: Bench[] = [
  bench('span metrics, explicit histogram', 'explicit', []),
  bench('span metrics, exponential histogram', 'exponential', []),
  bench('span metrics, two more dimensions', 'explicit', [{ name: 'http.method' }, { name: 'http.status_code' }]),
];
