import { rootOf, schema, type Scalar } from '../pipelines/otlp/schema.ts';
import type { Signal } from '../pipelines/otlp/walk.ts';
import { Cursor, WIRE_LEN, i64ToNumber } from '../pipelines/wire/cursor.ts';

/** Messages within messages; the validator lets far fewer in. */
const DEPTH_MAX = 200;

interface Field {
  readonly name: string;
  readonly type: string;
  readonly repeated: boolean;
}

const fields = new Map<string, Map<number, Field>>();
for (const [name, rows] of Object.entries(schema)) {
  const byNumber = new Map<number, Field>();
  for (const [field, [number, type, rule]] of Object.entries(rows))
    byNumber.set(number, { name: field, type, repeated: rule === 'repeated' });
  fields.set(name, byNumber);
}

/** A Data message in OTLP/JSON (OTLP specification, JSON Protobuf Encoding), for a person to read. @throws Malformed */
export function otlpToJson(signal: Signal, bytes: Buffer): unknown {
  return message(rootOf[signal], bytes, 0, bytes.length, 0);
}

function message(type: string, bytes: Buffer, start: number, stop: number, depth: number): unknown {
  if (depth > DEPTH_MAX) return '…';
  const known = fields.get(type)!;
  const json: Record<string, unknown> = {};
  const cursor = new Cursor().reset(bytes, start, stop);
  while (cursor.next()) {
    const field = known.get(cursor.field);
    if (field === undefined) continue;
    const values: unknown[] = [];
    if (fields.has(field.type)) {
      cursor.expect(WIRE_LEN);
      values.push(message(field.type, bytes, cursor.start, cursor.stop, depth + 1));
    } else values.push(...scalars(field, cursor, bytes));
    if (field.repeated) json[field.name] = [...((json[field.name] as unknown[] | undefined) ?? []), ...values];
    else json[field.name] = values.at(-1);
  }
  return json;
}

/** One value, or those of a packed field. */
function scalars({ type, repeated }: Field, cursor: Cursor, bytes: Buffer): unknown[] {
  const { start, stop } = cursor;
  switch (type as Scalar) {
    case 'string':
      return [bytes.toString('utf8', start, stop)];
    case 'id':
      return [bytes.toString('hex', start, stop)];
    case 'bytes':
      return [bytes.toString('base64', start, stop)];
    case 'double':
      return fixed(start, stop, 8, (at) => double(bytes.readDoubleLE(at)));
    case 'fixed64':
      return fixed(start, stop, 8, (at) => bytes.readBigUInt64LE(at).toString());
    case 'sfixed64':
      return fixed(start, stop, 8, (at) => bytes.readBigInt64LE(at).toString());
    case 'fixed32':
      return fixed(start, stop, 4, (at) => bytes.readUInt32LE(at));
    default:
      return repeated && cursor.wire === WIRE_LEN ? packed(type as Scalar, bytes, start, stop) : [varint(type as Scalar, cursor)];
  }
}

function fixed(start: number, stop: number, width: number, read: (at: number) => unknown): unknown[] {
  const values: unknown[] = [];
  for (let at = start; at + width <= stop; at += width) values.push(read(at));
  return values;
}

function packed(type: Scalar, bytes: Buffer, start: number, stop: number): unknown[] {
  const values: unknown[] = [];
  const cursor = new Cursor().reset(bytes, start, stop);
  while (cursor.nextPacked()) values.push(varint(type, cursor));
  return values;
}

function varint(type: Scalar, { lo, hi }: Cursor): unknown {
  switch (type) {
    case 'bool':
      return (lo | hi) !== 0;
    case 'sint32':
      return (lo >>> 1) ^ -(lo & 1);
    case 'enum':
    case 'uint32':
      return i64ToNumber(lo, hi);
    case 'int64':
      return BigInt.asIntN(64, (BigInt(hi) << 32n) | BigInt(lo)).toString();
    default:
      return ((BigInt(hi) << 32n) | BigInt(lo)).toString();
  }
}

/** JSON has no NaN and no infinities, the mapping writes their names; and JSON.stringify has no −0. */
function double(value: number): number | string {
  if (Object.is(value, -0)) return '-0';
  return Number.isFinite(value) ? value : String(value);
}
