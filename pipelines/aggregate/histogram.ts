import type { Writer } from '../wire/writer.ts';
import { grownF64 } from './grow.ts';

/** The buckets of every series' durations, by series number. Two forms: explicit bounds (here) and exponential. */
export interface DurationHistogram {
  /** Field of opentelemetry.proto.metrics.v1.Metric that holds this kind of data. */
  readonly metricField: number;
  /** Makes series `series` (one above the last) empty. */
  begin(series: number): void;
  /** `duration_ns` ≥ 0 happened `count` times. */
  observe(series: number, duration_ns: number, count: number): void;
  /** Writes what is particular to this kind into an open data point. */
  write(writer: Writer, series: number): void;
}

/** Of HistogramDataPoint or ExponentialHistogramDataPoint: where the fields that both have are. */
export interface PointFields {
  readonly attributes: number;
  readonly exemplars: number;
  readonly min: number;
  readonly max: number;
}
export const HISTOGRAM_FIELDS: PointFields = { attributes: 9, exemplars: 8, min: 11, max: 12 };

export const METRIC_SUM = 7;
const METRIC_HISTOGRAM = 9;
export const METRIC_EXPONENTIAL_HISTOGRAM = 10;

/**
 * opentelemetry-proto metrics/v1/metrics.proto:
 *   HistogramDataPoint { …; repeated fixed64 bucket_counts = 6; repeated double explicit_bounds = 7; … }
 * Bucket i counts what is in (bounds[i − 1], bounds[i]]; the last one everything above. Counts are doubles, exact to 2^53.
 * Durations are compared in whole nanoseconds, so that a bound is met exactly whatever the unit of the metric.
 */
export class ExplicitHistogram implements DurationHistogram {
  readonly metricField = METRIC_HISTOGRAM;
  private readonly bounds_ns: Float64Array;
  private readonly unit_ns: number;
  private readonly width: number;
  private counts: Float64Array<ArrayBuffer>;

  /** `bounds_ns` ascending, without repeats; `unit_ns` nanoseconds in the unit that bounds are written in. */
  constructor(bounds_ns: readonly number[], unit_ns: number) {
    this.bounds_ns = Float64Array.from(bounds_ns);
    this.unit_ns = unit_ns;
    this.width = bounds_ns.length + 1;
    this.counts = new Float64Array(this.width * 16);
  }

  begin(series: number): void {
    const from = series * this.width;
    this.counts = grownF64(this.counts, from + this.width);
    this.counts.fill(0, from, from + this.width);
  }

  observe(series: number, duration_ns: number, count: number): void {
    // The first bound that is not below: at most a handful of steps.
    const bounds = this.bounds_ns;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (bounds[middle]! < duration_ns) low = middle + 1;
      else high = middle;
    }
    const at = series * this.width + low;
    this.counts[at] = this.counts[at]! + count;
  }

  write(writer: Writer, series: number): void {
    const from = series * this.width;
    writer.tag(6, 2);
    writer.varint(this.width * 8);
    for (let i = 0; i < this.width; i++) {
      const count = this.counts[from + i]!;
      writer.u32(count);
      writer.u32(Math.floor(count / 0x1_0000_0000));
    }
    writer.tag(7, 2);
    writer.varint(this.bounds_ns.length * 8);
    for (let i = 0; i < this.bounds_ns.length; i++) writer.f64(this.bounds_ns[i]! / this.unit_ns);
  }
}
