import { sameBytes } from '../otlp/attributes.ts';
import { Writer } from '../wire/writer.ts';
import { IndexList, type Column } from './column.ts';
import { writeValue } from './value.ts';

/** The distinct keys of one column in one block, in the order in which they came. Key 0 is always the empty string, as in the engine's own blocks. */
class Dictionary {
  count = 1;
  /** All keys as a String column: varuint(length) and bytes. */
  private readonly keys = new Writer(512);
  private starts = new Int32Array(64);
  private stops = new Int32Array(64);
  private hashes = new Int32Array(64);
  /** Open addressing over key numbers; 0 is free, for key 0 is found without it. Twice as many slots as keys at least. */
  private slots = new Int32Array(128);

  constructor() {
    this.keys.byte(0);
  }

  /** The number of the key bytes[start, stop), new or known. */
  index(bytes: Buffer, start: number, stop: number): number {
    if (start === stop) return 0;
    const hash = hashKey(bytes, start, stop);
    const mask = this.slots.length - 1;
    let slot = hash & mask;
    for (let key = this.slots[slot]!; key !== 0; key = this.slots[slot]!) {
      if (this.hashes[key] === hash && this.is(key, bytes, start, stop)) return key;
      slot = (slot + 1) & mask;
    }
    return this.add(bytes, start, stop, hash, slot);
  }

  /** Whether key `key` is bytes[start, stop). */
  is(key: number, bytes: Buffer, start: number, stop: number): boolean {
    const at = this.starts[key]!;
    const size = stop - start;
    return this.stops[key]! - at === size && sameBytes(bytes, start, this.keys.bytes, at, size);
  }

  size(): number {
    return this.keys.length;
  }

  write(out: Writer): void {
    out.raw(this.keys.bytes, 0, this.keys.length);
  }

  clear(): void {
    if (this.count > 1) this.slots.fill(0);
    this.count = 1;
    this.keys.length = 1;
  }

  private add(bytes: Buffer, start: number, stop: number, hash: number, slot: number): number {
    if (this.count === this.starts.length) {
      this.grow();
      return this.index(bytes, start, stop);
    }
    const key = this.count++;
    const { keys } = this;
    keys.varint(stop - start);
    this.starts[key] = keys.length;
    keys.raw(bytes, start, stop);
    this.stops[key] = keys.length;
    this.hashes[key] = hash;
    this.slots[slot] = key;
    return key;
  }

  private grow(): void {
    const capacity = this.starts.length * 2;
    const { starts, stops, hashes } = this;
    this.starts = new Int32Array(capacity);
    this.starts.set(starts);
    this.stops = new Int32Array(capacity);
    this.stops.set(stops);
    this.hashes = new Int32Array(capacity);
    this.hashes.set(hashes);
    const slots = new Int32Array(capacity * 2);
    const mask = slots.length - 1;
    for (let key = 1; key < this.count; key++) {
      let slot = this.hashes[key]! & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = key;
    }
    this.slots = slots;
  }
}

/** A hash for this table only, unlike base/hash.ts in no format; a signed result, because V8 would put an unsigned one on the heap. */
function hashKey(bytes: Buffer, start: number, stop: number): number {
  let h = stop - start;
  for (let at = start; at < stop; at++) h = Math.imul(h ^ bytes[at]!, 0x01000193);
  return h ^ (h >>> 15);
}

/*
 * LowCardinality(String) (ClickHouse src/DataTypes/Serializations/SerializationLowCardinality.cpp; checked against the engine's own output):
 *
 *   prefix   UInt64 version = 1 (SharedDictionariesWithAdditionalKeys)
 *   data     nothing where there are no rows, else
 *            UInt64 flags = width of an index (0 UInt8, 1 UInt16, 2 UInt32, 3 UInt64)
 *                         | 1 << 9 (HasAdditionalKeys: the keys follow) | 1 << 10 (NeedUpdateDictionary)
 *            UInt64 number of keys, the keys as a String column
 *            UInt64 number of rows, an index a row
 */
const VERSION = 1;
const FLAGS = (1 << 9) | (1 << 10);
const KNOWN_SLOTS = 8;
const scratch = new Writer(256);

export class LowCardinalityColumn implements Column {
  readonly type = 'LowCardinality(String)';
  readonly dictionary = new Dictionary();
  readonly indexes = new IndexList();
  private readonly known = new Int32Array(KNOWN_SLOTS);
  private last = 0;

  get rows(): number {
    return this.indexes.count;
  }

  range(bytes: Buffer, start: number, stop: number): void {
    // The row before often had the same text; that is cheaper to see than to hash.
    if (this.last === 0 || !this.dictionary.is(this.last, bytes, start, stop)) this.last = this.dictionary.index(bytes, start, stop);
    this.indexes.push(this.last);
  }

  /** The AnyValue at bytes[start, stop) as text. @throws Malformed with nothing added */
  value(bytes: Buffer, start: number, stop: number): void {
    scratch.reset();
    writeValue(scratch, bytes, start, stop);
    // writeValue puts the length first.
    let head = 0;
    while (scratch.bytes[head]! >= 0x80) head++;
    this.range(scratch.bytes, head + 1, scratch.length);
  }

  /** A word of a small fixed set; `slot` (0 … 7) is its number there, so that it is looked up once a block. */
  word(slot: number, word: Buffer): void {
    let index = this.known[slot]!;
    if (index === 0) index = this.known[slot] = this.dictionary.index(word, 0, word.length);
    this.indexes.push(index);
  }

  /** The last row once more. */
  repeat(): void {
    this.indexes.push(this.indexes.at(this.indexes.count - 1));
  }

  prefixSize(): number {
    return 8;
  }
  writePrefix(out: Writer): void {
    out.u32(VERSION);
    out.u32(0);
  }
  dataSize(): number {
    return this.rows === 0 ? 0 : 24 + this.dictionary.size() + this.rows * this.width();
  }
  writeData(out: Writer): void {
    if (this.rows === 0) return;
    const width = this.width();
    out.u32(FLAGS | (width >>> 1));
    out.u32(0);
    out.u32(this.dictionary.count);
    out.u32(0);
    this.dictionary.write(out);
    out.u32(this.rows);
    out.u32(0);
    this.indexes.writeIndexes(out, width);
  }
  /** Keys that only the forgotten rows used stay in the dictionary: allowed, and the same each time. */
  truncate(rows: number): void {
    this.indexes.count = rows;
  }
  clear(): void {
    this.dictionary.clear();
    this.indexes.count = 0;
    this.known.fill(0);
    this.last = 0;
  }

  private width(): 1 | 2 | 4 {
    // The engine takes the wider index one key before it must; we do as it does.
    if (this.dictionary.count < 0x100) return 1;
    return this.dictionary.count < 0x1_0000 ? 2 : 4;
  }
}
