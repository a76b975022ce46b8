import type { Writer } from '../wire/writer.ts';
import { grownF64, grownI32 } from './grow.ts';
import type { DurationHistogram, PointFields } from './histogram.ts';
import { METRIC_EXPONENTIAL_HISTOGRAM } from './histogram.ts';

export const EXPONENTIAL_FIELDS: PointFields = { attributes: 1, exemplars: 11, min: 12, max: 13 };

/** OpenTelemetry SDK specification, Base2 Exponential Bucket Histogram Aggregation: MaxScale 20. Below −10 no double needs a coarser scale. */
const SCALE_MAX = 20;
const SCALE_MIN = -10;

const double = new Float64Array(1);
const halves = new Uint32Array(double.buffer);

/**
 * The index i with base^i < value ≤ base^(i+1), base = 2^(2^−scale) (metrics data model, Exponential Histogram).
 * `value` is a positive normal double. Powers of two are exact at every scale; other values within a rounding of the
 * logarithm, which the data model allows.
 */
export function bucketIndex(value: number, scale: number): number {
  double[0] = value;
  const exponent = ((halves[1]! >>> 20) & 0x7ff) - 1023;
  const isPower = (halves[1]! & 0xf_ffff) === 0 && halves[0] === 0;
  if (scale <= 0) return (isPower ? exponent - 1 : exponent) >> -scale;
  if (isPower) return exponent * 2 ** scale - 1;
  // The logarithm of a value next to a power of two may round onto it: never leave the octave.
  const index = Math.ceil(Math.log2(value) * 2 ** scale) - 1;
  return Math.min(Math.max(index, exponent * 2 ** scale), (exponent + 1) * 2 ** scale - 1);
}

/**
 * opentelemetry-proto metrics/v1/metrics.proto:
 *   ExponentialHistogramDataPoint { …; sint32 scale = 6; fixed64 zero_count = 7; Buckets positive = 8; … }
 *   Buckets { sint32 offset = 1; repeated uint64 bucket_counts = 2 }
 *
 * Each series begins at the finest scale; where its values do not fit `maxSize` buckets, the scale falls and pairs of
 * buckets merge. Buckets lie in a ring: index i at i mod maxSize, so that growing downwards moves nothing.
 */
export class ExponentialHistogram implements DurationHistogram {
  readonly metricField = METRIC_EXPONENTIAL_HISTOGRAM;
  private readonly maxSize: number;
  private readonly unit_ns: number;
  private readonly merged: Float64Array<ArrayBuffer>;
  private counts: Float64Array<ArrayBuffer>;
  private zeros = new Float64Array(16);
  private scales = new Int32Array(16);
  /** Lowest and highest index in use; low > high where there is none. */
  private lows = new Int32Array(16);
  private highs = new Int32Array(16);

  /** `maxSize` ≥ 2 buckets a series. */
  constructor(maxSize: number, unit_ns: number) {
    this.maxSize = maxSize;
    this.unit_ns = unit_ns;
    this.merged = new Float64Array(maxSize);
    this.counts = new Float64Array(maxSize * 16);
  }

  begin(series: number): void {
    const from = series * this.maxSize;
    this.counts = grownF64(this.counts, from + this.maxSize);
    this.counts.fill(0, from, from + this.maxSize);
    this.zeros = grownF64(this.zeros, series + 1);
    this.scales = grownI32(this.scales, series + 1);
    this.lows = grownI32(this.lows, series + 1);
    this.highs = grownI32(this.highs, series + 1);
    this.zeros[series] = 0;
    this.scales[series] = SCALE_MAX;
    this.lows[series] = 0;
    this.highs[series] = -1;
  }

  observe(series: number, duration_ns: number, count: number): void {
    if (duration_ns <= 0) {
      this.zeros[series] = this.zeros[series]! + count;
      return;
    }
    let index = bucketIndex(duration_ns / this.unit_ns, this.scales[series]!);
    let low = this.lows[series]!;
    let high = this.highs[series]!;
    const empty = low > high;
    low = empty ? index : Math.min(low, index);
    high = empty ? index : Math.max(high, index);
    let steps = 0;
    while (high - low >= this.maxSize && this.scales[series]! - steps > SCALE_MIN) {
      low >>= 1;
      high >>= 1;
      steps++;
    }
    if (steps > 0) {
      this.coarsen(series, steps);
      index >>= steps;
    }
    this.lows[series] = low;
    this.highs[series] = high;
    const at = series * this.maxSize + this.ring(index);
    this.counts[at] = this.counts[at]! + count;
  }

  write(writer: Writer, series: number): void {
    writer.varintField(6, zigzag(this.scales[series]!));
    const zeros = this.zeros[series]!;
    if (zeros > 0) writer.fixed64Field(7, zeros, Math.floor(zeros / 0x1_0000_0000));
    const low = this.lows[series]!;
    const high = this.highs[series]!;
    if (low > high) return;
    const buckets = writer.open(8, this.maxSize);
    writer.varintField(1, zigzag(low));
    const packed = writer.open(2, this.maxSize);
    const from = series * this.maxSize;
    for (let index = low; index <= high; index++) writer.varint(this.counts[from + this.ring(index)]!);
    writer.close(packed);
    writer.close(buckets);
  }

  /** Merges 2^steps neighbours each. */
  private coarsen(series: number, steps: number): void {
    const from = series * this.maxSize;
    const low = this.lows[series]!;
    const high = this.highs[series]!;
    this.scales[series] = this.scales[series]! - steps;
    if (low > high) return;
    this.merged.fill(0);
    for (let index = low; index <= high; index++) {
      const at = this.ring(index >> steps);
      this.merged[at] = this.merged[at]! + this.counts[from + this.ring(index)]!;
    }
    this.counts.set(this.merged, from);
  }

  private ring(index: number): number {
    const at = index % this.maxSize;
    return at < 0 ? at + this.maxSize : at;
  }
}

function zigzag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0;
}
