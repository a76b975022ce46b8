import {
  VALUE_ARRAY,
  VALUE_BOOL,
  VALUE_BYTES,
  VALUE_DOUBLE,
  VALUE_EMPTY,
  VALUE_INT,
  VALUE_KVLIST,
  VALUE_STRING,
  ValueView,
} from '../otlp/attributes.ts';
import { Cursor, WIRE_LEN, i64ToNumber } from '../wire/cursor.ts';
import type { Slot } from './slot.ts';

/** Lists and maps nested deeper than this are written as null. */
const TEXT_NESTING_MAX = 64;

/**
 * Any value as text, as pdata's Value.AsString and OTTL's StringLikeGetter give it: numbers in decimal, lists and maps as JSON,
 * bytes as base64 (AsString) or hex (functions). A string is taken as it stands, without a copy; everything else makes a
 * string, so hot conditions should ask for strings. nil is the empty string. `into` may be `value`.
 */
export function valueText(value: Slot, into: Slot, bytesAs: 'base64' | 'hex'): Slot {
  if (value.kind === VALUE_STRING) return into === value ? into : into.setText(value.bytes, value.start, value.stop);
  const text =
    value.kind === VALUE_EMPTY
      ? ''
      : value.kind === VALUE_BYTES
        ? value.bytes.toString(bytesAs, value.start, value.stop)
        : value.kind === VALUE_ARRAY || value.kind === VALUE_KVLIST
          ? JSON.stringify(jsonOf(value.bytes, value, 0))
          : scalarText(value);
  const encoded = Buffer.from(text);
  return into.setText(encoded, 0, encoded.length);
}

function scalarText(value: ValueView): string {
  switch (value.kind) {
    case VALUE_BOOL:
      return value.lo === 0 ? 'false' : 'true';
    case VALUE_INT: {
      const number = i64ToNumber(value.lo >>> 0, value.hi);
      return Number.isSafeInteger(number)
        ? String(number)
        : BigInt.asIntN(64, (BigInt(value.hi >>> 0) << 32n) | BigInt(value.lo >>> 0)).toString();
    }
    case VALUE_DOUBLE:
      return String(value.double);
    default:
      return '';
  }
}

function jsonOf(bytes: Buffer, value: ValueView, depth: number): unknown {
  if (depth > TEXT_NESTING_MAX) return null;
  switch (value.kind) {
    case VALUE_STRING:
      return bytes.toString('utf8', value.start, value.stop);
    case VALUE_BYTES:
      return bytes.toString('base64', value.start, value.stop);
    case VALUE_BOOL:
      return value.lo !== 0;
    case VALUE_INT:
      return i64ToNumber(value.lo >>> 0, value.hi);
    case VALUE_DOUBLE:
      return value.double;
    case VALUE_ARRAY: {
      const list: unknown[] = [];
      const cursor = new Cursor().reset(bytes, value.start, value.stop);
      while (cursor.next())
        if (cursor.field === 1) list.push(jsonOf(bytes, new ValueView().parse(bytes, cursor.start, cursor.stop), depth + 1));
      return list;
    }
    case VALUE_KVLIST: {
      const entries: [string, unknown][] = [];
      const cursor = new Cursor().reset(bytes, value.start, value.stop);
      while (cursor.next()) {
        if (cursor.field !== 1) continue;
        const pair = new Cursor().reset(bytes, cursor.start, cursor.stop);
        const inner = new ValueView();
        let key = '';
        while (pair.next()) {
          if (pair.field === 1) key = bytes.toString('utf8', pair.start, pair.stop);
          else if (pair.field === 2 && pair.wire === WIRE_LEN) inner.parse(bytes, pair.start, pair.stop);
        }
        entries.push([key, jsonOf(bytes, inner, depth + 1)]);
      }
      // Go's json.Marshal writes a map's keys in order.
      entries.sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0));
      return Object.fromEntries(entries);
    }
    default:
      return null;
  }
}

/** A string of decimal digits with an optional sign, as Go's ParseInt(s, 10, 64) reads it; anything else, also what does not fit in 64 bits, is nil. Does not allocate. */
export function parseDecimal(value: Slot, into: Slot): Slot {
  const { bytes, start, stop } = value;
  const negative = bytes[start] === 0x2d;
  const from = negative || bytes[start] === 0x2b ? start + 1 : start;
  if (stop <= from) return into.setNil();
  // Two halves: each step multiplies by ten and carries.
  let hi = 0;
  let lo = 0;
  for (let at = from; at < stop; at++) {
    const digit = bytes[at]! - 0x30;
    if (digit < 0 || digit > 9) return into.setNil();
    const low = lo * 10 + digit;
    const carry = Math.floor(low / 0x1_0000_0000);
    lo = low - carry * 0x1_0000_0000;
    hi = hi * 10 + carry;
    if (hi > 0x8000_0000) return into.setNil();
  }
  const limit = hi === 0x8000_0000;
  if (limit && !(negative && lo === 0)) return into.setNil();
  if (!negative) return into.setInt(lo | 0, hi | 0);
  const low = lo === 0 ? 0 : 0x1_0000_0000 - lo;
  return into.setInt(low | 0, (0x1_0000_0000 - hi - (lo === 0 ? 0 : 1)) | 0);
}
