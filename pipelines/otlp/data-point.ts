import { Malformed } from '../base/errors.ts';
import { Cursor, WIRE_I64, WIRE_LEN, WIRE_VARINT, i64ToNumber, u32 } from '../wire/cursor.ts';
import { AttributeList } from './attributes.ts';
import { METRIC_EXPONENTIAL_HISTOGRAM, METRIC_HISTOGRAM, METRIC_SUMMARY } from './metric.ts';
import { RangeList } from './span.ts';

/*
 * opentelemetry-proto metrics/v1/metrics.proto. All points have fixed64 start_time_unix_nano = 2 and time_unix_nano = 3; beside them
 *
 *   NumberDataPoint { oneof value: double as_double = 4; sfixed64 as_int = 6; repeated Exemplar exemplars = 5;
 *                     repeated KeyValue attributes = 7; uint32 flags = 8 }
 *   HistogramDataPoint { fixed64 count = 4; double sum = 5; repeated fixed64 bucket_counts = 6; repeated double explicit_bounds = 7;
 *                        repeated Exemplar exemplars = 8; repeated KeyValue attributes = 9; uint32 flags = 10; double min = 11; double max = 12 }
 *   ExponentialHistogramDataPoint { repeated KeyValue attributes = 1; fixed64 count = 4; double sum = 5; sint32 scale = 6; fixed64 zero_count = 7;
 *                        Buckets positive = 8; Buckets negative = 9; uint32 flags = 10; repeated Exemplar exemplars = 11;
 *                        double min = 12; double max = 13; double zero_threshold = 14 }
 *   Buckets { sint32 offset = 1; repeated uint64 bucket_counts = 2 }
 *   SummaryDataPoint { fixed64 count = 4; double sum = 5; repeated ValueAtQuantile quantile_values = 6; repeated KeyValue attributes = 7; uint32 flags = 8 }
 *   ValueAtQuantile { double quantile = 1; double value = 2 }
 *
 * Repeated numbers come packed (one LEN) or one field each; readers take both.
 */

// What a field of a point means, by its number: the four messages say the same things under different numbers.
const SKIP = 0;
const START = 1;
const TIME = 2;
const VALUE_F64 = 3;
const VALUE_I64 = 4;
const EXEMPLAR = 5;
const ATTRIBUTE = 6;
const FLAGS = 7;
const COUNT = 8;
const SUM = 9;
const COUNTS = 10;
const BOUNDS = 11;
const MIN = 12;
const MAX = 13;
const SCALE = 14;
const ZERO_COUNT = 15;
const POSITIVE = 16;
const NEGATIVE = 17;
const QUANTILE = 18;
const NUMBER_FIELDS = [SKIP, SKIP, START, TIME, VALUE_F64, EXEMPLAR, VALUE_I64, ATTRIBUTE, FLAGS];
const HISTOGRAM_FIELDS = [SKIP, SKIP, START, TIME, COUNT, SUM, COUNTS, BOUNDS, EXEMPLAR, ATTRIBUTE, FLAGS, MIN, MAX];
// oxfmt-ignore
const EXPONENTIAL_FIELDS = [SKIP, ATTRIBUTE, START, TIME, COUNT, SUM, SCALE, ZERO_COUNT, POSITIVE, NEGATIVE, FLAGS, EXEMPLAR, MIN, MAX];
const SUMMARY_FIELDS = [SKIP, SKIP, START, TIME, COUNT, SUM, QUANTILE, ATTRIBUTE, FLAGS];

/** The Buckets of an exponential histogram: counts as pairs lo, hi. */
export class BucketsView {
  offset = 0;
  count = 0;
  private halves = new Uint32Array(64);
  private readonly cursor = new Cursor();
  private readonly packed = new Cursor();

  clear(): void {
    this.offset = 0;
    this.count = 0;
  }
  lo(index: number): number {
    return this.halves[index * 2]!;
  }
  hi(index: number): number {
    return this.halves[index * 2 + 1]!;
  }

  /** @throws Malformed */
  parse(bytes: Buffer, start: number, stop: number): void {
    this.clear();
    const cursor = this.cursor.reset(bytes, start, stop);
    while (cursor.next()) {
      if (cursor.field === 1) {
        cursor.expect(WIRE_VARINT);
        this.offset = zigzag(cursor.lo);
      } else if (cursor.field === 2) {
        if (cursor.wire === WIRE_LEN) {
          const packed = this.packed.reset(bytes, cursor.start, cursor.stop);
          while (packed.nextPacked()) this.push(packed.lo, packed.hi);
        } else {
          cursor.expect(WIRE_VARINT);
          this.push(cursor.lo, cursor.hi);
        }
      }
    }
  }

  private push(lo: number, hi: number): void {
    const at = this.count * 2;
    if (at === this.halves.length) {
      const grown = new Uint32Array(this.halves.length * 2);
      grown.set(this.halves);
      this.halves = grown;
    }
    this.halves[at] = lo;
    this.halves[at + 1] = hi;
    this.count++;
  }
}

