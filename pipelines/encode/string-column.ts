import { writeHexDigits } from '../wire/hex.ts';
import { Writer, varintSize } from '../wire/writer.ts';
import type { Column } from './column.ts';
import { writeValue } from './value.ts';

/** `String`: a row is varuint(length), then the bytes. Any bytes are a valid ClickHouse string, so invalid UTF-8 is kept as it came. */
export class StringColumn implements Column {
  readonly type = 'String';
  rows = 0;
  private readonly out = new Writer(1024);
  private last = 0;

  /** bytes[start, stop) as they are. */
  range(bytes: Buffer, start: number, stop: number): void {
    const { out } = this;
    this.last = out.length;
    this.rows++;
    out.varint(stop - start);
    out.raw(bytes, start, stop);
  }

  /** The AnyValue at bytes[start, stop) as text, see value.ts. @throws Malformed with nothing added */
  value(bytes: Buffer, start: number, stop: number): void {
    const { out } = this;
    const before = out.length;
    writeValue(out, bytes, start, stop);
    this.last = before;
    this.rows++;
  }

  /** A trace or span id as lower-case hex; empty where it is absent or all zeros, which both mean "none" in OTLP. */
  hex(bytes: Buffer, start: number, stop: number): void {
    const { out } = this;
    this.last = out.length;
    this.rows++;
    let any = 0;
    for (let at = start; at < stop; at++) any |= bytes[at]!;
    if (any === 0) {
      out.byte(0);
      return;
    }
    const size = (stop - start) * 2;
    out.reserve(size + varintSize(size));
    out.varint(size);
    out.length = writeHexDigits(out.bytes, out.length, bytes, start, stop);
  }

  /** The last row once more. */
  repeat(): void {
    this.repeatFrom(this.last, 1);
  }

  /** Where the next row will start, for `repeatFrom`. */
  get position(): number {
    return this.out.length;
  }

  /** The rows from `position` to the end once more; `rows` is their number. */
  repeatFrom(position: number, rows: number): void {
    const { out } = this;
    const stop = out.length;
    this.last = stop;
    this.rows += rows;
    out.raw(out.bytes, position, stop);
  }

  prefixSize(): number {
    return 0;
  }
  writePrefix(): void {}
  dataSize(): number {
    return this.out.length;
  }
  writeData(to: Writer): void {
    to.raw(this.out.bytes, 0, this.out.length);
  }

  truncate(rows: number): void {
    // Walks from the start: no row remembers where it begins, and a malformed item behind the receiver's checks is rare.
    const { bytes } = this.out;
    let at = 0;
    for (let row = 0; row < rows; row++) {
      let length = 0;
      let shift = 0;
      let byte = 0;
      do {
        byte = bytes[at++]!;
        length |= (byte & 0x7f) << shift;
        shift += 7;
      } while (byte >= 0x80);
      at += length;
    }
    this.out.length = at;
    this.rows = rows;
    this.last = at;
  }

  clear(): void {
    this.out.reset();
    this.rows = 0;
    this.last = 0;
  }
}
