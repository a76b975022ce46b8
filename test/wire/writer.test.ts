import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import protobuf from 'protobufjs';
import { Writer, varintSize } from '../../pipelines/wire/writer.ts';

type Tree = { readonly text: string; readonly expected_bytes: number; readonly inner: readonly Tree[] };

const tree = (depth: number): fc.Arbitrary<Tree> =>
  fc.record({
    text: fc.string({ maxLength: 200, unit: 'grapheme' }),
    expected_bytes: fc.constantFrom(0, 127, 128, 0x4000, 0x20_0000),
    inner: depth === 0 ? fc.constant([]) : fc.array(tree(depth - 1), { maxLength: 3 }),
  });

function ours(w: Writer, { text, expected_bytes, inner }: Tree): void {
  const mark = w.open(1, expected_bytes);
  w.stringField(2, text);
  for (const one of inner) ours(w, one);
  w.close(mark);
}

function theirs(w: protobuf.Writer, { text, inner }: Tree): void {
  w.uint32(0x0a).fork().uint32(0x12).string(text);
  for (const one of inner) theirs(w, one);
  w.ldelim();
}

test('open() and close() nest like protobufjs, whatever size was expected', () => {
  fc.assert(
    fc.property(tree(4), (root) => {
      const w = new Writer(0);
      ours(w, root);
      const other = protobuf.Writer.create();
      theirs(other, root);
      assert.deepEqual(w.copy(), Buffer.from(other.finish()));
    }),
  );
});

test('varint64() and the fixed fields write the bytes of protobufjs for any 64 bits', () => {
  const extremes = fc.constantFrom(0n, 1n, 127n, 128n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n);
  fc.assert(
    fc.property(
      fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), extremes),
      fc.double(),
      fc.integer({ min: 1, max: 2 ** 29 - 1 }),
      (value, double, field) => {
        const lo = Number(value & 0xffff_ffffn);
        const hi = Number(value >> 32n);
        const long = value.toString();
        const w = new Writer(1);
        w.varint64(lo, hi);
        w.fixed64Field(field, lo, hi);
        w.fixed32Field(field, lo);
        w.doubleField(field, double);
        const tag = (wire: number): number => ((field << 3) | wire) >>> 0;
        const other = protobuf.Writer.create()
          .uint64(long)
          .uint32(tag(1))
          .fixed64(long)
          .uint32(tag(5))
          .fixed32(lo)
          .uint32(tag(1))
          .double(double);
        assert.deepEqual(w.copy(), Buffer.from(other.finish()));
      },
    ),
  );
});

test('varint() is exact up to 2^53, and varintSize() is its length below 2^31', () => {
  const near = fc.constantFrom(
    0x7f,
    0x80,
    0x3fff,
    0x4000,
    0x1f_ffff,
    0x20_0000,
    0xfff_ffff,
    0x1000_0000,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32,
    2 ** 53 - 1,
  );
  fc.assert(
    fc.property(fc.oneof(fc.maxSafeNat(), near), (value) => {
      const w = new Writer(0);
      w.varint(value);
      assert.deepEqual(w.copy(), Buffer.from(protobuf.Writer.create().uint64(value).finish()));
      if (value < 2 ** 31) assert.equal(varintSize(value), w.length);
    }),
  );
});

test('raw() copies short and long ranges alike, and reset() starts over in the same buffer', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 50 }), (random, from) => {
      const bytes = Buffer.from(random);
      const start = Math.min(from, bytes.length);
      const w = new Writer(4);
      w.byte(7);
      w.raw(bytes, start, bytes.length);
      assert.deepEqual(w.copy(), Buffer.concat([Buffer.from([7]), bytes.subarray(start)]));
      const kept = w.bytes;
      w.reset();
      w.byte(9);
      assert.equal(w.bytes, kept);
      assert.deepEqual(w.copy(), Buffer.from([9]));
    }),
  );
});

test('view() is borrowed: the next write shows through it; copy() is the caller’s own', () => {
  const w = new Writer(8);
  w.byte(1);
  const view = w.view();
  const copy = w.copy();
  w.reset();
  w.byte(2);
  assert.equal(view[0], 2);
  assert.equal(copy[0], 1);
});
