import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { Busy, Reject } from '../../pipelines/base/errors.ts';
import { Admission } from '../../pipelines/receive/admission.ts';
import { contentEncoding, decompress } from '../../pipelines/receive/decompress.ts';

const MIB = 1024 * 1024;
const coders = { gzip: gzipSync, deflate: deflateSync, zstd: zstdCompressSync } as const;
const leaseOf = (bytes_max = 256 * MIB) => new Admission({ inFlight_bytes_max: bytes_max, retryAfter_ms: 1 }).begin();

/** Bytes that hardly shrink, the same each time. */
function noise(bytes: number): Buffer {
  const out = Buffer.alloc(bytes);
  let state = 1;
  for (let at = 0; at < bytes; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[at] = state >>> 24;
  }
  return out;
}

for (const [coding, compress] of Object.entries(coders)) {
  const encoding = coding as keyof typeof coders;

  test(`decompress() gives back ${coding} bodies, small, large and hard to compress, and charges them`, async () => {
    for (const body of [Buffer.from('x'), Buffer.alloc(3 * MIB, 'span'), noise(300_000), noise(2 * MIB)]) {
      const lease = leaseOf();
      assert.ok((await decompress(compress(body), encoding, 64 * MIB, lease)).equals(body));
      assert.equal(lease.bytes, body.length);
    }
  });

  test(`decompress() takes exactly bytes_max of ${coding} and not one byte more, at once and in pieces`, async () => {
    for (const size of [1_000, 5 * MIB]) {
      const body = compress(Buffer.alloc(size));
      assert.equal((await decompress(body, encoding, size, leaseOf())).length, size);
      await assert.rejects(
        decompress(body, encoding, size - 1, leaseOf()),
        (error) => error instanceof Reject && error.reason === 'too_large',
      );
    }
  });

  test(`decompress() rejects ${coding} that is garbage or cut short at any byte`, async () => {
    const whole = compress(Buffer.from('a trace, a trace'));
    for (let length = 1; length < whole.length; length++)
      await assert.rejects(
        decompress(whole.subarray(0, length), encoding, MIB, leaseOf()),
        (error) => error instanceof Reject && error.reason === 'compression',
      );
    await assert.rejects(decompress(Buffer.from('not compressed at all'), encoding, MIB, leaseOf()), Reject);
    const large = compress(noise(200_000));
    await assert.rejects(decompress(large.subarray(0, large.length - 1), encoding, MIB, leaseOf()), Reject);
  });

  test(`a ${coding} bomb stops at the budget, long before bytes_max`, async () => {
    const admission = new Admission({ inFlight_bytes_max: 16 * MIB, retryAfter_ms: 1 });
    admission.begin().take(8 * MIB);
    const lease = admission.begin();
    await assert.rejects(decompress(compress(Buffer.alloc(24 * MIB)), encoding, 64 * MIB, lease), Busy);
    assert.ok(lease.bytes <= 8 * MIB);
  });
}

test('contentEncoding() knows what we decompress, in any case, and nothing else', () => {
  assert.equal(contentEncoding(undefined), 'identity');
  assert.equal(contentEncoding('GZIP'), 'gzip');
  assert.equal(contentEncoding('zstd'), 'zstd');
  assert.equal(contentEncoding('br'), undefined);
  assert.equal(contentEncoding('gzip, zstd'), undefined);
});
