import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashBytes, mix32, partitionOf } from '../../pipelines/base/hash.ts';

// The slow way, in whole numbers of any size: Fowler–Noll–Vo 1a and MurmurHash3's fmix32 as their authors give them.
function fmix32(value: bigint): bigint {
  const M = 0xffffffffn;
  let h = value & M;
  h = ((h ^ (h >> 16n)) * 0x85ebca6bn) & M;
  h = ((h ^ (h >> 13n)) * 0xc2b2ae35n) & M;
  return h ^ (h >> 16n);
}
function fnv1a(bytes: Uint8Array, seed: bigint): bigint {
  let h = 0x811c9dc5n ^ seed;
  for (const byte of bytes) h = ((h ^ BigInt(byte)) * 0x01000193n) & 0xffffffffn;
  return h;
}

test('hashes are what they always were: partitions and verdicts must come out alike in every version', () => {
  const id = Buffer.from('4bf92f3577b34da6a3ce929d0e0e4736', 'hex');
  assert.equal(fnv1a(Buffer.from('foobar'), 0n), 0xbf9cf968n, 'the published test vector');
  for (const seed of [0, 1, 0xdeadbeef]) {
    for (let start = 0; start < id.length; start++) {
      assert.equal(BigInt(hashBytes(id, start, id.length, seed)), fmix32(fnv1a(id.subarray(start), BigInt(seed))));
    }
  }
  for (const value of [0, 1, 0x7fffffff, 0x80000000, 0xffffffff]) assert.equal(BigInt(mix32(value)), fmix32(BigInt(value)));
});

test('trace ids that differ in one byte spread over the partitions', () => {
  const counts = [0, 0, 0, 0];
  const id = Buffer.alloc(16);
  for (let at = 0; at < 16; at++) {
    for (let byte = 0; byte < 256; byte++) {
      id.fill(0);
      id[at] = byte;
      counts[partitionOf(hashBytes(id, 0, 16), 4)]!++;
    }
  }
  for (const count of counts) assert.ok(count > 900 && count < 1150, String(counts));
});
