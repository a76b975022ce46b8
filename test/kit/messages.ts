import fc from 'fast-check';
import type { Signal } from '../../pipelines/otlp/walk.ts';
import { encode } from './proto.ts';

/** Random Data messages for property tests: every field, every kind of value, any Unicode, empty things, 64-bit extremes, times over several days. */
const text = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('', 'a', 'http.method', 'GET', 'x'.repeat(127), 'y'.repeat(128), '<&>\u2028"\\\b\f\n\u0001') },
  { weight: 2, arbitrary: fc.string({ unit: 'grapheme', maxLength: 12 }) },
);
const key = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('service.name', 'http.method', 'http.status_code', 'a', 'aa', 'é', '') },
  { weight: 1, arbitrary: text },
);
const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -10n, max: 10n }),
  fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n, 10n ** 18n),
);
const uint64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(0n, 1n, 2n ** 32n, 2n ** 64n - 1n));
const finite = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constantFrom(0, -0, 1e21, 1e-7, 123.5, 5e-324));
const any64 = fc.oneof(finite, fc.constantFrom(NaN, Infinity, -Infinity));
const bytes = fc.uint8Array({ maxLength: 9 }).map((b) => Buffer.from(b));

const { value } = fc.letrec<{ value: object; leaf: object; list: object; map: object }>((tie) => ({
  value: fc.oneof({ maxDepth: 3 }, tie('leaf'), tie('list'), tie('map')),
  leaf: fc.oneof(
    { weight: 5, arbitrary: text.map((stringValue) => ({ stringValue })) },
    { weight: 1, arbitrary: fc.boolean().map((boolValue) => ({ boolValue })) },
    { weight: 1, arbitrary: int64.map((n) => ({ intValue: n.toString() })) },
    { weight: 1, arbitrary: any64.map((doubleValue) => ({ doubleValue })) },
    { weight: 1, arbitrary: bytes.map((bytesValue) => ({ bytesValue })) },
    { weight: 1, arbitrary: fc.constant({}) },
  ),
  list: fc.array(tie('value'), { maxLength: 4 }).map((values) => ({ arrayValue: { values } })),
  map: fc.array(fc.record({ key, value: tie('value') }), { maxLength: 4 }).map((values) => ({ kvlistValue: { values } })),
}));
const attributes = fc.array(fc.record({ key, value }), { maxLength: 24, size: 'small' });

const DAY_NS = 86_400_000_000_000n;
const BASE_DAY = 20_600n;
/** Over three days, sharp on their borders now and then. */
const time = fc
  .tuple(fc.bigInt({ min: 0n, max: 2n }), fc.oneof(fc.bigInt({ min: 0n, max: DAY_NS - 1n }), fc.constantFrom(0n, DAY_NS - 1n)))
  .map(([day, ns]) => ((BASE_DAY + day) * DAY_NS + ns).toString());
const anyTime = fc.oneof(time, uint64.map(String));
const id = (size: number): fc.Arbitrary<Buffer> =>
  fc.oneof(
    { weight: 4, arbitrary: fc.uint8Array({ minLength: size, maxLength: size }).map((b) => Buffer.from(b)) },
    { weight: 1, arbitrary: fc.constantFrom(Buffer.alloc(0), Buffer.alloc(size)) },
  );
const uint32 = fc.nat(0xffff_ffff);

const span = fc.record(
  {
    traceId: id(16),
    spanId: id(8),
    traceState: text,
    parentSpanId: id(8),
    name: text,
    kind: fc.nat(7),
    startTimeUnixNano: time,
    endTimeUnixNano: anyTime,
    attributes,
    events: fc.array(fc.record({ timeUnixNano: anyTime, name: text, attributes }, { requiredKeys: [] }), { maxLength: 3 }),
    links: fc.array(fc.record({ traceId: id(16), spanId: id(8), traceState: text, attributes }, { requiredKeys: [] }), { maxLength: 3 }),
    status: fc.record({ message: text, code: fc.nat(4) }, { requiredKeys: [] }),
    flags: uint32,
  },
  { requiredKeys: [] },
);