/** One data point of any kind as offsets; reused. What its kind does not have is 0 or empty. Counts of an explicit histogram and its bounds are ranges of 8-byte little-endian numbers. */
export class DataPointView {
  bytes: Buffer;
  startLo = 0;
  startHi = 0;
  timeLo = 0;
  timeHi = 0;
  value = 0;
  flags = 0;
  countLo = 0;
  countHi = 0;
  sum = 0;
  min = 0;
  max = 0;
  scale = 0;
  zeroCountLo = 0;
  zeroCountHi = 0;
  readonly attributes = new AttributeList();
  readonly exemplars = new RangeList();
  readonly bucketCounts = new RangeList();
  readonly explicitBounds = new RangeList();
  readonly quantiles = new RangeList();
  readonly positive = new BucketsView();
  readonly negative = new BucketsView();
  private readonly cursor = new Cursor();

  constructor() {
    this.bytes = this.cursor.bytes;
  }

  /** Reads the point of a metric of `kind` (METRIC_*) at bytes[start, stop). @throws Malformed */
  parse(kind: number, bytes: Buffer, start: number, stop: number): this {
    this.clear(bytes);
    const fields =
      kind === METRIC_HISTOGRAM
        ? HISTOGRAM_FIELDS
        : kind === METRIC_EXPONENTIAL_HISTOGRAM
          ? EXPONENTIAL_FIELDS
          : kind === METRIC_SUMMARY
            ? SUMMARY_FIELDS
            : NUMBER_FIELDS;
    const cursor = this.cursor.reset(bytes, start, stop);
    while (cursor.next()) if (cursor.field < fields.length) this.take(fields[cursor.field]!, cursor);
    return this;
  }

  private take(meaning: number, cursor: Cursor): void {
    switch (meaning) {
      case START:
        cursor.expect(WIRE_I64);
        this.startLo = u32(this.bytes, cursor.start);
        this.startHi = u32(this.bytes, cursor.start + 4);
        break;
      case TIME:
        cursor.expect(WIRE_I64);
        this.timeLo = u32(this.bytes, cursor.start);
        this.timeHi = u32(this.bytes, cursor.start + 4);
        break;
      case VALUE_F64:
        cursor.expect(WIRE_I64);
        this.value = this.bytes.readDoubleLE(cursor.start);
        break;
      case VALUE_I64:
        cursor.expect(WIRE_I64);
        this.value = i64ToNumber(u32(this.bytes, cursor.start), u32(this.bytes, cursor.start + 4));
        break;
      case EXEMPLAR:
        cursor.expect(WIRE_LEN);
        this.exemplars.add(cursor.start, cursor.stop);
        break;
      case ATTRIBUTE:
        cursor.expect(WIRE_LEN);
        this.attributes.add(this.bytes, cursor.start, cursor.stop);
        break;
      case FLAGS:
        cursor.expect(WIRE_VARINT);
        this.flags = cursor.lo;
        break;
      case COUNT:
        cursor.expect(WIRE_I64);
        this.countLo = u32(this.bytes, cursor.start);
        this.countHi = u32(this.bytes, cursor.start + 4);
        break;
      case SUM:
        cursor.expect(WIRE_I64);
        this.sum = this.bytes.readDoubleLE(cursor.start);
        break;
      case COUNTS:
        addFixed64(this.bucketCounts, cursor);
        break;
      case BOUNDS:
        addFixed64(this.explicitBounds, cursor);
        break;
      case MIN:
        cursor.expect(WIRE_I64);
        this.min = this.bytes.readDoubleLE(cursor.start);
        break;
      case MAX:
        cursor.expect(WIRE_I64);
        this.max = this.bytes.readDoubleLE(cursor.start);
        break;
      case SCALE:
        cursor.expect(WIRE_VARINT);
        this.scale = zigzag(cursor.lo);
        break;
      case ZERO_COUNT:
        cursor.expect(WIRE_I64);
        this.zeroCountLo = u32(this.bytes, cursor.start);
        this.zeroCountHi = u32(this.bytes, cursor.start + 4);
        break;
      case POSITIVE:
      case NEGATIVE:
        cursor.expect(WIRE_LEN);
        (meaning === POSITIVE ? this.positive : this.negative).parse(this.bytes, cursor.start, cursor.stop);
        break;
      case QUANTILE:
        cursor.expect(WIRE_LEN);
        this.quantiles.add(cursor.start, cursor.stop);
        break;
    }
  }

  private clear(bytes: Buffer): void {
    this.bytes = bytes;
    this.startLo = this.startHi = this.timeLo = this.timeHi = this.value = this.flags = 0;
    this.countLo = this.countHi = this.sum = this.min = this.max = this.scale = this.zeroCountLo = this.zeroCountHi = 0;
    this.attributes.clear();
    this.exemplars.clear();
    this.bucketCounts.clear();
    this.explicitBounds.clear();
    this.quantiles.clear();
    this.positive.clear();
    this.negative.clear();
  }
}

/** A repeated fixed64 or double: packed, or one element as its own field. */
function addFixed64(list: RangeList, cursor: Cursor): void {
  if (cursor.wire === WIRE_LEN) {
    if ((cursor.stop - cursor.start) % 8 !== 0) throw new Malformed('packed 64-bit numbers end halfway', cursor.start);
  } else {
    cursor.expect(WIRE_I64);
  }
  list.add(cursor.start, cursor.stop);
}

/** sint32: 0, −1, 1, −2 … as 0, 1, 2, 3 … */
function zigzag(value: number): number {
  return (value >>> 1) ^ -(value & 1);
}
