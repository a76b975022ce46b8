import { EMPTY, WIRE_I32, WIRE_I64, WIRE_LEN, WIRE_VARINT } from './cursor.ts';

// Below this many bytes a loop in JavaScript beats the call into Buffer.copy.
const COPY_LOOP_BYTES_MAX = 24;

/**
 * A growing buffer with the protobuf writes on top. One writer lives as long as its stage and is `reset()` between
 * messages; `view()` is borrowed until the next write, `copy()` is the caller's own.
 * Nested messages: `const mark = w.open(field); …; w.close(mark)`.
 */
export class Writer {
  bytes: Buffer;
  length = 0;

  constructor(capacity_bytes = 4096) {
    this.bytes = capacity_bytes === 0 ? EMPTY : Buffer.allocUnsafeSlow(capacity_bytes);
  }

  reset(): void {
    this.length = 0;
  }

  /** Makes room for `more` bytes behind `length`. */
  reserve(more: number): void {
    const need = this.length + more;
    if (need <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(need, this.bytes.length * 2, 64));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  view(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  copy(): Buffer {
    return Buffer.from(this.view());
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  /** Unsigned varint of a number up to 2^53. */
  varint(value: number): void {
    this.reserve(10);
    let rest = value;
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest % 0x80) | 0x80;
      rest = rest < 0x8000_0000 ? rest >>> 7 : Math.floor(rest / 0x80);
    }
    this.bytes[this.length++] = rest;
  }

  /** Varint of a 64-bit value in two unsigned halves. */
  varint64(lo: number, hi: number): void {
    this.reserve(10);
    let low = lo >>> 0;
    let high = hi >>> 0;
    while (high !== 0 || low >= 0x80) {
      this.bytes[this.length++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.bytes[this.length++] = low;
  }

  /** bytes[start, stop) of another buffer, as they are. */
  raw(from: Buffer, start: number, stop: number): void {
    const count = stop - start;
    this.reserve(count);
    if (count <= COPY_LOOP_BYTES_MAX) {
      const to = this.bytes;
      let at = this.length;
      for (let i = start; i < stop; i++) to[at++] = from[i]!;
    } else {
      from.copy(this.bytes, this.length, start, stop);
    }
    this.length += count;
  }

  u32(value: number): void {
    this.reserve(4);
    this.length = this.bytes.writeUInt32LE(value >>> 0, this.length);
  }

  f64(value: number): void {
    this.reserve(8);
    this.length = this.bytes.writeDoubleLE(value, this.length);
  }

  // ---- protobuf fields ----

  tag(field: number, wire: number): void {
    this.varint(field * 8 + wire);
  }

  varintField(field: number, value: number): void {
    this.tag(field, WIRE_VARINT);
    this.varint(value);
  }

  fixed64Field(field: number, lo: number, hi: number): void {
    this.tag(field, WIRE_I64);
    this.u32(lo);
    this.u32(hi);
  }

  fixed32Field(field: number, value: number): void {
    this.tag(field, WIRE_I32);
    this.u32(value);
  }

  doubleField(field: number, value: number): void {
    this.tag(field, WIRE_I64);
    this.f64(value);
  }

  /** A LEN field whose payload is from[start, stop). */
  bytesField(field: number, from: Buffer, start: number, stop: number): void {
    this.tag(field, WIRE_LEN);
    this.varint(stop - start);
    this.raw(from, start, stop);
  }

  /** A string field. For the edges and for settings made once: hot paths copy bytes. */
  stringField(field: number, text: string): void {
    const size = Buffer.byteLength(text);
    this.tag(field, WIRE_LEN);
    this.varint(size);
    this.reserve(size);
    this.length += this.bytes.write(text, this.length, size, 'utf8');
  }

  /** Begins a nested message; hand the returned mark to `close`. With the size that is expected, `close` need not move the body. */
  open(field: number, expected_bytes = 0): number {
    this.tag(field, WIRE_LEN);
    const width = varintSize(expected_bytes);
    this.reserve(width);
    this.length += width;
    // The mark holds where the body starts and how many bytes were left for its length.
    return this.length * 8 + width;
  }

  /** Ends the message begun at `mark`: writes its length, moving the body where the bytes left for it do not fit. */
  close(mark: number): void {
    const left = mark % 8;
    const body = (mark - left) / 8;
    const size = this.length - body;
    const width = varintSize(size);
    if (width !== left) {
      if (width > left) this.reserve(width - left);
      this.bytes.copyWithin(body + width - left, body, this.length);
      this.length += width - left;
    }
    let rest = size;
    let at = body - left;
    while (rest >= 0x80) {
      this.bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[at] = rest;
  }
}

/** Bytes that `varint(value)` takes; value below 2^31. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  if (value < 0x1000_0000) return 4;
  return 5;
}
