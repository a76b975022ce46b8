/**
 * OTLP's messages as data (opentelemetry-proto v1.11: common, resource, trace, logs, metrics v1). Two readers are made
 * from this one table: json-encode.ts looks fields up by their JSON name, validate-table.ts by their number. The hot
 * views (span.ts, log-record.ts, metric.ts) know their fields by heart; the tests hold all of them against an
 * independent protobuf library.
 *
 * Message → JSON name → [field number, type, what is more]. A type is a scalar or the name of a message here.
 */
export type Scalar =
  | 'string' // LEN, UTF-8
  | 'bytes' // LEN; base64 in JSON
  | 'id' // LEN; bytes in protobuf, hex in JSON (OTLP specification, JSON Protobuf Encoding)
  | 'bool' // VARINT
  | 'enum' // VARINT, 32 bits; a number in JSON, never a name
  | 'uint32' // VARINT
  | 'sint32' // VARINT, zigzag
  | 'int64' // VARINT, two's complement
  | 'uint64' // VARINT
  | 'fixed32' // I32
  | 'fixed64' // I64
  | 'sfixed64' // I64
  | 'double'; // I64

/** What the validator asks of a field beyond its type; see validate-table.ts. */
export type Rule =
  | 'repeated'
  | 'span_trace_id' // 16 bytes, not all zero, exactly once
  | 'span_id' // 8 bytes, not all zero
  | 'parent_id' // 0 or 8 bytes
  | 'link_trace_id' // 16 bytes
  | 'link_span_id' // 8 bytes
  | 'log_trace_id' // 0 or 16 bytes
  | 'log_span_id' // 0 or 8 bytes
  | 'exemplar_trace_id' // 0 or 16 bytes
  | 'exemplar_span_id' // 0 or 8 bytes
  | 'start_time' // a span's; must be there
  | 'end_time' // a span's; must be there
  | 'point_time' // a data point's; must be there
  | 'optional_time'; // 0 or in range

export type FieldRow = readonly [number: number, type: string, rule?: Rule];

