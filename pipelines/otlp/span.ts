import { Cursor, WIRE_I32, WIRE_I64, WIRE_LEN, WIRE_VARINT, u32 } from '../wire/cursor.ts';
import { AttributeList } from './attributes.ts';

/*
 * opentelemetry-proto trace/v1/trace.proto
 *
 *   Span { bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; string name = 5;
 *          SpanKind kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
 *          repeated KeyValue attributes = 9; uint32 dropped_attributes_count = 10; repeated Event events = 11;
 *          uint32 dropped_events_count = 12; repeated Link links = 13; uint32 dropped_links_count = 14;
 *          Status status = 15; fixed32 flags = 16 }
 *   Status { string message = 2; StatusCode code = 3 }
 *   Event { fixed64 time_unix_nano = 1; string name = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4 }
 *   Link { bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; repeated KeyValue attributes = 4;
 *          uint32 dropped_attributes_count = 5; fixed32 flags = 6 }
 */
export const TRACE_ID_BYTES = 16;
export const SPAN_ID_BYTES = 8;
export const STATUS_UNSET = 0;
export const STATUS_OK = 1;
export const STATUS_ERROR = 2;

/** Ranges of repeated messages: [start(i), stop(i)). */
export class RangeList {
  count = 0;
  private ranges = new Int32Array(16);

  clear(): void {
    this.count = 0;
  }
  add(start: number, stop: number): void {
    const at = this.count * 2;
    if (at === this.ranges.length) {
      const grown = new Int32Array(this.ranges.length * 2);
      grown.set(this.ranges);
      this.ranges = grown;
    }
    this.ranges[at] = start;
    this.ranges[at + 1] = stop;
    this.count++;
  }
  start(index: number): number {
    return this.ranges[index * 2]!;
  }
  stop(index: number): number {
    return this.ranges[index * 2 + 1]!;
  }
}

/**
 * One span as offsets into the buffer it came in; one view is reused for every span. Absent ids, strings and times are
 * empty ranges and zeros. Times are unsigned 64-bit nanoseconds since 1970 in two halves.
 */
export class SpanView {
  bytes: Buffer;
  start = 0;
  stop = 0;
  traceIdStart = 0;
  traceIdStop = 0;
  spanIdStart = 0;
  spanIdStop = 0;
  parentIdStart = 0;
  parentIdStop = 0;
  traceStateStart = 0;
  traceStateStop = 0;
  nameStart = 0;
  nameStop = 0;
  kind = 0;
  flags = 0;
  startLo = 0;
  startHi = 0;
  endLo = 0;
  endHi = 0;
  statusCode = 0;
  statusMessageStart = 0;
  statusMessageStop = 0;
  readonly attributes = new AttributeList();
  readonly events = new RangeList();
  readonly links = new RangeList();
  private readonly cursor = new Cursor();
  private readonly inner = new Cursor();

  constructor() {
    this.bytes = this.cursor.bytes;
  }

  /** Reads the Span at bytes[start, stop). Ids are not checked here: see otlp/validate.ts. @throws Malformed */
  parse(bytes: Buffer, start: number, stop: number): this {
    this.clear(bytes, start, stop);
    const cursor = this.cursor.reset(bytes, start, stop);
    while (cursor.next()) {
      switch (cursor.field) {
        case 1:
          cursor.expect(WIRE_LEN);
          this.traceIdStart = cursor.start;
          this.traceIdStop = cursor.stop;
          break;
        case 2:
          cursor.expect(WIRE_LEN);
          this.spanIdStart = cursor.start;
          this.spanIdStop = cursor.stop;
          break;
        case 3:
          cursor.expect(WIRE_LEN);
          this.traceStateStart = cursor.start;
          this.traceStateStop = cursor.stop;
          break;
        case 4:
          cursor.expect(WIRE_LEN);
          this.parentIdStart = cursor.start;
          this.parentIdStop = cursor.stop;
          break;
        case 5:
          cursor.expect(WIRE_LEN);
          this.nameStart = cursor.start;
          this.nameStop = cursor.stop;
          break;
        case 6:
          cursor.expect(WIRE_VARINT);
          this.kind = cursor.lo;
          break;
        case 7:
          cursor.expect(WIRE_I64);
          this.startLo = u32(bytes, cursor.start);
          this.startHi = u32(bytes, cursor.start + 4);
          break;
        case 8:
          cursor.expect(WIRE_I64);
          this.endLo = u32(bytes, cursor.start);
          this.endHi = u32(bytes, cursor.start + 4);
          break;
        case 9:
          cursor.expect(WIRE_LEN);
          this.attributes.add(bytes, cursor.start, cursor.stop);
          break;
        case 11:
          cursor.expect(WIRE_LEN);
          this.events.add(cursor.start, cursor.stop);
          break;
        case 13:
          cursor.expect(WIRE_LEN);
          this.links.add(cursor.start, cursor.stop);
          break;
        case 15:
          cursor.expect(WIRE_LEN);
          this.parseStatus(bytes, cursor.start, cursor.stop);
          break;
        case 16:
          cursor.expect(WIRE_I32);
          this.flags = u32(bytes, cursor.start);
          break;
      }
    }
    return this;
  }

  /** End − start in nanoseconds; 0 where the end is before the start. Exact up to 2^53 (104 days). */
  duration_ns(): number {
    const ns = (this.endHi - this.startHi) * 0x1_0000_0000 + (this.endLo - this.startLo);
    return ns > 0 ? ns : 0;
  }

  private clear(bytes: Buffer, start: number, stop: number): void {
    this.bytes = bytes;
    this.start = start;
    this.stop = stop;
    this.traceIdStart = this.traceIdStop = this.spanIdStart = this.spanIdStop = 0;
    this.parentIdStart = this.parentIdStop = this.traceStateStart = this.traceStateStop = 0;
    this.nameStart = this.nameStop = this.kind = this.flags = 0;
    this.startLo = this.startHi = this.endLo = this.endHi = 0;
    this.statusCode = this.statusMessageStart = this.statusMessageStop = 0;
    this.attributes.clear();
    this.events.clear();
    this.links.clear();
  }

  private parseStatus(bytes: Buffer, start: number, stop: number): void {
    const inner = this.inner.reset(bytes, start, stop);
    while (inner.next()) {
      if (inner.field === 2) {
        inner.expect(WIRE_LEN);
        this.statusMessageStart = inner.start;
        this.statusMessageStop = inner.stop;
      } else if (inner.field === 3) {
        inner.expect(WIRE_VARINT);
        this.statusCode = inner.lo;
      }
    }
  }
}
