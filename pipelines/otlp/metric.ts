import { Cursor, WIRE_LEN, WIRE_VARINT } from '../wire/cursor.ts';
import { RangeList } from './span.ts';

/*
 * opentelemetry-proto metrics/v1/metrics.proto (the data points are in data-point.ts)
 *
 *   Metric { string name = 1; string description = 2; string unit = 3;
 *            oneof data: Gauge gauge = 5; Sum sum = 7; Histogram histogram = 9; ExponentialHistogram exponential_histogram = 10;
 *                        Summary summary = 11;
 *            repeated KeyValue metadata = 12 }
 *   Gauge, Summary                    { repeated XDataPoint data_points = 1 }
 *   Histogram, ExponentialHistogram   { repeated XDataPoint data_points = 1; AggregationTemporality aggregation_temporality = 2 }
 *   Sum                               { repeated NumberDataPoint data_points = 1; AggregationTemporality aggregation_temporality = 2;
 *                                       bool is_monotonic = 3 }
 */
export const METRIC_NONE = 0;
export const METRIC_GAUGE = 5;
export const METRIC_SUM = 7;
export const METRIC_HISTOGRAM = 9;
export const METRIC_EXPONENTIAL_HISTOGRAM = 10;
export const METRIC_SUMMARY = 11;

/** One Metric as offsets into the buffer it came in; reused. Absent strings are empty ranges. `kind` is METRIC_*, METRIC_NONE where there is no data or none that is known. */
export class MetricView {
  bytes: Buffer;
  kind = METRIC_NONE;
  nameStart = 0;
  nameStop = 0;
  descriptionStart = 0;
  descriptionStop = 0;
  unitStart = 0;
  unitStop = 0;
  /** 0 unspecified, 1 delta, 2 cumulative. */
  temporality = 0;
  isMonotonic = false;
  /** The data point messages. */
  readonly points = new RangeList();
  private readonly cursor = new Cursor();

  constructor() {
    this.bytes = this.cursor.bytes;
  }

  /** Reads the Metric at bytes[start, stop); of several data fields the last counts. @throws Malformed */
  parse(bytes: Buffer, start: number, stop: number): this {
    this.bytes = bytes;
    this.kind = METRIC_NONE;
    this.nameStart = this.nameStop = this.descriptionStart = this.descriptionStop = this.unitStart = this.unitStop = 0;
    let dataStart = 0;
    let dataStop = 0;
    const cursor = this.cursor.reset(bytes, start, stop);
    while (cursor.next()) {
      switch (cursor.field) {
        case 1:
          cursor.expect(WIRE_LEN);
          this.nameStart = cursor.start;
          this.nameStop = cursor.stop;
          break;
        case 2:
          cursor.expect(WIRE_LEN);
          this.descriptionStart = cursor.start;
          this.descriptionStop = cursor.stop;
          break;
        case 3:
          cursor.expect(WIRE_LEN);
          this.unitStart = cursor.start;
          this.unitStop = cursor.stop;
          break;
        case METRIC_GAUGE:
        case METRIC_SUM:
        case METRIC_HISTOGRAM:
        case METRIC_EXPONENTIAL_HISTOGRAM:
        case METRIC_SUMMARY:
          cursor.expect(WIRE_LEN);
          this.kind = cursor.field;
          dataStart = cursor.start;
          dataStop = cursor.stop;
          break;
      }
    }
    this.parseData(dataStart, dataStop);
    return this;
  }

  private parseData(start: number, stop: number): void {
    this.temporality = 0;
    this.isMonotonic = false;
    this.points.clear();
    const cursor = this.cursor.reset(this.bytes, start, stop);
    while (cursor.next()) {
      if (cursor.field === 1) {
        cursor.expect(WIRE_LEN);
        this.points.add(cursor.start, cursor.stop);
      } else if (cursor.field === 2) {
        cursor.expect(WIRE_VARINT);
        this.temporality = cursor.lo | 0;
      } else if (cursor.field === 3) {
        cursor.expect(WIRE_VARINT);
        this.isMonotonic = (cursor.lo | cursor.hi) !== 0;
      }
    }
  }
}
