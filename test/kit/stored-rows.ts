import type { Signal } from '../../pipelines/otlp/walk.ts';
import { decode } from './proto.ts';

/**
 * The rows that a Data message must become in the Collector exporter's tables, worked out with protobufjs and plain JavaScript: what encode
 * and the stored tables are held against. Values have the shapes of kit/native.ts. `undefined` timestamps, ids and texts become '0' and ''.
 */
export interface StoredRow {
  readonly table: string;
  readonly row: Record<string, unknown>;
}

// oxlint-disable-next-line typescript/no-explicit-any
type Decoded = any;
type Pairs = [string, string][];

const KINDS = ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'];
const CODES = ['Unset', 'Ok', 'Error'];
const INT64_MAX = 2n ** 63n - 1n;

export function storedRows(signal: Signal, bytes: Buffer): StoredRow[] {
  switch (signal) {
    case 'traces':
      return (decode('TracesData', bytes).resourceSpans ?? []).flatMap((r: Decoded) =>
        (r.scopeSpans ?? []).flatMap((s: Decoded) => (s.spans ?? []).map((span: Decoded) => spanRow(r, s, span))),
      );
    case 'logs':
      return (decode('LogsData', bytes).resourceLogs ?? []).flatMap((r: Decoded) =>
        (r.scopeLogs ?? []).flatMap((s: Decoded) => (s.logRecords ?? []).map((log: Decoded) => logRow(r, s, log))),
      );
    case 'metrics':
      return (decode('MetricsData', bytes).resourceMetrics ?? []).flatMap((r: Decoded) =>
        (r.scopeMetrics ?? []).flatMap((s: Decoded) => (s.metrics ?? []).flatMap((metric: Decoded) => metricRows(r, s, metric))),
      );
  }
}

function spanRow(r: Decoded, s: Decoded, span: Decoded): StoredRow {
  const duration = BigInt(span.endTimeUnixNano ?? 0) - BigInt(span.startTimeUnixNano ?? 0);
  const events: Decoded[] = span.events ?? [];
  const links: Decoded[] = span.links ?? [];
  return {
    table: 'otel_traces',
    row: {
      Timestamp: time(span.startTimeUnixNano),
      TraceId: hex(span.traceId),
      SpanId: hex(span.spanId),
      ParentSpanId: hex(span.parentSpanId),
      TraceState: span.traceState ?? '',
      SpanName: span.name ?? '',
      SpanKind: KINDS[span.kind ?? 0] ?? '',
      ServiceName: serviceName(r),
      ResourceAttributes: pairs(r.resource?.attributes),
      ScopeName: s.scope?.name ?? '',
      ScopeVersion: s.scope?.version ?? '',
      SpanAttributes: pairs(span.attributes),
      Duration: (duration < 0n ? 0n : duration).toString(),
      StatusCode: CODES[span.status?.code ?? 0] ?? '',
      StatusMessage: span.status?.message ?? '',
      'Events.Timestamp': events.map((e) => time(e.timeUnixNano)),
      'Events.Name': events.map((e) => e.name ?? ''),
      'Events.Attributes': events.map((e) => pairs(e.attributes)),
      'Links.TraceId': links.map((l) => hex(l.traceId)),
      'Links.SpanId': links.map((l) => hex(l.spanId)),
      'Links.TraceState': links.map((l) => l.traceState ?? ''),
      'Links.Attributes': links.map((l) => pairs(l.attributes)),
    },
  };
}

function logRow(r: Decoded, s: Decoded, log: Decoded): StoredRow {
  const when = BigInt(log.timeUnixNano ?? 0) === 0n ? log.observedTimeUnixNano : log.timeUnixNano;
  return {
    table: 'otel_logs',
    row: {
      Timestamp: time(when),
      TraceId: hex(log.traceId),
      SpanId: hex(log.spanId),
      TraceFlags: (log.flags ?? 0) % 256,
      SeverityText: log.severityText ?? '',
      SeverityNumber: log.severityNumber ?? 0,
      ServiceName: serviceName(r),
      Body: asString(log.body),
      ResourceSchemaUrl: r.schemaUrl ?? '',
      ResourceAttributes: pairs(r.resource?.attributes),
      ScopeSchemaUrl: s.schemaUrl ?? '',
      ScopeName: s.scope?.name ?? '',
      ScopeVersion: s.scope?.version ?? '',
      ScopeAttributes: pairs(s.scope?.attributes),
      LogAttributes: pairs(log.attributes),
      EventName: log.eventName ?? '',
    },
  };
}

