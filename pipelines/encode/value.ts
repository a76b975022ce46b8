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
import { Writer } from '../wire/writer.ts';
import { writeJson } from './json.ts';
import { doubleText, writeAscii, writeBase64, writeInt } from './text.ts';

const STRING_TAG = (VALUE_STRING << 3) | 2;
const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');
const view = new ValueView();
const text = new Writer(256);

/**
 * Writes the AnyValue at bytes[start, stop) as one row of a String column: varuint(length), then its text. The text is that of the
 * Collector's `pcommon.Value.AsString` (pdata/pcommon/value.go), which its ClickHouse exporter stores: strings as they are, ints
 * decimal, doubles as JSON numbers, bools `true` and `false`, bytes as base64, arrays and kvlists as JSON (see json.ts), no value as ''.
 * @throws Malformed with nothing written
 */
export function writeValue(out: Writer, bytes: Buffer, start: number, stop: number): void {
  // An AnyValue that is one string is `tag varint(length) text`, and a String row is `varint(length) text`: the row is the value without its tag.
  if (isPlainString(bytes, start, stop)) {
    out.raw(bytes, start + 1, stop);
    return;
  }
  const value = view.parse(bytes, start, stop);
  switch (value.kind) {
    case VALUE_EMPTY:
      out.byte(0);
      return;
    case VALUE_STRING:
      out.varint(value.stop - value.start);
      out.raw(bytes, value.start, value.stop);
      return;
    default:
      text.reset();
      writeText(text, bytes, value);
      out.varint(text.length);
      out.raw(text.bytes, 0, text.length);
  }
}

function writeText(out: Writer, bytes: Buffer, value: ValueView): void {
  switch (value.kind) {
    case VALUE_BOOL: {
      const word = (value.lo | value.hi) === 0 ? FALSE : TRUE;
      out.raw(word, 0, word.length);
      return;
    }
    case VALUE_INT:
      writeInt(out, value.lo, value.hi);
      return;
    case VALUE_DOUBLE:
      writeAscii(out, doubleText(value.double));
      return;
    case VALUE_BYTES:
      writeBase64(out, bytes, value.start, value.stop);
      return;
    case VALUE_ARRAY:
    case VALUE_KVLIST:
      writeJson(out, bytes, value.kind, value.start, value.stop);
      return;
    default:
      throw new Error(`no text for value kind ${value.kind}`);
  }
}

/** Whether the message is one string_value whose length takes the fewest bytes: up to 16 KiB, which nearly all are. */
function isPlainString(bytes: Buffer, start: number, stop: number): boolean {
  const size = stop - start;
  if (size < 2 || bytes[start] !== STRING_TAG) return false;
  const first = bytes[start + 1]!;
  if (first < 0x80) return first === size - 2;
  if (size < 3) return false;
  const second = bytes[start + 2]!;
  return second < 0x80 && second !== 0 && (first & 0x7f) + second * 0x80 === size - 3;
}
