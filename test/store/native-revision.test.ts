import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FaceError } from '../../pipelines/store/exception.ts';
import { withRevision } from '../../pipelines/store/native-revision.ts';

const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
const u64 = (...values: number[]): Buffer =>
  Buffer.concat(
    values.map((value) => {
      const b = Buffer.alloc(8);
      b.writeBigUInt64LE(BigInt(value));
      return b;
    }),
  );
const info = Buffer.from([1, 0, 2, 255, 255, 255, 255, 0]);

/** Each: type and the data of two rows. */
const columns: [string, Buffer][] = [
  ['UInt8', Buffer.from([1, 2])],
  ["DateTime64(9, 'UTC')", u64(1, 2)],
  ["Enum8('a,(' = 1, 'b' = 2)", Buffer.from([1, 2])],
  ['Decimal(18, 2)', u64(1, 2)],
  ['FixedString(3)', Buffer.from('abcdef')],
  ['String', Buffer.concat([text('ab'), text('')])],
  ['Nullable(UInt8)', Buffer.from([0, 1, 7, 0])],
  ['Array(UInt8)', Buffer.concat([u64(1, 3), Buffer.from([1, 2, 3])])],
  ['Array(Array(String))', Buffer.concat([u64(1, 1), u64(2), text('a'), text('b')])],
  ['Map(String, UInt8)', Buffer.concat([u64(1, 1), text('k'), Buffer.from([9])])],
  ['Tuple(a UInt8, `b c` String)', Buffer.concat([Buffer.from([1, 2]), text('x'), text('y')])],
  ['Nested(a UInt8, b String)', Buffer.concat([u64(0, 1), Buffer.from([5]), text('z')])],
  ['LowCardinality(String)', Buffer.concat([u64(1), u64(0x600), u64(2), text(''), text('a'), u64(2), Buffer.from([1, 0])])],
  ['Array(LowCardinality(String))', Buffer.concat([u64(1), u64(0, 0)])],
  ['LowCardinality(Nullable(String))', Buffer.concat([u64(1), u64(0x601), u64(1), text(''), u64(2), Buffer.from([0, 0, 0, 0])])],
  ['SimpleAggregateFunction(max, DateTime)', Buffer.alloc(8)],
  ['Tuple()', Buffer.alloc(2)],
];

test('withRevision() puts headers between blocks and columns and leaves every byte of the data', () => {
  const names = columns.map(([type, data], i) => ({ head: Buffer.concat([text(`c${i}`), text(type)]), data }));
  const block = Buffer.concat([Buffer.from([columns.length, 2]), ...names.flatMap(({ head, data }) => [head, data])]);
  const framed = Buffer.concat([
    info,
    Buffer.from([columns.length, 2]),
    ...names.flatMap(({ head, data }) => [head, Buffer.from([0]), data]),
  ]);
  assert.deepEqual(withRevision(Buffer.concat([block, block]), 54_460), Buffer.concat([framed, framed]));
  assert.deepEqual(withRevision(block, 0), block);
  assert.deepEqual(withRevision(block, 54_000), Buffer.concat([info, block]));
});

test('withRevision() takes a block without rows, refuses types it does not know, and broken blocks', () => {
  const head = Buffer.concat([Buffer.from([1, 0]), text('c'), text('Variant(String, UInt8)')]);
  assert.equal(withRevision(head, 54_460).length, head.length + 9);
  assert.throws(() => withRevision(Buffer.concat([Buffer.from([1, 1]), text('c'), text('Dynamic'), u64(1)]), 54_460), FaceError);
  assert.throws(() => withRevision(Buffer.concat([Buffer.from([1, 9]), text('c'), text('UInt64'), u64(1)]), 54_460), RangeError);
});
