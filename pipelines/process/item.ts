import { LogRecordView } from '../otlp/log-record.ts';
import { EventView } from '../otlp/nested.ts';
import { SpanView } from '../otlp/span.ts';
import { Cursor, EMPTY, WIRE_LEN, WIRE_VARINT } from '../wire/cursor.ts';
import { ItemScope } from './scope.ts';

/*
 * opentelemetry-proto metrics/v1/metrics.proto
 *
 *   Metric { string name = 1; string description = 2; string unit = 3; oneof data: Gauge gauge = 5; Sum sum = 7; Histogram histogram = 9;
 *            ExponentialHistogram exponential_histogram = 10; Summary summary = 11; repeated KeyValue metadata = 12 }
 *   Sum { repeated NumberDataPoint data_points = 1; AggregationTemporality aggregation_temporality = 2; bool is_monotonic = 3 }
 *   Histogram, ExponentialHistogram { repeated … data_points = 1; AggregationTemporality aggregation_temporality = 2 }
 */

/** Metric types by their number in the Collector's pdata; the index is the field of the data less 4. */
const TYPE_OF_FIELD = [0, 1, 0, 2, 0, 3, 4, 5] as const;
const FIELD_GAUGE = 5;
const FIELD_SUMMARY = 11;

/** The head of one metric as offsets; reused. `type` is METRIC_DATA_TYPE_* (0 none to 5 summary). Data points are not read. */
class MetricView {
  bytes: Buffer = EMPTY;
  nameStart = 0;
  nameStop = 0;
  descriptionStart = 0;
  descriptionStop = 0;
  unitStart = 0;
  unitStop = 0;
  type = 0;
  temporality = 0;
  monotonic = false;
  private readonly cursor = new Cursor();
  private readonly inner = new Cursor();

  /** @throws Malformed */
  parse(bytes: Buffer, start: number, stop: number): this {
    this.bytes = bytes;
    this.nameStart = this.nameStop = this.descriptionStart = this.descriptionStop = this.unitStart = this.unitStop = 0;
    this.type = this.temporality = 0;
    this.monotonic = false;
    const cursor = this.cursor.reset(bytes, start, stop);
    while (cursor.next()) {
      const { field } = cursor;
      if (field > FIELD_SUMMARY) continue;
      if (field === 1) {
        cursor.expect(WIRE_LEN);
        this.nameStart = cursor.start;
        this.nameStop = cursor.stop;
      } else if (field === 2) {
        cursor.expect(WIRE_LEN);
        this.descriptionStart = cursor.start;
        this.descriptionStop = cursor.stop;
      } else if (field === 3) {
        cursor.expect(WIRE_LEN);
        this.unitStart = cursor.start;
        this.unitStop = cursor.stop;
      } else if (field >= FIELD_GAUGE && TYPE_OF_FIELD[field - 4] !== 0) {
        cursor.expect(WIRE_LEN);
        this.type = TYPE_OF_FIELD[field - 4]!;
        this.parseData(bytes, cursor.start, cursor.stop);
      }
    }
    return this;
  }

  private parseData(bytes: Buffer, start: number, stop: number): void {
    this.temporality = 0;
    this.monotonic = false;
    const inner = this.inner.reset(bytes, start, stop);
    while (inner.next()) {
      if (inner.wire !== WIRE_VARINT) continue;
      if (inner.field === 2) this.temporality = inner.lo;
      else if (inner.field === 3) this.monotonic = inner.lo !== 0;
    }
  }
}

/**
 * What a condition reads: the item of its context, and what surrounds it. For the context `spanevent` both `span` and `event` are set.
 * `failed` is set by a function that could not work with its argument (OTTL's run-time errors).
 */
export class Item {
  scope = new ItemScope();
  span = new SpanView();
  event = new EventView();
  log = new LogRecordView();
  metric = new MetricView();
  failed = false;
}
