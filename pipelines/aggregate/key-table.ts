import { hashBytes } from '../base/hash.ts';
import { sameBytes } from '../otlp/attributes.ts';
import { Writer } from '../wire/writer.ts';

const SLOTS_MIN = 64;

/**
 * Byte strings → the numbers 0, 1, 2 … in the order of their first appearance. Open addressing with linear probing over
 * typed arrays, the strings in one growing arena: no object a key. Emptied as a whole, memory kept.
 * Slots are at most half full. Holds `limit` keys, and those that are let in beyond it.
 */
export class KeyTable {
  count = 0;
  readonly limit: number;
  private readonly arena = new Writer(1024);
  /** Key number + 1; 0 is a free slot. */
  private slots = new Int32Array(SLOTS_MIN);
  private hashes = new Uint32Array(SLOTS_MIN / 2);
  /** Key n is arena[ends[n − 1], ends[n]), and the first one begins at 0. */
  private ends = new Int32Array(SLOTS_MIN / 2);

  constructor(limit: number) {
    this.limit = limit;
  }

  /** The number of key[start, stop), new when it was never seen. −1 when it is new and the table holds `limit` keys, unless `beyondLimit`. */
  lookup(key: Buffer, start: number, stop: number, beyondLimit = false): number {
    const hash = hashBytes(key, start, stop);
    const mask = this.slots.length - 1;
    let slot = hash & mask;
    for (;;) {
      const number = this.slots[slot]! - 1;
      if (number < 0) break;
      if (this.hashes[number] === hash && this.matches(number, key, start, stop)) return number;
      slot = (slot + 1) & mask;
    }
    if (this.count >= this.limit && !beyondLimit) return -1;
    return this.insert(slot, hash, key, start, stop);
  }

  /** Where the bytes of all keys are. Borrowed until the next lookup. */
  get bytes(): Buffer {
    return this.arena.bytes;
  }
  keyStart(number: number): number {
    return number === 0 ? 0 : this.ends[number - 1]!;
  }
  keyStop(number: number): number {
    return this.ends[number]!;
  }

  clear(): void {
    this.slots.fill(0);
    this.arena.reset();
    this.count = 0;
  }

  private matches(number: number, key: Buffer, start: number, stop: number): boolean {
    const from = this.keyStart(number);
    return this.ends[number]! - from === stop - start && sameBytes(this.arena.bytes, from, key, start, stop - start);
  }

  private insert(slot: number, hash: number, key: Buffer, start: number, stop: number): number {
    const number = this.count++;
    this.arena.raw(key, start, stop);
    if (number === this.hashes.length) {
      const hashes = new Uint32Array(number * 2);
      hashes.set(this.hashes);
      this.hashes = hashes;
      const ends = new Int32Array(number * 2);
      ends.set(this.ends);
      this.ends = ends;
    }
    this.hashes[number] = hash;
    this.ends[number] = this.arena.length;
    this.slots[slot] = number + 1;
    if (this.count * 2 > this.slots.length) this.rehash();
    return number;
  }

  private rehash(): void {
    const slots = new Int32Array(this.slots.length * 2);
    const mask = slots.length - 1;
    for (let number = 0; number < this.count; number++) {
      let slot = this.hashes[number]! & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = number + 1;
    }
    this.slots = slots;
  }
}
