import type { Dimension } from './dimensions.ts';

/** Names and defaults follow the Collector's spanmetrics connector (connector/spanmetricsconnector, config.go and factory.go), except where it says so. */
export interface SpanMetricsSettings {
  /** `metrics_flush_interval`: width of a window in log time; windows begin at its multiples since 1970. The Collector's default is 60 s. */
  readonly interval_ms: number;
  /** `namespace`: names are `namespace.calls` and `namespace.duration`; '' for bare names. */
  readonly namespace: string;
  readonly histogram: HistogramSettings;
  /** `dimensions`: beyond service.name, span.name, span.kind and status.code. */
  readonly dimensions: readonly Dimension[];
  /** `exclude_dimensions`: names of either kind. An excluded service.name still tells resources apart. */
  readonly excludeDimensions: readonly string[];
  /**
   * `aggregation_cardinality_limit`: series a window, all services together (the Collector counts each resource by itself and has no
   * limit by default). A span that would need one more counts in its service's series `otel.metric.overflow` = true.
   */
  readonly cardinalityLimit: number;
  /** `resource_metrics_cache_size`: services a window. Spans of one more count in one overflow series without a service. */
  readonly servicesLimit: number;
  /** `exemplars.max_per_data_point`; 0 where `exemplars.enabled` is false. */
  readonly exemplarsPerPoint: number;
  /** A record of metrics is closed once it has this many bytes. */
  readonly record_bytes_max: number;
}

export interface HistogramSettings {
  /** `none` is the Collector's `histogram.disable`. */
  readonly kind: 'explicit' | 'exponential' | 'none';
  /** `histogram.unit`. */
  readonly unit: 'ms' | 's';
  /** `histogram.explicit.buckets`: upper bounds in ms, ascending; fractions down to 1 ns. */
  readonly buckets_ms: readonly number[];
  /** `histogram.exponential.max_size`: buckets a series, at least 2. */
  readonly maxSize: number;
}

export const spanMetricsDefaults: SpanMetricsSettings = {
  interval_ms: 15_000,
  namespace: 'traces.span.metrics',
  histogram: {
    kind: 'explicit',
    unit: 'ms',
    buckets_ms: [2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000],
    maxSize: 160,
  },
  dimensions: [],
  excludeDimensions: [],
  cardinalityLimit: 10_000,
  servicesLimit: 1000,
  exemplarsPerPoint: 0,
  record_bytes_max: 1_000_000,
};
