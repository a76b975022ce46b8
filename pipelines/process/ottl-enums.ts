/** The enum names that conditions may use, with their numbers in opentelemetry-proto and, for METRIC_DATA_TYPE_*, in the Collector's pdata. */
export const OTTL_ENUMS: ReadonlyMap<string, number> = new Map([
  ['SPAN_KIND_UNSPECIFIED', 0],
  ['SPAN_KIND_INTERNAL', 1],
  ['SPAN_KIND_SERVER', 2],
  ['SPAN_KIND_CLIENT', 3],
  ['SPAN_KIND_PRODUCER', 4],
  ['SPAN_KIND_CONSUMER', 5],
  ['STATUS_CODE_UNSET', 0],
  ['STATUS_CODE_OK', 1],
  ['STATUS_CODE_ERROR', 2],
  ['SEVERITY_NUMBER_UNSPECIFIED', 0],
  ...['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'].flatMap((level, i) =>
    ['', '2', '3', '4'].map((step, j): [string, number] => [`SEVERITY_NUMBER_${level}${step}`, 1 + i * 4 + j]),
  ),
  ['METRIC_DATA_TYPE_NONE', 0],
  ['METRIC_DATA_TYPE_GAUGE', 1],
  ['METRIC_DATA_TYPE_SUM', 2],
  ['METRIC_DATA_TYPE_HISTOGRAM', 3],
  ['METRIC_DATA_TYPE_EXPONENTIAL_HISTOGRAM', 4],
  ['METRIC_DATA_TYPE_SUMMARY', 5],
  ['AGGREGATION_TEMPORALITY_UNSPECIFIED', 0],
  ['AGGREGATION_TEMPORALITY_DELTA', 1],
  ['AGGREGATION_TEMPORALITY_CUMULATIVE', 2],
]);

/** What `kind.string` reads, by SpanKind (pdata's SpanKind.String). */
export const SPAN_KIND_NAMES: readonly Buffer[] = ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'].map((name) =>
  Buffer.from(name),
);
