import { AttributeList } from './attributes.ts';
import { Cursor, EMPTY, WIRE_I64, WIRE_LEN, u32 } from '../wire/cursor.ts';

/** A span's Event as offsets (grammar in span.ts); reused. */
export class EventView {
  bytes: Buffer = EMPTY;
  timeLo = 0;
  timeHi = 0;
  nameStart = 0;
  nameStop = 0;
  readonly attributes = new AttributeList();
  private readonly cursor = new Cursor();

  /** @throws Malformed */
  parse(bytes: Buffer, start: number, stop: number): this {
    this.bytes = bytes;
    this.timeLo = this.timeHi = this.nameStart = this.nameStop = 0;
    this.attributes.clear();
    const cursor = this.cursor.reset(bytes, start, stop);
    while (cursor.next()) {
      if (cursor.field === 1) {
        cursor.expect(WIRE_I64);
        this.timeLo = u32(bytes, cursor.start);
        this.timeHi = u32(bytes, cursor.start + 4);
      } else if (cursor.field === 2) {
        cursor.expect(WIRE_LEN);
        this.nameStart = cursor.start;
        this.nameStop = cursor.stop;
      } else if (cursor.field === 3) {
        cursor.expect(WIRE_LEN);
        this.attributes.add(bytes, cursor.start, cursor.stop);
      }
    }
    return this;
  }
}

/** A span's Link as offsets (grammar in span.ts); reused. */
export class LinkView {
  traceIdStart = 0;
  traceIdStop = 0;
  spanIdStart = 0;
  spanIdStop = 0;
  traceStateStart = 0;
  traceStateStop = 0;
  readonly attributes = new AttributeList();
  private readonly cursor = new Cursor();

  /** @throws Malformed */
  parse(bytes: Buffer, start: number, stop: number): this {
    this.traceIdStart = this.traceIdStop = this.spanIdStart = this.spanIdStop = this.traceStateStart = this.traceStateStop = 0;
    this.attributes.clear();
    const cursor = this.cursor.reset(bytes, start, stop);
    while (cursor.next()) {
      if (cursor.field > 4) continue;
      cursor.expect(WIRE_LEN);
      if (cursor.field === 1) {
        this.traceIdStart = cursor.start;
        this.traceIdStop = cursor.stop;
      } else if (cursor.field === 2) {
        this.spanIdStart = cursor.start;
        this.spanIdStop = cursor.stop;
      } else if (cursor.field === 3) {
        this.traceStateStart = cursor.start;
        this.traceStateStop = cursor.stop;
      } else {
        this.attributes.add(bytes, cursor.start, cursor.stop);
      }
    }
    return this;
  }
}
