import type { Writer } from '../wire/writer.ts';

/*
 * A column of a Native block: a prefix (the state of the serialization, only LowCardinality has one) and then the data. Types inside
 * each other (Array, Map) put the prefixes of all inner types first, then the data of all.
 */
export interface Column {
  /** ClickHouse's name of the type, as it stands in the block. */
  readonly type: string;
  readonly rows: number;
  prefixSize(): number;
  writePrefix(out: Writer): void;
  /** Bytes that `writeData` writes. */
  dataSize(): number;
  writeData(out: Writer): void;
  /** Forgets every row from `rows` on: takes back a row that turned out to be malformed halfway. */
  truncate(rows: number): void;
  /** Forgets everything but keeps the memory. */
  clear(): void;
}

const CAPACITY_BYTES = 512;
const INT64_MAX_HI = 0x7fff_ffff;

/** Numbers of a fixed width, little endian, one behind the other: UInt8, Bool, UInt32, Int32, DateTime, UInt64, Int64, DateTime64, Float64. */
export class FixedColumn implements Column {
  readonly type: string;
  readonly width: number;
  rows = 0;
  private data: Buffer = Buffer.allocUnsafeSlow(CAPACITY_BYTES);
  private view = new DataView(this.data.buffer, 0);

  constructor(type: string, width: 1 | 4 | 8) {
    this.type = type;
    this.width = width;
  }

  u8(value: number): void {
    const at = this.grow(1);
    this.data[at] = value;
  }

  /** 32 bits, signed or not. */
  u32(value: number): void {
    const at = this.grow(1);
    this.view.setUint32(at, value, true);
  }

  /**
   * Halves, each signed or not. Callers on the hot path hand in `lo | 0`: a signed half fits a register in V8, an unsigned one
   * becomes a heap number wherever the call is not inlined.
   */
  u64(lo: number, hi: number): void {
    const at = this.grow(1);
    this.view.setUint32(at, lo, true);
    this.view.setUint32(at + 4, hi, true);
  }

  f64(value: number): void {
    const at = this.grow(1);
    this.view.setFloat64(at, value, true);
  }

  /** DateTime64(9): unsigned nanoseconds since 1970, in halves as in `u64`. What lies beyond 2262 is held at the last moment that Int64 has. */
  time(lo: number, hi: number): void {
    if (hi >>> 0 > INT64_MAX_HI) this.u64(0xffff_ffff, INT64_MAX_HI);
    else this.u64(lo, hi);
  }

  /** Rows that already are little-endian numbers of this width, as protobuf's fixed64 and double are. The range is a whole number of them. */
  raw(bytes: Buffer, start: number, stop: number): void {
    const at = this.grow((stop - start) / this.width);
    bytes.copy(this.data, at, start, stop);
  }

  prefixSize(): number {
    return 0;
  }
  writePrefix(): void {}
  dataSize(): number {
    return this.rows * this.width;
  }
  writeData(out: Writer): void {
    out.raw(this.data, 0, this.dataSize());
  }
  truncate(rows: number): void {
    this.rows = rows;
  }
  clear(): void {
    this.rows = 0;
  }

  private grow(rows: number): number {
    const at = this.rows * this.width;
    this.rows += rows;
    const need = this.rows * this.width;
    if (need > this.data.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(need, this.data.length * 2));
      this.data.copy(grown, 0, 0, at);
      this.data = grown;
      this.view = new DataView(grown.buffer, 0);
    }
    return at;
  }
}

/** A growing list of unsigned 32-bit numbers: the offsets of arrays and the indexes of dictionaries. */
export class IndexList {
  count = 0;
  private values = new Uint32Array(64);

  push(value: number): void {
    if (this.count === this.values.length) this.reserve(1);
    this.values[this.count++] = value;
  }

  at(index: number): number {
    return this.values[index]!;
  }

  /** The values [start, stop) once more behind the last. */
  repeat(start: number, stop: number): void {
    if (this.count + stop - start > this.values.length) this.reserve(stop - start);
    const values = this.values;
    let to = this.count;
    for (let from = start; from < stop; from++) values[to++] = values[from]!;
    this.count = to;
  }

  /** Array offsets: each the number of elements up to and including its row, as UInt64. */
  writeU64(out: Writer): void {
    out.reserve(this.count * 8);
    const { bytes } = out;
    let at = out.length;
    for (let i = 0; i < this.count; i++) {
      const value = this.values[i]!;
      bytes[at] = value;
      bytes[at + 1] = value >>> 8;
      bytes[at + 2] = value >>> 16;
      bytes[at + 3] = value >>> 24;
      bytes[at + 4] = bytes[at + 5] = bytes[at + 6] = bytes[at + 7] = 0;
      at += 8;
    }
    out.length = at;
  }

  /** Dictionary indexes, `width` bytes each. */
  writeIndexes(out: Writer, width: 1 | 2 | 4): void {
    out.reserve(this.count * width);
    const { bytes } = out;
    let at = out.length;
    const { values, count } = this;
    if (width === 1) {
      for (let i = 0; i < count; i++) bytes[at++] = values[i]!;
    } else {
      for (let i = 0; i < count; i++) {
        const value = values[i]!;
        bytes[at++] = value;
        bytes[at++] = value >>> 8;
        if (width === 2) continue;
        bytes[at++] = value >>> 16;
        bytes[at++] = value >>> 24;
      }
    }
    out.length = at;
  }

  private reserve(more: number): void {
    const grown = new Uint32Array(Math.max(this.count + more, this.values.length * 2));
    grown.set(this.values);
    this.values = grown;
  }
}

/**
 * `Array(T)`: prefix of T; then the offsets (UInt64 a row: elements up to and including it), then the elements of all rows as one column of T.
 * Add a row's elements to `inner`, then `close()`.
 */
export class ArrayColumn<Inner extends Column> implements Column {
  readonly type: string;
  readonly inner: Inner;
  private readonly offsets = new IndexList();

  constructor(inner: Inner) {
    this.type = `Array(${inner.type})`;
    this.inner = inner;
  }

  get rows(): number {
    return this.offsets.count;
  }

  /** Ends the row: what was added to `inner` since the last call is its array. */
  close(): void {
    this.offsets.push(this.inner.rows);
  }

  prefixSize(): number {
    return this.inner.prefixSize();
  }
  writePrefix(out: Writer): void {
    this.inner.writePrefix(out);
  }
  dataSize(): number {
    return this.offsets.count * 8 + this.inner.dataSize();
  }
  writeData(out: Writer): void {
    this.offsets.writeU64(out);
    this.inner.writeData(out);
  }
  truncate(rows: number): void {
    this.inner.truncate(rows === 0 ? 0 : this.offsets.at(rows - 1));
    this.offsets.count = rows;
  }
  clear(): void {
    this.inner.clear();
    this.offsets.count = 0;
  }
}
