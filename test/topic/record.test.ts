import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { Reject } from '../../pipelines/base/errors.ts';
import { compress, decompress, RAW_BYTES_MAX } from '../../pipelines/topic/record.ts';
import type { Codec } from '../../pipelines/topic/topic.ts';

const recordOf = (value: Buffer, codec: Codec, raw_bytes: number) => ({
  value,
  headers: { format: 1, codec, items: 1, raw_bytes } as const,
});
const isReject = (error: unknown): boolean => error instanceof Reject && error.reason === 'record';

test('decompress() gives back what compress() took, of any size and at any level', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<Codec>('none', 'zstd'),
      fc.integer({ min: 0, max: 300_000 }),
      fc.nat(255),
      fc.constantFrom(-5, 1, 3),
      (codec, size, byte, level) => {
        const bytes = Buffer.alloc(size, byte);
        for (let at = 0; at < size; at += 7) bytes[at] = at;
        const value = compress(bytes, codec, level);
        assert.ok(decompress(recordOf(value, codec, size)).equals(bytes));
      },
    ),
    { numRuns: 60 },
  );
});

test('codec none copies nothing', () => {
  const bytes = Buffer.from('bytes');
  assert.equal(compress(bytes, 'none'), bytes);
  assert.equal(decompress(recordOf(bytes, 'none', 5)), bytes);
});

test('a value that is larger or smaller than its header says is refused, before it is unpacked further', () => {
  const bomb = zstdCompressSync(Buffer.alloc(50 << 20));
  assert.throws(() => decompress(recordOf(bomb, 'zstd', 1000)), isReject);
  assert.throws(() => decompress(recordOf(compress(Buffer.alloc(1000), 'zstd'), 'zstd', 1001)), isReject);
  assert.throws(() => decompress(recordOf(Buffer.alloc(10), 'none', 11)), isReject);
  assert.throws(() => decompress(recordOf(bomb, 'zstd', RAW_BYTES_MAX + 1)), isReject);
  assert.throws(() => decompress(recordOf(bomb, 'zstd', 5000), 4999), isReject);
  for (const raw_bytes of [-1, 1.5, Number.NaN]) assert.throws(() => decompress(recordOf(bomb, 'zstd', raw_bytes)), isReject);
});

test('a frame truncated at any byte is refused', () => {
  const bytes = Buffer.from('a span '.repeat(500));
  const value = compress(bytes, 'zstd');
  for (let length = 0; length < value.length; length++)
    assert.throws(() => decompress(recordOf(value.subarray(0, length), 'zstd', bytes.length)), isReject, `at ${length}`);
});

test('a changed byte gives Reject or other bytes, never another error', () => {
  const bytes = Buffer.from('a span '.repeat(500));
  const value = compress(bytes, 'zstd');
  let refused = 0;
  for (let at = 0; at < value.length; at++) {
    const changed = Buffer.from(value);
    changed[at] = changed[at]! ^ 0x55;
    try {
      assert.equal(decompress(recordOf(changed, 'zstd', bytes.length)).length, bytes.length);
    } catch (error) {
      assert.ok(isReject(error), String(error));
      refused++;
    }
  }
  assert.ok(refused > 5, `${refused} refused`);
});