const logRecord = fc.record(
  {
    timeUnixNano: fc.oneof(time, fc.constant('0')),
    observedTimeUnixNano: time,
    severityNumber: fc.nat(24),
    severityText: text,
    body: value,
    attributes,
    flags: uint32,
    traceId: id(16),
    spanId: id(8),
    eventName: text,
  },
  { requiredKeys: [] },
);

const number = fc.oneof(
  any64.map((asDouble) => ({ asDouble })),
  int64.map((n) => ({ asInt: n.toString() })),
  fc.constant({}),
);
const exemplars = fc.array(
  fc
    .tuple(
      fc.record({ timeUnixNano: anyTime, spanId: id(8), traceId: id(16), filteredAttributes: attributes }, { requiredKeys: [] }),
      number,
    )
    .map(([a, b]) => ({ ...a, ...b })),
  { maxLength: 3 },
);
const pointHead = { startTimeUnixNano: anyTime, timeUnixNano: time, attributes, flags: uint32 };
const numberPoint = fc.tuple(fc.record({ ...pointHead, exemplars }, { requiredKeys: [] }), number).map(([a, b]) => ({ ...a, ...b }));
const totals = { count: uint64.map(String), sum: any64 };
const extremes = { min: any64, max: any64 };
const counts = fc.array(uint64.map(String), { maxLength: 5 });
const buckets = fc.record({ offset: fc.integer(), bucketCounts: counts }, { requiredKeys: [] });
const points = (point: fc.Arbitrary<object>): fc.Arbitrary<object[]> => fc.array(point, { minLength: 1, maxLength: 3 });
const aggregationTemporality = fc.nat(2);
const data = fc.oneof(
  fc.record({ gauge: fc.record({ dataPoints: points(numberPoint) }) }),
  fc.record({ sum: fc.record({ dataPoints: points(numberPoint), aggregationTemporality, isMonotonic: fc.boolean() }) }),
  fc.record({
    histogram: fc.record({
      dataPoints: points(
        fc.record(
          { ...pointHead, ...totals, ...extremes, exemplars, bucketCounts: counts, explicitBounds: fc.array(any64, { maxLength: 4 }) },
          { requiredKeys: [] },
        ),
      ),
      aggregationTemporality,
    }),
  }),
  fc.record({
    exponentialHistogram: fc.record({
      dataPoints: points(
        fc.record(
          {
            ...pointHead,
            ...totals,
            ...extremes,
            exemplars,
            scale: fc.integer(),
            zeroCount: uint64.map(String),
            positive: buckets,
            negative: buckets,
          },
          { requiredKeys: [] },
        ),
      ),
      aggregationTemporality,
    }),
  }),
  fc.record({
    summary: fc.record({
      dataPoints: points(
        fc.record(
          { ...pointHead, ...totals, quantileValues: fc.array(fc.record({ quantile: finite, value: any64 }), { maxLength: 3 }) },
          { requiredKeys: [] },
        ),
      ),
    }),
  }),
);
const metric = fc
  .tuple(fc.record({ name: text, description: text, unit: text }, { requiredKeys: [] }), data)
  .map(([a, b]) => ({ ...a, ...b }));

const resource = fc.record({ attributes });
const scope = fc.record({ name: text, version: text, attributes, droppedAttributesCount: fc.nat(9) }, { requiredKeys: [] });
const message = (scopeX: string, items: string, resourceX: string, item: fc.Arbitrary<object>): fc.Arbitrary<object> =>
  fc
    .array(
      fc.record(
        {
          resource,
          schemaUrl: text,
          [scopeX]: fc.array(fc.record({ scope, schemaUrl: text, [items]: fc.array(item, { maxLength: 4 }) }, { requiredKeys: [items] }), {
            maxLength: 3,
          }),
        },
        { requiredKeys: [scopeX] },
      ),
      { maxLength: 3 },
    )
    .map((list) => ({ [resourceX]: list }));

/** Bytes of a message of the signal. */
export const messages: Record<Signal, fc.Arbitrary<Buffer>> = {
  traces: message('scopeSpans', 'spans', 'resourceSpans', span).map((m) => encode('TracesData', m)),
  logs: message('scopeLogs', 'logRecords', 'resourceLogs', logRecord).map((m) => encode('LogsData', m)),
  metrics: message('scopeMetrics', 'metrics', 'resourceMetrics', metric).map((m) => encode('MetricsData', m)),
};