function metricRows(r: Decoded, s: Decoded, metric: Decoded): StoredRow[] {
  const common = (point: Decoded): Record<string, unknown> => ({
    ResourceAttributes: pairs(r.resource?.attributes),
    ResourceSchemaUrl: r.schemaUrl ?? '',
    ScopeName: s.scope?.name ?? '',
    ScopeVersion: s.scope?.version ?? '',
    ScopeAttributes: pairs(s.scope?.attributes),
    ScopeDroppedAttrCount: s.scope?.droppedAttributesCount ?? 0,
    ScopeSchemaUrl: s.schemaUrl ?? '',
    ServiceName: serviceName(r),
    MetricName: metric.name ?? '',
    MetricDescription: metric.description ?? '',
    MetricUnit: metric.unit ?? '',
    Attributes: pairs(point.attributes),
    StartTimeUnix: time(point.startTimeUnixNano),
    TimeUnix: time(point.timeUnixNano),
    Flags: point.flags ?? 0,
  });
  const rows = (table: string, data: Decoded, own: (point: Decoded) => Record<string, unknown>): StoredRow[] =>
    (data.dataPoints ?? []).map((point: Decoded) => ({ table: `otel_metrics_${table}`, row: { ...common(point), ...own(point) } }));
  const { gauge, sum, histogram, exponentialHistogram, summary } = metric;
  if (gauge) return rows('gauge', gauge, (p) => ({ Value: number(p), ...exemplars(p) }));
  if (sum) {
    return rows('sum', sum, (p) => ({
      Value: number(p),
      AggregationTemporality: sum.aggregationTemporality ?? 0,
      IsMonotonic: sum.isMonotonic ?? false,
      ...exemplars(p),
    }));
  }
  if (histogram) {
    return rows('histogram', histogram, (p) => ({
      ...totals(p),
      BucketCounts: p.bucketCounts ?? [],
      ExplicitBounds: p.explicitBounds ?? [],
      Min: p.min ?? 0,
      Max: p.max ?? 0,
      AggregationTemporality: histogram.aggregationTemporality ?? 0,
      ...exemplars(p),
    }));
  }
  if (exponentialHistogram) {
    return rows('exponential_histogram', exponentialHistogram, (p) => ({
      ...totals(p),
      Scale: p.scale ?? 0,
      ZeroCount: p.zeroCount ?? '0',
      PositiveOffset: p.positive?.offset ?? 0,
      PositiveBucketCounts: p.positive?.bucketCounts ?? [],
      NegativeOffset: p.negative?.offset ?? 0,
      NegativeBucketCounts: p.negative?.bucketCounts ?? [],
      Min: p.min ?? 0,
      Max: p.max ?? 0,
      AggregationTemporality: exponentialHistogram.aggregationTemporality ?? 0,
      ...exemplars(p),
    }));
  }
  if (summary) {
    return rows('summary', summary, (p) => ({
      ...totals(p),
      'ValueAtQuantiles.Quantile': (p.quantileValues ?? []).map((q: Decoded) => q.quantile ?? 0),
      'ValueAtQuantiles.Value': (p.quantileValues ?? []).map((q: Decoded) => q.value ?? 0),
    }));
  }
  return [];
}

function totals(p: Decoded): Record<string, unknown> {
  return { Count: p.count ?? '0', Sum: p.sum ?? 0 };
}

function exemplars(p: Decoded): Record<string, unknown> {
  const list: Decoded[] = p.exemplars ?? [];
  return {
    'Exemplars.FilteredAttributes': list.map((e) => pairs(e.filteredAttributes)),
    'Exemplars.TimeUnix': list.map((e) => time(e.timeUnixNano)),
    'Exemplars.Value': list.map(number),
    'Exemplars.SpanId': list.map((e) => hex(e.spanId)),
    'Exemplars.TraceId': list.map((e) => hex(e.traceId)),
  };
}

function number(p: Decoded): number {
  return p.asInt === undefined ? (p.asDouble ?? 0) : Number(BigInt(p.asInt));
}

function time(nanos: string | undefined): string {
  const value = BigInt(nanos ?? 0);
  return (value > INT64_MAX ? INT64_MAX : value).toString();
}

function hex(id: Buffer | undefined): string {
  return id === undefined || id.every((byte) => byte === 0) ? '' : id.toString('hex');
}

function serviceName(r: Decoded): string {
  return asString((r.resource?.attributes ?? []).find((a: Decoded) => (a.key ?? '') === 'service.name')?.value);
}

/** Sorted by the keys' UTF-8; a stable sort. */
function pairs(attributes: Decoded[] = []): Pairs {
  return attributes
    .map((a): [string, string] => [a.key ?? '', asString(a.value)])
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** pcommon.Value.AsString. */
function asString(value: Decoded): string {
  if (value?.stringValue !== undefined) return value.stringValue;
  if (value?.boolValue !== undefined) return value.boolValue ? 'true' : 'false';
  if (value?.intValue !== undefined) return BigInt(value.intValue).toString();
  if (value?.doubleValue !== undefined) return double(value.doubleValue);
  if (value?.bytesValue !== undefined) return value.bytesValue.toString('base64');
  if (value?.arrayValue === undefined && value?.kvlistValue === undefined) return '';
  const text = json(value);
  return text.includes(UNSUPPORTED) ? '' : text;
}

const UNSUPPORTED = 'json: unsupported value';

function double(value: number): string {
  if (!Number.isFinite(value)) return `${UNSUPPORTED}: ${Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'}`;
  return Object.is(value, -0) ? '-0' : `${value}`;
}

/** Go's json.Marshal: as JSON.stringify, but with sorted keys and some characters escaped. */
function json(value: Decoded): string {
  if (value?.stringValue !== undefined) return quoted(value.stringValue);
  if (value?.bytesValue !== undefined) return `"${value.bytesValue.toString('base64')}"`;
  if (value?.arrayValue !== undefined) return `[${(value.arrayValue.values ?? []).map(json).join(',')}]`;
  if (value?.kvlistValue !== undefined) {
    const byKey = new Map<string, Decoded>((value.kvlistValue.values ?? []).map((a: Decoded) => [a.key ?? '', a.value]));
    const sorted = [...byKey].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    return `{${sorted.map(([key, inner]) => `${quoted(key)}:${json(inner)}`).join(',')}}`;
  }
  return asString(value) || 'null';
}

function quoted(text: string): string {
  return JSON.stringify(text).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
