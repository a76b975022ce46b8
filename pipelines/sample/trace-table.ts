import { u32 } from '../wire/cursor.ts';

export const NO_SLOT = -1;
export const UNDECIDED = 0;
export const DROPPED = 1;
export const KEPT = 2;
export const NO_POLICY = 0xffff;

const SLOTS_START = 1024;
const U32_MAX = 0xffff_ffff;

/**
 * The traces of one partition, a struct of arrays: a slot is stable from `begin` to `release`, so that a held record names its
 * spans' traces by number and needs no second lookup. An open-addressing index (linear probing, at most half full, deletion
 * by backward shift, so no tombstones) leads from the 16 id bytes to the newest slot of that id: an id can begin a new life while
 * an older life of it is still referred to. `first` and `last` are serials of records (record-window.ts), modulo 2^32.
 *
 * Bytes a slot: 16 id, 8 serials, 8 counts, 16 times, 11 decision, 4 list, 8–16 index, 4 for each policy word.
 */
export class TraceTable {
  /** Words of policy state a slot. */
  readonly stride: number;
  ids = new Uint32Array(SLOTS_START * 4);
  first = new Uint32Array(SLOTS_START);
  last = new Uint32Array(SLOTS_START);
  spans = new Uint32Array(SLOTS_START);
  /** OTLP bytes of the spans; stays at 2^32 − 1 beyond. */
  bytes = new Uint32Array(SLOTS_START);
  /** Earliest start and latest end in ns since 1970: start hi, start lo, end hi, end lo. No start yet = all ones. */
  times = new Uint32Array(SLOTS_START * 4);
  verdict = new Uint8Array(SLOTS_START);
  /** Index of the deciding policy, or NO_POLICY. */
  policy = new Uint16Array(SLOTS_START);
  /** Of a kept trace: the probability with which the policy kept it, above 0 to 1. */
  probability = new Float64Array(SLOTS_START);
  /** Free list, or the list of the record that the slot waits on. */
  next = new Int32Array(SLOTS_START);
  words: Uint32Array;
  /** Slots in use. */
  size = 0;

  private capacity = SLOTS_START;
  private used = 0;
  private free = NO_SLOT;
  // slot + 1, 0 = empty
  private index = new Int32Array(SLOTS_START * 2);
  private indexed = 0;
  private readonly seed: number;

  /** `seed` makes it hard to choose ids that collide; it has no influence on any result. */
  constructor(stride: number, seed = 0) {
    this.stride = stride;
    this.seed = seed >>> 0;
    this.words = new Uint32Array(SLOTS_START * stride);
  }

  slots(): number {
    return this.capacity;
  }

  /** The newest slot of the id at bytes[at, at + 16), or NO_SLOT. */
  find(bytes: Uint8Array, at: number): number {
    const a = u32(bytes, at);
    const b = u32(bytes, at + 4);
    const c = u32(bytes, at + 8);
    const d = u32(bytes, at + 12);
    const { index, ids } = this;
    const mask = index.length - 1;
    let bucket = this.hash(a, b, c, d) & mask;
    for (;;) {
      const slot = index[bucket]! - 1;
      if (slot < 0) return NO_SLOT;
      const id = slot * 4;
      if (ids[id] === a && ids[id + 1] === b && ids[id + 2] === c && ids[id + 3] === d) return slot;
      bucket = (bucket + 1) & mask;
    }
  }

  /** A fresh slot for the id at bytes[at, at + 16), first and last seen in record `serial`. The index leads to it from now on, also where there was an older slot of that id. */
  begin(bytes: Uint8Array, at: number, serial: number): number {
    const slot = this.take();
    const { ids } = this;
    const id = slot * 4;
    const a = (ids[id] = u32(bytes, at));
    const b = (ids[id + 1] = u32(bytes, at + 4));
    const c = (ids[id + 2] = u32(bytes, at + 8));
    const d = (ids[id + 3] = u32(bytes, at + 12));
    this.first[slot] = this.last[slot] = serial;
    this.spans[slot] = this.bytes[slot] = 0;
    this.times[id] = this.times[id + 1] = U32_MAX;
    this.times[id + 2] = this.times[id + 3] = 0;
    this.verdict[slot] = UNDECIDED;
    this.policy[slot] = NO_POLICY;
    this.probability[slot] = 0;
    this.words.fill(0, slot * this.stride, (slot + 1) * this.stride);
    const { index } = this;
    const mask = index.length - 1;
    let bucket = this.hash(a, b, c, d) & mask;
    for (;;) {
      const other = index[bucket]! - 1;
      if (other < 0) {
        this.indexed++;
        break;
      }
      const there = other * 4;
      if (ids[there] === a && ids[there + 1] === b && ids[there + 2] === c && ids[there + 3] === d) break;
      bucket = (bucket + 1) & mask;
    }
    index[bucket] = slot + 1;
    this.size++;
    return slot;
  }

