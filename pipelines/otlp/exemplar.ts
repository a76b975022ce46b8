import { Cursor, WIRE_I64, WIRE_LEN, i64ToNumber, u32 } from '../wire/cursor.ts';
import { AttributeList } from './attributes.ts';

/*
 * opentelemetry-proto metrics/v1/metrics.proto
 *
 *   Exemplar { fixed64 time_unix_nano = 2; oneof value: double as_double = 3; sfixed64 as_int = 6; bytes span_id = 4; bytes trace_id = 5;
 *              repeated KeyValue filtered_attributes = 7 }
 */

/** One Exemplar as offsets; reused. */
export class ExemplarView {
  timeLo = 0;
  timeHi = 0;
  value = 0;
  spanIdStart = 0;
  spanIdStop = 0;
  traceIdStart = 0;
  traceIdStop = 0;
  readonly attributes = new AttributeList();
  private readonly cursor = new Cursor();

  /** @throws Malformed */
  parse(bytes: Buffer, start: number, stop: number): this {
    this.timeLo = this.timeHi = this.value = this.spanIdStart = this.spanIdStop = this.traceIdStart = this.traceIdStop = 0;
    this.attributes.clear();
    const cursor = this.cursor.reset(bytes, start, stop);
    while (cursor.next()) {
      switch (cursor.field) {
        case 2:
          cursor.expect(WIRE_I64);
          this.timeLo = u32(bytes, cursor.start);
          this.timeHi = u32(bytes, cursor.start + 4);
          break;
        case 3:
          cursor.expect(WIRE_I64);
          this.value = bytes.readDoubleLE(cursor.start);
          break;
        case 6:
          cursor.expect(WIRE_I64);
          this.value = i64ToNumber(u32(bytes, cursor.start), u32(bytes, cursor.start + 4));
          break;
        case 4:
          cursor.expect(WIRE_LEN);
          this.spanIdStart = cursor.start;
          this.spanIdStop = cursor.stop;
          break;
        case 5:
          cursor.expect(WIRE_LEN);
          this.traceIdStart = cursor.start;
          this.traceIdStop = cursor.stop;
          break;
        case 7:
          cursor.expect(WIRE_LEN);
          this.attributes.add(bytes, cursor.start, cursor.stop);
          break;
      }
    }
    return this;
  }
}
