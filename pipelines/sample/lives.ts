import { hashBytes } from '../base/hash.ts';
import { TRACE_ID_BYTES } from '../otlp/span.ts';
import type { NotedLife } from './note.ts';
import { distance, type RecordWindow } from './record-window.ts';

const LIVES_START = 64;
const SEED_A = 0x9e3779b9;
const SEED_B = 0x7f4a7c15;

/** Lives that began while an earlier life of the same trace was still remembered: what a replay could get wrong (sampler.ts). In the order in which they began. */
export class ChainedLives {
  private hashesA = new Uint32Array(LIVES_START);
  private hashesB = new Uint32Array(LIVES_START);
  private begins = new Uint32Array(LIVES_START);
  private lasts = new Uint32Array(LIVES_START);
  private head = 0;
  private count = 0;

  /** `last` is the record that held the last span of the life before. */
  add(hashA: number, hashB: number, begin: number, last: number): void {
    if (this.count === this.begins.length) this.grow();
    const at = (this.head + this.count++) & (this.begins.length - 1);
    this.hashesA[at] = hashA;
    this.hashesB[at] = hashB;
    this.begins[at] = begin;
    this.lasts[at] = last;
  }

  size(): number {
    return this.count;
  }

  /** Forgets lives that began before record `seek`: no replay begins before it any more. */
  trim(seek: number): void {
    while (this.count > 0 && distance(this.begins[this.head]!, seek) < 0) {
      this.head = (this.head + 1) & (this.begins.length - 1);
      this.count--;
    }
  }

  /** For a commit at record `committed` whose replay begins at `seek`: of each trace the last life that began before the commit, if a replay would see spans of the life before it. Newest first. */
  noted(window: RecordWindow, seek: number, committed: number): NotedLife[] {
    const lives: NotedLife[] = [];
    const seen = new Set<number>();
    for (let n = this.count - 1; n >= 0; n--) {
      const at = (this.head + n) & (this.begins.length - 1);
      const begin = this.begins[at]!;
      if (distance(begin, committed) >= 0) continue;
      // 53 bits of the two hashes tell lives of one trace from those of others.
      const key = this.hashesA[at]! * 0x20_0000 + (this.hashesB[at]! >>> 11);
      if (seen.has(key)) continue;
      seen.add(key);
      if (distance(this.lasts[at]!, seek) >= 0)
        lives.push({ hashA: this.hashesA[at]!, hashB: this.hashesB[at]!, offset: window.offsetOf(begin) });
    }
    return lives;
  }

  private grow(): void {
    const size = this.begins.length;
    const order = Uint32Array.from({ length: size }, (_, n) => (this.head + n) & (size - 1));
    const moved = (from: Uint32Array): Uint32Array<ArrayBuffer> => {
      const to = new Uint32Array(size * 2);
      for (let n = 0; n < size; n++) to[n] = from[order[n]!]!;
      return to;
    };
    this.hashesA = moved(this.hashesA);
    this.hashesB = moved(this.hashesB);
    this.begins = moved(this.begins);
    this.lasts = moved(this.lasts);
    this.head = 0;
  }
}

export function lifeHashA(bytes: Uint8Array, at: number): number {
  return hashBytes(bytes, at, at + TRACE_ID_BYTES, SEED_A);
}
export function lifeHashB(bytes: Uint8Array, at: number): number {
  return hashBytes(bytes, at, at + TRACE_ID_BYTES, SEED_B);
}

interface Expected {
  readonly life: NotedLife;
  /** The last record in which a span of it was passed over. */
  lastPassed: number;
}

/** During a replay: passes over spans of an earlier life of the noted traces. */
export class ReplayGuard {
  private readonly expected = new Map<number, Expected[]>();

  constructor(lives: readonly NotedLife[]) {
    for (const life of lives) {
      const list = this.expected.get(life.hashA) ?? [];
      list.push({ life, lastPassed: -1 });
      this.expected.set(life.hashA, list);
    }
  }

  /** The noted life of the id at bytes[at, at + 16), or undefined. */
  find(bytes: Uint8Array, at: number): Expected | undefined {
    const list = this.expected.get(lifeHashA(bytes, at));
    if (list === undefined) return undefined;
    const hashB = lifeHashB(bytes, at);
    return list.find((one) => one.life.hashB === hashB);
  }
}
