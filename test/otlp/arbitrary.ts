import * as fc from 'fast-check';
import { schema, type Scalar } from '../../pipelines/otlp/schema.ts';
import { encode } from '../kit/proto.ts';

/**
 * Random OTLP messages as plain objects of kit/proto.ts. They are drawn from our own table of messages, but the kit
 * encodes and decodes them by its own one and refuses names it does not know, so a mistake in ours shows.
 */
type Plain = Record<string, unknown>;

const u64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n),
);
const i64 = u64.map((value) => BigInt.asIntN(64, value));
const text = fc.string({ maxLength: 12, unit: 'grapheme' });
const bytes = fc.uint8Array({ maxLength: 20 }).map((value) => Buffer.from(value));

function scalar(type: Scalar): fc.Arbitrary<unknown> {
  switch (type) {
    case 'string':
      return text;
    case 'bytes':
      return bytes;
    case 'id':
      return fc
        .constantFrom(0, 8, 16)
        .chain((length) => fc.uint8Array({ minLength: length, maxLength: length }).map((value) => Buffer.from(value)));
    case 'bool':
      return fc.boolean();
    case 'enum':
      return fc.nat({ max: 30 });
    case 'uint32':
    case 'fixed32':
      return fc.oneof(fc.nat({ max: 5 }), fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constant(2 ** 32 - 1));
    case 'sint32':
      return fc.oneof(fc.integer({ min: -5, max: 5 }), fc.integer(), fc.constantFrom(-(2 ** 31), 2 ** 31 - 1));
    case 'int64':
    case 'sfixed64':
      return i64.map(String);
    case 'uint64':
    case 'fixed64':
      return u64.map(String);
    case 'double':
      return fc.double();
  }
}

const oneofs: Readonly<Record<string, readonly string[]>> = {
  AnyValue: Object.keys(schema.AnyValue!),
  Metric: ['gauge', 'sum', 'histogram', 'exponentialHistogram', 'summary'],
  NumberDataPoint: ['asDouble', 'asInt'],
  Exemplar: ['asDouble', 'asInt'],
};

/** A message with any of its fields; AnyValue nests at most `depth` levels. */
export function message(name: string, depth = 3): fc.Arbitrary<Plain> {
  const fields = Object.entries(schema[name]!).map(([field, [, type, rule]]) => {
    const nested = schema[type] !== undefined;
    if (nested && depth === 0 && (type === 'ArrayValue' || type === 'KeyValueList')) return [field, fc.constant({})] as const;
    const one = nested ? message(type, name === 'AnyValue' ? depth - 1 : depth) : scalar(type as Scalar);
    return [field, rule === 'repeated' ? fc.array(one, { maxLength: 3, minLength: 1 }) : one] as const;
  });
  const exclusive = new Set(oneofs[name]);
  const plain = fc.record(Object.fromEntries(fields.filter(([field]) => !exclusive.has(field))), {
    requiredKeys: [],
    noNullPrototype: true,
  });
  if (exclusive.size === 0) return plain;
  const choices = fields
    .filter(([field]) => exclusive.has(field))
    .map(([field, arbitrary]) => arbitrary.map((value) => ({ [field]: value })));
  return fc.tuple(plain, fc.oneof(fc.constant({}), ...choices)).map(([rest, chosen]) => ({ ...rest, ...chosen }));
}

/** Fields of numbers that OTLP does not have, of every wire type. */
export const unknownFields: fc.Arbitrary<Buffer> = fc
  .array(
    fc.constantFrom(
      [0xf0, 0x07, 0xff, 0x01], // 126: varint
      [0xf1, 0x07, 1, 2, 3, 4, 5, 6, 7, 8], // 126: fixed64
      [0xf2, 0x07, 3, 0xff, 0xff, 0xff], // 126: three bytes that are no message
      [0xf5, 0x07, 1, 2, 3, 4], // 126: fixed32
    ),
    { maxLength: 3 },
  )
  .map((parts) => Buffer.from(parts.flat()));

/** Protobuf bytes with unknown fields before and behind. */
export function withUnknown(name: string, value: object, [before, behind]: readonly [Buffer, Buffer]): Buffer {
  return Buffer.concat([before, encode(name, value), behind]);
}