  /** One more span in [start, end] nanoseconds, of `bytes` OTLP bytes. A start of 0 is no start, as in the Collector. */
  addSpan(slot: number, startHi: number, startLo: number, endHi: number, endLo: number, bytes: number): void {
    const { times } = this;
    const at = slot * 4;
    this.spans[slot]!++;
    this.bytes[slot] = Math.min(U32_MAX, this.bytes[slot]! + bytes);
    const minHi = times[at]!;
    if ((startHi < minHi || (startHi === minHi && startLo < times[at + 1]!)) && (startHi !== 0 || startLo !== 0)) {
      times[at] = startHi;
      times[at + 1] = startLo;
    }
    const maxHi = times[at + 2]!;
    if (endHi > maxHi || (endHi === maxHi && endLo > times[at + 3]!)) {
      times[at + 2] = endHi;
      times[at + 3] = endLo;
    }
  }

  /** Latest end − earliest start in ns; 0 where the end is before the start or no start is known. Exact up to 2^53. */
  duration_ns(slot: number): number {
    const { times } = this;
    const at = slot * 4;
    const ns = (times[at + 2]! - times[at]!) * 0x1_0000_0000 + (times[at + 3]! - times[at + 1]!);
    return ns > 0 ? ns : 0;
  }

  /** Gives the slot back. The index forgets the id unless a newer slot has taken its place. */
  release(slot: number): void {
    this.unindex(slot);
    this.next[slot] = this.free;
    this.free = slot;
    this.size--;
  }

  private hash(a: number, b: number, c: number, d: number): number {
    let h = Math.imul(a ^ this.seed, 0x85ebca6b) ^ b;
    h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35) ^ c;
    h = Math.imul(h ^ (h >>> 13), 0x27d4eb2f) ^ d;
    h = Math.imul(h ^ (h >>> 16), 0x165667b1);
    return (h ^ (h >>> 15)) >>> 0;
  }

  private home(slot: number): number {
    const { ids } = this;
    const id = slot * 4;
    return this.hash(ids[id]!, ids[id + 1]!, ids[id + 2]!, ids[id + 3]!) & (this.index.length - 1);
  }

  private unindex(slot: number): void {
    const { index } = this;
    const mask = index.length - 1;
    let hole = this.home(slot);
    while (index[hole] !== slot + 1) {
      // An empty bucket first: a newer life of the id stands in the index.
      if (index[hole] === 0) return;
      hole = (hole + 1) & mask;
    }
    // Backward shift: whoever comes behind and could stand in the hole moves into it.
    for (let bucket = (hole + 1) & mask; index[bucket] !== 0; bucket = (bucket + 1) & mask) {
      const home = this.home(index[bucket]! - 1);
      if (((bucket - home) & mask) >= ((bucket - hole) & mask)) {
        index[hole] = index[bucket]!;
        hole = bucket;
      }
    }
    index[hole] = 0;
    this.indexed--;
  }

  private take(): number {
    if (this.free !== NO_SLOT) {
      const slot = this.free;
      this.free = this.next[slot]!;
      return slot;
    }
    if (this.used === this.capacity) this.grow();
    return this.used++;
  }

  private grow(): void {
    this.capacity *= 2;
    this.ids = grown32(this.ids);
    this.first = grown32(this.first);
    this.last = grown32(this.last);
    this.spans = grown32(this.spans);
    this.bytes = grown32(this.bytes);
    this.times = grown32(this.times);
    this.words = grown32(this.words);
    const verdict = new Uint8Array(this.capacity);
    verdict.set(this.verdict);
    this.verdict = verdict;
    const policy = new Uint16Array(this.capacity);
    policy.set(this.policy);
    this.policy = policy;
    const probability = new Float64Array(this.capacity);
    probability.set(this.probability);
    this.probability = probability;
    const next = new Int32Array(this.capacity);
    next.set(this.next);
    this.next = next;
    const old = this.index;
    this.index = new Int32Array(this.capacity * 2);
    const mask = this.index.length - 1;
    for (const entry of old) {
      if (entry === 0) continue;
      let bucket = this.home(entry - 1);
      while (this.index[bucket] !== 0) bucket = (bucket + 1) & mask;
      this.index[bucket] = entry;
    }
  }
}

function grown32(from: Uint32Array): Uint32Array<ArrayBuffer> {
  const to = new Uint32Array(from.length * 2);
  to.set(from);
  return to;
}
