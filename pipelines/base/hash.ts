/**
 * Hashes over bytes, in 32-bit arithmetic. Their values are part of the format: the partition of a trace and the
 * verdict of a probabilistic policy must come out alike on every replica and in every version. Never change one.
 */

/** MurmurHash3's 32-bit finaliser: every input bit reaches every output bit. Unsigned. */
export function mix32(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** FNV-1a over bytes[start, stop), finalised by mix32. Unsigned 32-bit. */
export function hashBytes(bytes: Uint8Array, start: number, stop: number, seed = 0): number {
  let h = (0x811c9dc5 ^ seed) >>> 0;
  for (let at = start; at < stop; at++) h = Math.imul(h ^ bytes[at]!, 0x01000193);
  return mix32(h);
}

/** The partition of a trace id, of a resource, of any key. */
export function partitionOf(hash: number, partitions: number): number {
  return hash % partitions;
}
