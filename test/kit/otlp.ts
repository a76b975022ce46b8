import { encode } from './proto.ts';

/** Short builders over kit/proto.ts, with defaults that pass validation. Times are nanoseconds as bigint: test code may. */
export type AttributeValue = string | number | bigint | boolean | Buffer | AttributeValue[] | { [key: string]: AttributeValue };

export interface SpanSpec {
  trace?: string; // 32 hex digits; shorter is padded on the left with zeros
  span?: string;
  parent?: string;
  name?: string;
  kind?: number;
  start_ns?: bigint;
  duration_ns?: bigint;
  status?: number;
  statusMessage?: string;
  traceState?: string;
  flags?: number;
  attributes?: Record<string, AttributeValue>;
  events?: { time_ns?: bigint; name?: string; attributes?: Record<string, AttributeValue> }[];
  links?: { trace: string; span: string; traceState?: string; attributes?: Record<string, AttributeValue> }[];
}

export const BASE_NS = 1_780_000_000_000_000_000n; // 2026-05-28

export function anyValue(value: AttributeValue): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'bigint') return { intValue: value.toString() };
  if (typeof value === 'number') return Number.isSafeInteger(value) ? { intValue: value } : { doubleValue: value };
  if (Buffer.isBuffer(value)) return { bytesValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
  return { kvlistValue: { values: keyValues(value) } };
}

export function keyValues(attributes: Record<string, AttributeValue> = {}): object[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }));
}

const hex = (digits: string, length: number): Buffer => Buffer.from(digits.padStart(length, '0'), 'hex');

export function span(spec: SpanSpec = {}): object {
  const start = spec.start_ns ?? BASE_NS;
  return {
    traceId: hex(spec.trace ?? '1', 32),
    spanId: hex(spec.span ?? '1', 16),
    ...(spec.parent === undefined ? {} : { parentSpanId: hex(spec.parent, 16) }),
    ...(spec.traceState === undefined ? {} : { traceState: spec.traceState }),
    name: spec.name ?? 'GET /',
    kind: spec.kind ?? 2,
    startTimeUnixNano: start.toString(),
    endTimeUnixNano: (start + (spec.duration_ns ?? 1_000_000n)).toString(),
    attributes: keyValues(spec.attributes),
    ...(spec.events === undefined
      ? {}
      : {
          events: spec.events.map((e) => ({
            timeUnixNano: (e.time_ns ?? start).toString(),
            name: e.name ?? 'event',
            attributes: keyValues(e.attributes),
          })),
        }),
    ...(spec.links === undefined
      ? {}
      : {
          links: spec.links.map((l) => ({
            traceId: hex(l.trace, 32),
            spanId: hex(l.span, 16),
            ...(l.traceState === undefined ? {} : { traceState: l.traceState }),
            attributes: keyValues(l.attributes),
          })),
        }),
    ...(spec.status === undefined && spec.statusMessage === undefined
      ? {}
      : { status: { code: spec.status ?? 0, ...(spec.statusMessage === undefined ? {} : { message: spec.statusMessage }) } }),
    ...(spec.flags === undefined ? {} : { flags: spec.flags }),
  };
}

/** TracesData bytes: one resource, one scope. */
export function traces(spans: SpanSpec[], service = 'shop', resource: Record<string, AttributeValue> = {}): Buffer {
  return encode('TracesData', {
    resourceSpans: [
      {
        resource: { attributes: keyValues({ 'service.name': service, ...resource }) },
        scopeSpans: [{ scope: { name: 'test', version: '1' }, spans: spans.map(span) }],
      },
    ],
  });
}

/** LogsData bytes: one resource, one scope. */
export function logs(
  records: {
    time_ns?: bigint;
    body?: AttributeValue;
    severity?: number;
    trace?: string;
    span?: string;
    attributes?: Record<string, AttributeValue>;
  }[],
  service = 'shop',
): Buffer {
  return encode('LogsData', {
    resourceLogs: [
      {
        resource: { attributes: keyValues({ 'service.name': service }) },
        scopeLogs: [
          {
            scope: { name: 'test' },
            logRecords: records.map((r) => ({
              timeUnixNano: (r.time_ns ?? BASE_NS).toString(),
              severityNumber: r.severity ?? 9,
              severityText: 'INFO',
              body: anyValue(r.body ?? 'hello'),
              attributes: keyValues(r.attributes),
              ...(r.trace === undefined ? {} : { traceId: hex(r.trace, 32), spanId: hex(r.span ?? '1', 16) }),
            })),
          },
        ],
      },
    ],
  });
}
