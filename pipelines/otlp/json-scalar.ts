import { WIRE_VARINT } from '../wire/cursor.ts';
import type { Writer } from '../wire/writer.ts';
import type { Scalar } from './schema.ts';

/**
 * The scalars of OTLP/JSON: protobuf's JSON mapping (protobuf.dev/programming-guides/json) with OTLP's own rules for ids and
 * enums (OTLP specification, JSON Protobuf Encoding). `readScalar` turns a JSON value into what `writeScalar` and
 * `writePacked` take; it throws a string that says what was expected.
 */
type ScalarValue = string | number | bigint | boolean | Buffer;

const DECIMAL = /^-?\d{1,20}$/;
const HEX = /^(?:[0-9a-fA-F]{2})*$/;
// Both alphabets, padded or not, as the mapping asks of a parser.
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;
const DOUBLE = /^-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;
const specialDoubles: Readonly<Record<string, number>> = { NaN, Infinity, '-Infinity': -Infinity };

const integerRanges: Readonly<Record<string, readonly [least: bigint, most: bigint]>> = {
  enum: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  sint32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
  fixed32: [0n, 2n ** 32n - 1n],
  fixed64: [0n, 2n ** 64n - 1n],
  sfixed64: [-(2n ** 63n), 2n ** 63n - 1n],
};

/** Thrown by readScalar; json.ts adds the path. */
export class NotThat extends Error {}

export function readScalar(type: Scalar, value: unknown): ScalarValue {
  switch (type) {
    case 'string':
      if (typeof value !== 'string') throw new NotThat('not a string');
      return value;
    case 'bool':
      if (typeof value !== 'boolean') throw new NotThat('not true or false');
      return value;
    case 'id':
      if (typeof value !== 'string' || !HEX.test(value)) throw new NotThat('not a string of hexadecimal digits');
      return Buffer.from(value, 'hex');
    case 'bytes':
      if (typeof value !== 'string' || !BASE64.test(value)) throw new NotThat('not a base64 string');
      return Buffer.from(value, 'base64');
    case 'double':
      return readDouble(value);
    case 'enum':
      if (typeof value !== 'number') throw new NotThat('not a number (OTLP/JSON has no enum names)');
      return readInteger(type, value);
    default:
      return readInteger(type, value);
  }
}

function readDouble(value: unknown): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'string') {
    const special = specialDoubles[value];
    if (special !== undefined) return special;
    if (DOUBLE.test(value)) return Number(value);
  }
  throw new NotThat('not a number, "NaN", "Infinity" or "-Infinity"');
}

/** A decimal string is exact; a JSON number beyond 2^53 has lost its last digits before it comes here. */
function readInteger(type: Scalar, value: unknown): bigint {
  let integer: bigint;
  if (typeof value === 'number' && Number.isInteger(value)) integer = BigInt(value);
  else if (typeof value === 'string' && DECIMAL.test(value)) integer = BigInt(value);
  else throw new NotThat('not an integer, or a decimal string of one');
  const [least, most] = integerRanges[type]!;
  if (integer < least || integer > most) throw new NotThat(`outside ${least} … ${most}`);
  return integer;
}

const LOW = 0xffff_ffffn;

/** The value without its tag. LEN types (string, bytes, id) come with their length. */
export function writeValue(w: Writer, type: Scalar, value: ScalarValue): void {
  switch (type) {
    case 'string': {
      const text = Buffer.from(value as string);
      w.varint(text.length);
      w.raw(text, 0, text.length);
      return;
    }
    case 'id':
    case 'bytes': {
      const bytes = value as Buffer;
      w.varint(bytes.length);
      w.raw(bytes, 0, bytes.length);
      return;
    }
    case 'bool':
      w.byte(value === true ? 1 : 0);
      return;
    case 'double':
      w.f64(value as number);
      return;
    case 'fixed32':
      w.u32(Number(value));
      return;
    case 'sint32': {
      const n = Number(value);
      w.varint(((n << 1) ^ (n >> 31)) >>> 0);
      return;
    }
    case 'enum':
    case 'uint32':
    case 'int64':
    case 'uint64': {
      const bits = BigInt.asUintN(64, value as bigint);
      w.varint64(Number(bits & LOW), Number(bits >> 32n));
      return;
    }
    case 'fixed64':
    case 'sfixed64': {
      const bits = BigInt.asUintN(64, value as bigint);
      w.u32(Number(bits & LOW));
      w.u32(Number(bits >> 32n));
    }
  }
}

/** protobuf's wire type of a scalar. */
export function wireOf(type: Scalar): number {
  switch (type) {
    case 'string':
    case 'bytes':
    case 'id':
      return 2;
    case 'fixed32':
      return 5;
    case 'fixed64':
    case 'sfixed64':
    case 'double':
      return 1;
    default:
      return WIRE_VARINT;
  }
}
