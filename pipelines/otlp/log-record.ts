import { Cursor, WIRE_I32, WIRE_I64, WIRE_LEN, WIRE_VARINT, u32 } from '../wire/cursor.ts';
import { AttributeList } from './attributes.ts';

/*
 * opentelemetry-proto logs/v1/logs.proto
 *
 *   LogRecord { fixed64 time_unix_nano = 1; SeverityNumber severity_number = 2; string severity_text = 3; AnyValue body = 5;
 *               repeated KeyValue attributes = 6; uint32 dropped_attributes_count = 7; fixed32 flags = 8; bytes trace_id = 9;
 *               bytes span_id = 10; fixed64 observed_time_unix_nano = 11; string event_name = 12 }
 */

/** One log record as offsets into the buffer it came in; reused. Absent ids, strings and times are empty ranges and zeros. `body` is an AnyValue payload. */
export class LogRecordView {
  bytes: Buffer;
  start = 0;
  stop = 0;
  timeLo = 0;
  timeHi = 0;
  observedLo = 0;
  observedHi = 0;
  severityNumber = 0;
  severityTextStart = 0;
  severityTextStop = 0;
  bodyStart = 0;
  bodyStop = 0;
  flags = 0;
  traceIdStart = 0;
  traceIdStop = 0;
  spanIdStart = 0;
  spanIdStop = 0;
  eventNameStart = 0;
  eventNameStop = 0;
  readonly attributes = new AttributeList();
  private readonly cursor = new Cursor();

  constructor() {
    this.bytes = this.cursor.bytes;
  }

  /** @throws Malformed */
  parse(bytes: Buffer, start: number, stop: number): this {
    this.bytes = bytes;
    this.start = start;
    this.stop = stop;
    this.timeLo = this.timeHi = this.observedLo = this.observedHi = this.severityNumber = this.flags = 0;
    this.severityTextStart = this.severityTextStop = this.bodyStart = this.bodyStop = 0;
    this.traceIdStart = this.traceIdStop = this.spanIdStart = this.spanIdStop = this.eventNameStart = this.eventNameStop = 0;
    this.attributes.clear();
    const cursor = this.cursor.reset(bytes, start, stop);
    while (cursor.next()) {
      switch (cursor.field) {
        case 1:
          cursor.expect(WIRE_I64);
          this.timeLo = u32(bytes, cursor.start);
          this.timeHi = u32(bytes, cursor.start + 4);
          break;
        case 2:
          cursor.expect(WIRE_VARINT);
          this.severityNumber = cursor.lo;
          break;
        case 3:
          cursor.expect(WIRE_LEN);
          this.severityTextStart = cursor.start;
          this.severityTextStop = cursor.stop;
          break;
        case 5:
          cursor.expect(WIRE_LEN);
          this.bodyStart = cursor.start;
          this.bodyStop = cursor.stop;
          break;
        case 6:
          cursor.expect(WIRE_LEN);
          this.attributes.add(bytes, cursor.start, cursor.stop);
          break;
        case 8:
          cursor.expect(WIRE_I32);
          this.flags = u32(bytes, cursor.start);
          break;
        case 9:
          cursor.expect(WIRE_LEN);
          this.traceIdStart = cursor.start;
          this.traceIdStop = cursor.stop;
          break;
        case 10:
          cursor.expect(WIRE_LEN);
          this.spanIdStart = cursor.start;
          this.spanIdStop = cursor.stop;
          break;
        case 11:
          cursor.expect(WIRE_I64);
          this.observedLo = u32(bytes, cursor.start);
          this.observedHi = u32(bytes, cursor.start + 4);
          break;
        case 12:
          cursor.expect(WIRE_LEN);
          this.eventNameStart = cursor.start;
          this.eventNameStop = cursor.stop;
          break;
      }
    }
    return this;
  }
}