export const schema: Readonly<Record<string, Readonly<Record<string, FieldRow>>>> = {
  AnyValue: {
    stringValue: [1, 'string'],
    boolValue: [2, 'bool'],
    intValue: [3, 'int64'],
    doubleValue: [4, 'double'],
    arrayValue: [5, 'ArrayValue'],
    kvlistValue: [6, 'KeyValueList'],
    bytesValue: [7, 'bytes'],
  },
  ArrayValue: { values: [1, 'AnyValue', 'repeated'] },
  KeyValueList: { values: [1, 'KeyValue', 'repeated'] },
  KeyValue: { key: [1, 'string'], value: [2, 'AnyValue'] },
  Resource: { attributes: [1, 'KeyValue', 'repeated'], droppedAttributesCount: [2, 'uint32'] },
  InstrumentationScope: {
    name: [1, 'string'],
    version: [2, 'string'],
    attributes: [3, 'KeyValue', 'repeated'],
    droppedAttributesCount: [4, 'uint32'],
  },

  TracesData: { resourceSpans: [1, 'ResourceSpans', 'repeated'] },
  ResourceSpans: { resource: [1, 'Resource'], scopeSpans: [2, 'ScopeSpans', 'repeated'], schemaUrl: [3, 'string'] },
  ScopeSpans: { scope: [1, 'InstrumentationScope'], spans: [2, 'Span', 'repeated'], schemaUrl: [3, 'string'] },
  Span: {
    traceId: [1, 'id', 'span_trace_id'],
    spanId: [2, 'id', 'span_id'],
    traceState: [3, 'string'],
    parentSpanId: [4, 'id', 'parent_id'],
    name: [5, 'string'],
    kind: [6, 'enum'],
    startTimeUnixNano: [7, 'fixed64', 'start_time'],
    endTimeUnixNano: [8, 'fixed64', 'end_time'],
    attributes: [9, 'KeyValue', 'repeated'],
    droppedAttributesCount: [10, 'uint32'],
    events: [11, 'Event', 'repeated'],
    droppedEventsCount: [12, 'uint32'],
    links: [13, 'Link', 'repeated'],
    droppedLinksCount: [14, 'uint32'],
    status: [15, 'Status'],
    flags: [16, 'fixed32'],
  },
  Event: {
    timeUnixNano: [1, 'fixed64', 'optional_time'],
    name: [2, 'string'],
    attributes: [3, 'KeyValue', 'repeated'],
    droppedAttributesCount: [4, 'uint32'],
  },
  Link: {
    traceId: [1, 'id', 'link_trace_id'],
    spanId: [2, 'id', 'link_span_id'],
    traceState: [3, 'string'],
    attributes: [4, 'KeyValue', 'repeated'],
    droppedAttributesCount: [5, 'uint32'],
    flags: [6, 'fixed32'],
  },
  Status: { message: [2, 'string'], code: [3, 'enum'] },

  LogsData: { resourceLogs: [1, 'ResourceLogs', 'repeated'] },
  ResourceLogs: { resource: [1, 'Resource'], scopeLogs: [2, 'ScopeLogs', 'repeated'], schemaUrl: [3, 'string'] },
  ScopeLogs: { scope: [1, 'InstrumentationScope'], logRecords: [2, 'LogRecord', 'repeated'], schemaUrl: [3, 'string'] },
  LogRecord: {
    timeUnixNano: [1, 'fixed64', 'optional_time'],
    severityNumber: [2, 'enum'],
    severityText: [3, 'string'],
    body: [5, 'AnyValue'],
    attributes: [6, 'KeyValue', 'repeated'],
    droppedAttributesCount: [7, 'uint32'],
    flags: [8, 'fixed32'],
    traceId: [9, 'id', 'log_trace_id'],
    spanId: [10, 'id', 'log_span_id'],
    observedTimeUnixNano: [11, 'fixed64', 'optional_time'],
    eventName: [12, 'string'],
  },

  MetricsData: { resourceMetrics: [1, 'ResourceMetrics', 'repeated'] },
  ResourceMetrics: { resource: [1, 'Resource'], scopeMetrics: [2, 'ScopeMetrics', 'repeated'], schemaUrl: [3, 'string'] },
  ScopeMetrics: { scope: [1, 'InstrumentationScope'], metrics: [2, 'Metric', 'repeated'], schemaUrl: [3, 'string'] },
  Metric: {
    name: [1, 'string'],
    description: [2, 'string'],
    unit: [3, 'string'],
    gauge: [5, 'Gauge'],
    sum: [7, 'Sum'],
    histogram: [9, 'Histogram'],
    exponentialHistogram: [10, 'ExponentialHistogram'],
    summary: [11, 'Summary'],
    metadata: [12, 'KeyValue', 'repeated'],
  },
  // The start times of data points are not judged: the first export of an Envoy 1.40 has them in microseconds (test/fixtures/envoy/metrics-01.bin).
  Gauge: { dataPoints: [1, 'NumberDataPoint', 'repeated'] },
  Sum: { dataPoints: [1, 'NumberDataPoint', 'repeated'], aggregationTemporality: [2, 'enum'], isMonotonic: [3, 'bool'] },
  Histogram: { dataPoints: [1, 'HistogramDataPoint', 'repeated'], aggregationTemporality: [2, 'enum'] },
  ExponentialHistogram: { dataPoints: [1, 'ExponentialHistogramDataPoint', 'repeated'], aggregationTemporality: [2, 'enum'] },
  Summary: { dataPoints: [1, 'SummaryDataPoint', 'repeated'] },
  NumberDataPoint: {
    startTimeUnixNano: [2, 'fixed64'],
    timeUnixNano: [3, 'fixed64', 'point_time'],
    asDouble: [4, 'double'],
    exemplars: [5, 'Exemplar', 'repeated'],
    asInt: [6, 'sfixed64'],
    attributes: [7, 'KeyValue', 'repeated'],
    flags: [8, 'uint32'],
  },
  HistogramDataPoint: {
    startTimeUnixNano: [2, 'fixed64'],
    timeUnixNano: [3, 'fixed64', 'point_time'],
    count: [4, 'fixed64'],
    sum: [5, 'double'],
    bucketCounts: [6, 'fixed64', 'repeated'],
    explicitBounds: [7, 'double', 'repeated'],
    exemplars: [8, 'Exemplar', 'repeated'],
    attributes: [9, 'KeyValue', 'repeated'],
    flags: [10, 'uint32'],
    min: [11, 'double'],
    max: [12, 'double'],
  },
  ExponentialHistogramDataPoint: {
    attributes: [1, 'KeyValue', 'repeated'],
    startTimeUnixNano: [2, 'fixed64'],
    timeUnixNano: [3, 'fixed64', 'point_time'],
    count: [4, 'fixed64'],
    sum: [5, 'double'],
    scale: [6, 'sint32'],
    zeroCount: [7, 'fixed64'],
    positive: [8, 'Buckets'],
    negative: [9, 'Buckets'],
    flags: [10, 'uint32'],
    exemplars: [11, 'Exemplar', 'repeated'],
    min: [12, 'double'],
    max: [13, 'double'],
    zeroThreshold: [14, 'double'],
  },
  Buckets: { offset: [1, 'sint32'], bucketCounts: [2, 'uint64', 'repeated'] },
  SummaryDataPoint: {
    startTimeUnixNano: [2, 'fixed64'],
    timeUnixNano: [3, 'fixed64', 'point_time'],
    count: [4, 'fixed64'],
    sum: [5, 'double'],
    quantileValues: [6, 'ValueAtQuantile', 'repeated'],
    attributes: [7, 'KeyValue', 'repeated'],
    flags: [8, 'uint32'],
  },
  ValueAtQuantile: { quantile: [1, 'double'], value: [2, 'double'] },
  Exemplar: {
    timeUnixNano: [2, 'fixed64', 'optional_time'],
    asDouble: [3, 'double'],
    spanId: [4, 'id', 'exemplar_span_id'],
    traceId: [5, 'id', 'exemplar_trace_id'],
    asInt: [6, 'sfixed64'],
    filteredAttributes: [7, 'KeyValue', 'repeated'],
  },
};

/** The message a request of a signal is; Export…ServiceRequest has the same fields. */
export const rootOf = { traces: 'TracesData', metrics: 'MetricsData', logs: 'LogsData' } as const;
/** The message of an item. */
export const itemOf = { traces: 'Span', metrics: 'Metric', logs: 'LogRecord' } as const;
