import { ThresholdView } from '../otlp/trace-state.ts';

/*
 * The Collector's hash_seed mode (probabilisticsamplerprocessor, sampler_mode.go): FNV-1a over the seed's four bytes, little endian,
 * and the key; the lower 14 bits decide. To say so in the terms of the specification the randomness is, from the top:
 *
 *   14 bits  2^14 − 1 − hash14        so that "hash14 < share" becomes "R >= T"
 *   28 bits  the other 18 bits of the hash, mixed
 *   14 bits  hash14
 */
const BUCKETS = 0x4000;

/** R of bytes[start, stop) in hash_seed mode. Bit by bit the Collector's, so that both can run side by side. */
export function fnv14Randomness(bytes: Buffer, start: number, stop: number, seed: number, into: ThresholdView): void {
  let h = 0x811c9dc5;
  for (let shift = 0; shift < 32; shift += 8) h = Math.imul(h ^ ((seed >>> shift) & 0xff), 0x01000193);
  for (let at = start; at < stop; at++) h = Math.imul(h ^ bytes[at]!, 0x01000193);
  h >>>= 0;
  const low = h & (BUCKETS - 1);
  const top = BUCKETS - 1 - low;
  const unused = h >>> 18;
  const mixed = (unused ^ (unused << 10)) & 0xfff_ffff;
  // 56 bits: top << 42 | mixed << 14 | low; the upper half holds bits 32 to 55.
  into.hi = (top << 10) | (mixed >>> 18);
  into.lo = (((mixed & 0x3_ffff) << 14) | low) >>> 0;
}

/** T of a percentage in hash_seed mode: a multiple of 2^-14. A share that rounds to nothing keeps nothing. */
export function fnv14Threshold(percentage: number, into = new ThresholdView()): ThresholdView {
  const share = Math.floor(Math.fround(percentage * Math.fround(BUCKETS / 100)));
  return into.set((BUCKETS - share) << 10, 0);
}
