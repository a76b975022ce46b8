import { Malformed } from '../base/errors.ts';

/*
 * Protobuf wire format (protobuf.dev/programming-guides/encoding):
 *
 *   message := (tag value)*
 *   tag     := varint(field << 3 | wire)          field 1..2^29−1
 *   value   := wire 0 VARINT  varint, at most 10 bytes
 *              wire 1 I64     8 bytes, little endian
 *              wire 2 LEN     varint(length) then length bytes
 *              wire 5 I32     4 bytes, little endian
 *              wire 3, 4      groups: deprecated, never in OTLP, refused here
 */
export const WIRE_VARINT = 0;
export const WIRE_I64 = 1;
export const WIRE_LEN = 2;
export const WIRE_I32 = 5;

export const EMPTY: Buffer = Buffer.alloc(0);

/**
 * Walks the fields of one message without making anything. After `next()` returned true:
 * `field`, `wire`, and for LEN, I64 and I32 the payload's range [start, stop); for VARINT the value as two
 * unsigned 32-bit halves `lo`, `hi`. Bytes are borrowed.
 */
export class Cursor {
  bytes: Buffer = EMPTY;
  pos = 0;
  end = 0;
  field = 0;
  wire = 0;
  start = 0;
  stop = 0;
  lo = 0;
  hi = 0;

  reset(bytes: Buffer, start: number, stop: number): this {
    this.bytes = bytes;
    this.pos = start;
    this.end = stop;
    return this;
  }

  /** False at the message's end. @throws Malformed */
  next(): boolean {
    const pos = this.pos;
    if (pos >= this.end) return false;
    const first = this.bytes[pos]!;
    let tag = first;
    if (first < 0x80) {
      this.pos = pos + 1;
    } else {
      this.varint();
      // A tag is a uint32: field numbers end at 2^29−1.
      if (this.hi !== 0) throw new Malformed('field number too large', pos);
      tag = this.lo;
    }
    const field = tag >>> 3;
    if (field === 0) throw new Malformed('field number 0', pos);
    const wire = tag & 7;
    this.field = field;
    this.wire = wire;
    switch (wire) {
      case WIRE_LEN: {
        const length = this.length();
        this.start = this.pos;
        this.pos += length;
        this.stop = this.pos;
        return true;
      }
      case WIRE_VARINT:
        this.start = this.pos;
        this.varint();
        this.stop = this.pos;
        return true;
      case WIRE_I64:
        return this.fixed(8);
      case WIRE_I32:
        return this.fixed(4);
      default:
        throw new Malformed(`wire type ${wire}`, pos);
    }
  }

  /** Over the payload of a packed repeated varint field: the next number into `lo` and `hi`, false at its end. @throws Malformed */
  nextPacked(): boolean {
    if (this.pos >= this.end) return false;
    this.varint();
    return true;
  }

  /** Throws unless the field just read has wire type `wire`: a known field of another type is not to be guessed at. @throws Malformed */
  expect(wire: number): void {
    if (this.wire !== wire) throw new Malformed(`field ${this.field} has wire type ${this.wire} instead of ${wire}`, this.start);
  }

  private fixed(width: number): boolean {
    this.start = this.pos;
    this.stop = this.pos + width;
    if (this.stop > this.end) throw new Malformed('truncated fixed-width field', this.start);
    this.pos = this.stop;
    return true;
  }

  private length(): number {
    const at = this.pos;
    const first = at < this.end ? this.bytes[at]! : 0x80;
    let length = first;
    if (first < 0x80) {
      this.pos = at + 1;
    } else {
      this.varint();
      length = this.hi !== 0 ? Infinity : this.lo;
    }
    if (length > this.end - this.pos) throw new Malformed('length runs past the end of its message', at);
    return length;
  }

  /** Reads a varint at `pos` into `lo` and `hi`. */
  private varint(): void {
    const bytes = this.bytes;
    const from = this.pos;
    const limit = Math.min(this.end, from + 10);
    let pos = from;
    let lo = 0;
    let hi = 0;
    let shift = 0;
    while (pos < limit) {
      const byte = bytes[pos++]!;
      const bits = byte & 0x7f;
      if (shift < 28) lo |= bits << shift;
      else if (shift === 28) {
        lo |= bits << 28;
        hi = bits >>> 4;
      } else if (shift < 63) hi |= bits << (shift - 32);
      else {
        // The tenth byte holds bit 63 alone.
        if (bits > 1) throw new Malformed('varint longer than 64 bits', from);
        hi |= bits << 31;
      }
      if (byte < 0x80) {
        this.lo = lo >>> 0;
        this.hi = hi >>> 0;
        this.pos = pos;
        return;
      }
      shift += 7;
    }
    throw new Malformed(pos - from >= 10 ? 'varint longer than 10 bytes' : 'truncated varint', from);
  }
}

/** Little-endian unsigned 32 bits at `at`. */
export function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** Two unsigned halves as a double: exact up to 2^53, nearest above. */
export function u64ToNumber(lo: number, hi: number): number {
  return hi * 0x1_0000_0000 + lo;
}

/** Two's-complement halves as a double: exact within ±2^53, nearest outside. */
export function i64ToNumber(lo: number, hi: number): number {
  return (hi | 0) * 0x1_0000_0000 + lo;
}
