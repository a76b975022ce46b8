import { Malformed } from '../base/errors.ts';
import { Cursor, WIRE_I64, WIRE_LEN, WIRE_VARINT } from '../wire/cursor.ts';

/*
 * opentelemetry-proto common/v1/common.proto
 *
 *   KeyValue { string key = 1; AnyValue value = 2 }
 *   AnyValue { oneof: string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4;
 *              ArrayValue array_value = 5; KeyValueList kvlist_value = 6; bytes bytes_value = 7 }
 *   ArrayValue { repeated AnyValue values = 1 }      KeyValueList { repeated KeyValue values = 1 }
 *   Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2 }
 *   InstrumentationScope { string name = 1; string version = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4 }
 */
export const VALUE_EMPTY = 0;
export const VALUE_STRING = 1;
export const VALUE_BOOL = 2;
export const VALUE_INT = 3;
export const VALUE_DOUBLE = 4;
export const VALUE_ARRAY = 5;
export const VALUE_KVLIST = 6;
export const VALUE_BYTES = 7;

const STRIDE = 4;
const KEY_TAG = (1 << 3) | WIRE_LEN;
const VALUE_TAG = (2 << 3) | WIRE_LEN;
const pair = new Cursor();

/** The attributes of one message as ranges: key [keyStart, keyStop), AnyValue payload [valueStart, valueStop). Grows, is reused, holds no objects. */
export class AttributeList {
  count = 0;
  private ranges = new Int32Array(64 * STRIDE);

  clear(): void {
    this.count = 0;
  }

  /** Adds the KeyValue at bytes[start, stop). A missing value is VALUE_EMPTY. @throws Malformed */
  add(bytes: Buffer, start: number, stop: number): void {
    const at = this.count * STRIDE;
    if (at === this.ranges.length) {
      const grown = new Int32Array(this.ranges.length * 2);
      grown.set(this.ranges);
      this.ranges = grown;
    }
    const ranges = this.ranges;
    // Nearly every KeyValue is `0x0a size key 0x12 size value` with sizes below 128: seen without the cursor.
    const keySize = bytes[start + 1]!;
    const middle = start + 2 + keySize;
    if (bytes[start] === KEY_TAG && keySize < 0x80 && middle + 1 < stop && bytes[middle] === VALUE_TAG) {
      const valueSize = bytes[middle + 1]!;
      if (valueSize < 0x80 && middle + 2 + valueSize === stop) {
        ranges[at] = start + 2;
        ranges[at + 1] = middle;
        ranges[at + 2] = middle + 2;
        ranges[at + 3] = stop;
        this.count++;
        return;
      }
    }
    ranges[at] = ranges[at + 1] = ranges[at + 2] = ranges[at + 3] = start;
    pair.reset(bytes, start, stop);
    while (pair.next()) {
      if (pair.field === 1) {
        pair.expect(WIRE_LEN);
        ranges[at] = pair.start;
        ranges[at + 1] = pair.stop;
      } else if (pair.field === 2) {
        pair.expect(WIRE_LEN);
        ranges[at + 2] = pair.start;
        ranges[at + 3] = pair.stop;
      }
    }
    this.count++;
  }

  keyStart(index: number): number {
    return this.ranges[index * STRIDE]!;
  }
  keyStop(index: number): number {
    return this.ranges[index * STRIDE + 1]!;
  }
  valueStart(index: number): number {
    return this.ranges[index * STRIDE + 2]!;
  }
  valueStop(index: number): number {
    return this.ranges[index * STRIDE + 3]!;
  }

  /** The first attribute with this key, or −1. */
  find(bytes: Buffer, key: Buffer): number {
    const ranges = this.ranges;
    const size = key.length;
    for (let index = 0, at = 0; index < this.count; index++, at += STRIDE) {
      const start = ranges[at]!;
      if (ranges[at + 1]! - start === size && sameBytes(bytes, start, key, 0, size)) return index;
    }
    return -1;
  }
}

export function sameBytes(left: Buffer, leftStart: number, right: Buffer, rightStart: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (left[leftStart + i] !== right[rightStart + i]) return false;
  return true;
}

/** One AnyValue. `kind` is VALUE_*; strings, bytes, arrays and kvlists have their payload in [start, stop); bool and int are in `lo`, `hi` (two's complement); a double in `double`. */
export class ValueView {
  kind = VALUE_EMPTY;
  start = 0;
  stop = 0;
  lo = 0;
  hi = 0;
  double = 0;
  private readonly cursor = new Cursor();

  /** @throws Malformed */
  parse(bytes: Buffer, start: number, stop: number): this {
    const cursor = this.cursor.reset(bytes, start, stop);
    this.kind = VALUE_EMPTY;
    while (cursor.next()) {
      if (cursor.field > VALUE_BYTES) continue;
      this.kind = cursor.field;
      this.start = cursor.start;
      this.stop = cursor.stop;
      switch (cursor.field) {
        case VALUE_BOOL:
        case VALUE_INT:
          cursor.expect(WIRE_VARINT);
          this.lo = cursor.lo;
          this.hi = cursor.hi;
          break;
        case VALUE_DOUBLE:
          cursor.expect(WIRE_I64);
          this.double = bytes.readDoubleLE(cursor.start);
          break;
        default:
          cursor.expect(WIRE_LEN);
      }
    }
    return this;
  }
}

/** The `attributes` of a Resource (field 1) or an InstrumentationScope (field 3) into `list`. @throws Malformed */
export function parseAttributes(bytes: Buffer, start: number, stop: number, field: number, list: AttributeList): void {
  list.clear();
  const cursor = message.reset(bytes, start, stop);
  while (cursor.next()) {
    if (cursor.field !== field) continue;
    if (cursor.wire !== WIRE_LEN) throw new Malformed('attribute is not a message', cursor.start);
    list.add(bytes, cursor.start, cursor.stop);
  }
}

const message = new Cursor();
export const RESOURCE_ATTRIBUTES = 1;
export const SCOPE_ATTRIBUTES = 3;
