import {
  VALUE_ARRAY,
  VALUE_BOOL,
  VALUE_BYTES,
  VALUE_DOUBLE,
  VALUE_INT,
  VALUE_KVLIST,
  VALUE_STRING,
  AttributeList,
  ValueView,
} from '../otlp/attributes.ts';
import { Cursor, WIRE_LEN } from '../wire/cursor.ts';
import type { Writer } from '../wire/writer.ts';
import { doubleText, writeAscii, writeBase64, writeInt } from './text.ts';

/*
 * Arrays and kvlists as the text that Go's `json.Marshal` gives for pdata's `AsRaw`:
 *
 *   - keys of a kvlist sorted by their bytes; of a key that comes twice the last value counts
 *   - no spaces; `<`, `>`, `&`, U+2028 and U+2029 escaped as \u003c …; other non-ASCII characters as they are
 *   - a byte that is not UTF-8 becomes \ufffd
 *   - no value is null, bytes are a base64 string, a double is written as `doubleText` does
 *   - a NaN or infinity anywhere makes Marshal fail, and pdata then gives the empty string
 *
 * Rare on mesh spans, so this file may allocate: it recurses, and keeps a list a kvlist.
 */

/** Values nested deeper than this are written as null: the call stack is not the sender's to fill. */
export const VALUE_DEPTH_MAX = 128;

/** Writes the ArrayValue or KeyValueList message at bytes[start, stop). @throws Malformed */
export function writeJson(out: Writer, bytes: Buffer, kind: number, start: number, stop: number): void {
  const from = out.length;
  if (!writeComposite(out, bytes, kind, start, stop, 1)) out.length = from;
}

/** False where a number has no JSON form. */
function writeComposite(out: Writer, bytes: Buffer, kind: number, start: number, stop: number, depth: number): boolean {
  return kind === VALUE_ARRAY ? writeArray(out, bytes, start, stop, depth) : writeObject(out, bytes, start, stop, depth);
}

function writeArray(out: Writer, bytes: Buffer, start: number, stop: number, depth: number): boolean {
  const cursor = new Cursor().reset(bytes, start, stop);
  const value = new ValueView();
  let finite = true;
  let first = true;
  out.byte(0x5b);
  while (cursor.next()) {
    if (cursor.field !== 1) continue;
    cursor.expect(WIRE_LEN);
    if (!first) out.byte(0x2c);
    first = false;
    finite = writeElement(out, bytes, value.parse(bytes, cursor.start, cursor.stop), depth) && finite;
  }
  out.byte(0x5d);
  return finite;
}

function writeObject(out: Writer, bytes: Buffer, start: number, stop: number, depth: number): boolean {
  const cursor = new Cursor().reset(bytes, start, stop);
  const list = new AttributeList();
  while (cursor.next()) {
    if (cursor.field !== 1) continue;
    cursor.expect(WIRE_LEN);
    list.add(bytes, cursor.start, cursor.stop);
  }
  const key = (index: number): Buffer => bytes.subarray(list.keyStart(index), list.keyStop(index));
  const order = Array.from({ length: list.count }, (_, index) => index).sort((a, b) => Buffer.compare(key(a), key(b)) || a - b);
  const value = new ValueView();
  let finite = true;
  let first = true;
  out.byte(0x7b);
  for (const [rank, index] of order.entries()) {
    const next = order[rank + 1];
    if (next !== undefined && key(index).equals(key(next))) continue;
    if (!first) out.byte(0x2c);
    first = false;
    writeJsonString(out, bytes, list.keyStart(index), list.keyStop(index));
    out.byte(0x3a);
    finite = writeElement(out, bytes, value.parse(bytes, list.valueStart(index), list.valueStop(index)), depth) && finite;
  }
  out.byte(0x7d);
  return finite;
}

function writeElement(out: Writer, bytes: Buffer, value: ValueView, depth: number): boolean {
  switch (value.kind) {
    case VALUE_STRING:
      writeJsonString(out, bytes, value.start, value.stop);
      return true;
    case VALUE_BOOL:
      writeAscii(out, (value.lo | value.hi) === 0 ? 'false' : 'true');
      return true;
    case VALUE_INT:
      writeInt(out, value.lo, value.hi);
      return true;
    case VALUE_DOUBLE:
      writeAscii(out, doubleText(value.double));
      return Number.isFinite(value.double);
    case VALUE_BYTES:
      out.byte(0x22);
      writeBase64(out, bytes, value.start, value.stop);
      out.byte(0x22);
      return true;
    case VALUE_ARRAY:
    case VALUE_KVLIST:
      if (depth < VALUE_DEPTH_MAX) return writeComposite(out, bytes, value.kind, value.start, value.stop, depth + 1);
      writeAscii(out, 'null');
      return true;
    default:
      writeAscii(out, 'null');
      return true;
  }
}

/** What JSON has a short escape for; other control characters are \u00XX. */
const SHORT = new Map([
  [0x08, '\\b'],
  [0x09, '\\t'],
  [0x0a, '\\n'],
  [0x0c, '\\f'],
  [0x0d, '\\r'],
  [0x22, '\\"'],
  [0x5c, '\\\\'],
]);

function writeJsonString(out: Writer, bytes: Buffer, start: number, stop: number): void {
  out.byte(0x22);
  let at = start;
  while (at < stop) {
    const byte = bytes[at]!;
    if (byte < 0x80) {
      at++;
      const short = SHORT.get(byte);
      if (short !== undefined) writeAscii(out, short);
      else if (byte < 0x20 || byte === 0x3c || byte === 0x3e || byte === 0x26)
        writeAscii(out, `\\u00${byte.toString(16).padStart(2, '0')}`);
      else out.byte(byte);
      continue;
    }
    const size = utf8Size(bytes, at, stop);
    if (size === 0) {
      writeAscii(out, '\\ufffd');
      at++;
    } else if (size === 3 && byte === 0xe2 && bytes[at + 1] === 0x80 && (bytes[at + 2]! & 0xfe) === 0xa8) {
      writeAscii(out, bytes[at + 2] === 0xa8 ? '\\u2028' : '\\u2029');
      at += size;
    } else {
      out.raw(bytes, at, at + size);
      at += size;
    }
  }
  out.byte(0x22);
}

/** Bytes of the well-formed multi-byte character at `at` (Unicode, table 3-7), 0 where there is none. */
function utf8Size(bytes: Buffer, at: number, stop: number): number {
  const first = bytes[at]!;
  const size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + size > stop) return 0;
  const second = bytes[at + 1]!;
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let i = 2; i < size; i++) if ((bytes[at + i]! & 0xc0) !== 0x80) return 0;
  return size;
}
