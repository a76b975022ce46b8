import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import protobuf from 'protobufjs';
import { Malformed } from '../../pipelines/base/errors.ts';
import { Cursor, WIRE_I32, WIRE_I64, WIRE_LEN, WIRE_VARINT, i64ToNumber, u32, u64ToNumber } from '../../pipelines/wire/cursor.ts';

type Part =
  | { field: number; wire: 0; value: bigint }
  | { field: number; wire: 1 | 5; value: bigint }
  | { field: number; wire: 2; value: Buffer };

const fieldNumber = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(15, 16, 2047, 2048, 2 ** 29 - 1));
const u64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 127n, 128n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n),
);
const part: fc.Arbitrary<Part> = fc.oneof(
  fc.record({ field: fieldNumber, wire: fc.constant<0>(0), value: u64 }, { noNullPrototype: true }),
  fc.record({ field: fieldNumber, wire: fc.constant<1>(1), value: u64 }, { noNullPrototype: true }),
  fc.record({ field: fieldNumber, wire: fc.constant<5>(5), value: fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }) }, { noNullPrototype: true }),
  fc.record(
    { field: fieldNumber, wire: fc.constant<2>(2), value: fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b)) },
    { noNullPrototype: true },
  ),
);

/** Written by protobufjs, read by our cursor. */
function build(parts: readonly Part[]): Buffer {
  const w = protobuf.Writer.create();
  for (const { field, wire, value } of parts) {
    w.uint32(((field << 3) | wire) >>> 0);
    if (wire === 2) w.bytes(value);
    else if (wire === 0) w.uint64(value.toString());
    else if (wire === 1) w.fixed64(value.toString());
    else w.fixed32(Number(value));
  }
  return Buffer.from(w.finish());
}

function read(bytes: Buffer): Part[] {
  const cursor = new Cursor().reset(bytes, 0, bytes.length);
  const parts: Part[] = [];
  while (cursor.next()) {
    const { field, wire, start, stop } = cursor;
    if (wire === WIRE_VARINT) parts.push({ field, wire, value: (BigInt(cursor.hi) << 32n) | BigInt(cursor.lo) });
    else if (wire === WIRE_LEN) parts.push({ field, wire, value: bytes.subarray(start, stop) });
    else if (wire === WIRE_I64) parts.push({ field, wire, value: bytes.readBigUInt64LE(start) });
    else if (wire === WIRE_I32) parts.push({ field, wire, value: BigInt(u32(bytes, start)) });
  }
  return parts;
}

const malformed = (...bytes: number[]): void => {
  assert.throws(() => read(Buffer.from(bytes)), Malformed);
};

test('Cursor reads every field that protobufjs writes, 64-bit extremes and the largest field number included', () => {
  fc.assert(fc.property(fc.array(part, { maxLength: 12 }), (parts) => assert.deepEqual(read(build(parts)), parts)));
});

test('Cursor on any bytes at all ends or throws Malformed, and never reads past the end of its message', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat({ max: 8 }), (random, behind) => {
      const bytes = Buffer.concat([Buffer.from(random), Buffer.alloc(behind, 1)]);
      const cursor = new Cursor().reset(bytes, 0, random.length);
      try {
        while (cursor.next()) assert.ok(cursor.stop <= random.length && cursor.start <= cursor.stop && cursor.pos <= random.length);
      } catch (error) {
        assert.ok(error instanceof Malformed, String(error));
      }
    }),
  );
});

test('Cursor refuses a message truncated at any byte, except at the border of a field', () => {
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (parts) => {
      const bytes = build(parts);
      const borders = new Set(parts.map((_, index) => build(parts.slice(0, index)).length));
      for (let length = 0; length < bytes.length; length++) {
        if (borders.has(length)) read(bytes.subarray(0, length));
        else assert.throws(() => read(bytes.subarray(0, length)), Malformed);
      }
    }),
    { numRuns: 30 },
  );
});

test('Cursor accepts a varint padded to ten bytes and refuses an eleventh, or bits above the 64th', () => {
  assert.deepEqual(read(Buffer.from([0x08, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00])), [
    { field: 1, wire: 0, value: 1n },
  ]);
  malformed(0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00);
  malformed(0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02);
});

test('Cursor refuses groups, unknown wire types, field 0 and field numbers above 2^29−1', () => {
  for (const wire of [3, 4, 6, 7]) malformed((1 << 3) | wire, 0);
  malformed(0x00, 0x00);
  malformed(0x80, 0x80, 0x80, 0x80, 0x10, 0x00);
});

test('Cursor refuses lengths that run past the end, also those above 2^31 and 2^32', () => {
  malformed(0x0a, 0x02, 0x00);
  malformed(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f);
  malformed(0x0a, 0x80, 0x80, 0x80, 0x80, 0x10);
  malformed(0x09, 1, 2, 3, 4, 5, 6, 7);
  malformed(0x0d, 1, 2, 3);
});

test('Malformed says at which byte', () => {
  assert.throws(() => read(Buffer.from([0x08, 0x01, 0x0a, 0x05])), {
    message: 'length runs past the end of its message at byte 3',
    offset: 3,
    reason: 'malformed',
  });
});

test('expect() refuses a known field of another wire type', () => {
  const cursor = new Cursor().reset(Buffer.from([0x08, 0x01]), 0, 2);
  cursor.next();
  cursor.expect(WIRE_VARINT);
  assert.throws(() => cursor.expect(WIRE_LEN), Malformed);
});

test('u64ToNumber and i64ToNumber agree with BigInt to a double', () => {
  fc.assert(
    fc.property(u64, (value) => {
      const lo = Number(value & 0xffff_ffffn);
      const hi = Number(value >> 32n);
      assert.equal(u64ToNumber(lo, hi), Number(value));
      assert.equal(i64ToNumber(lo, hi), Number(BigInt.asIntN(64, value)));
    }),
  );
});
