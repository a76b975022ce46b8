import { ThresholdView, atLeast, keepsNothing, readRandomness, thresholdFromProbability } from '../../otlp/trace-state.ts';
import type { SpanView } from '../../otlp/span.ts';
import type { TraceTable } from '../trace-table.ts';
import type { Layout, Policy } from './policy.ts';

const RV_SEEN = 0x8000_0000;

/**
 * Keeps a trace when its 56-bit randomness R ≥ the threshold T of the percentage (OpenTelemetry, TraceState probability
 * sampling), so that every sampler that goes by it keeps the same traces. R is `ot=rv` of its spans, or the last 7 bytes of
 * the trace id. Spans of one trace should agree on rv; where they do not, the smallest counts, whatever the order.
 */
export class ConsistentProbability implements Policy {
  readonly folds = true;
  private readonly probability: number;
  private readonly threshold: ThresholdView;
  private readonly randomness = new ThresholdView();
  private readonly word: number;

  /** `probability` 0 to 1. */
  constructor(probability: number, layout: Layout) {
    this.probability = probability;
    this.threshold = thresholdFromProbability(probability);
    this.word = layout.take(2);
  }
  resource(): void {}

  fold(words: Uint32Array, at: number, span: SpanView): void {
    if (span.traceStateStop === span.traceStateStart) return;
    const { randomness } = this;
    if (!readRandomness(span.bytes, span.traceStateStart, span.traceStateStop, randomness)) return;
    const word = at + this.word;
    const hi = words[word]!;
    const seen = (hi & RV_SEEN) !== 0;
    const seenHi = hi & ~RV_SEEN;
    if (seen && (seenHi < randomness.hi || (seenHi === randomness.hi && words[word + 1]! <= randomness.lo))) return;
    words[word] = randomness.hi | RV_SEEN;
    words[word + 1] = randomness.lo;
  }

  verdict(table: TraceTable, slot: number): number {
    if (keepsNothing(this.threshold)) return 0;
    const word = slot * table.stride + this.word;
    const hi = table.words[word]!;
    const { randomness } = this;
    if ((hi & RV_SEEN) !== 0) randomness.set(hi & ~RV_SEEN, table.words[word + 1]!);
    else {
      // Ids stand in the table as little-endian words; bytes 9 to 15 are R, big-endian.
      const c = table.ids[slot * 4 + 2]!;
      randomness.set(swapped(c) & 0xff_ffff, swapped(table.ids[slot * 4 + 3]!));
    }
    return atLeast(randomness, this.threshold) ? this.probability : 0;
  }
}

function swapped(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}

/**
 * Keeps a trace when FNV-1a 64 of salt and trace id ≤ percentage of 2^64: the Collector's own draw (sampling/probabilistic.go), so the
 * same salt keeps the same traces there and here. It is independent of R; the threshold written to kept spans states the
 * probability, not the draw.
 */
export class SaltedProbability implements Policy {
  readonly folds = false;
  private readonly probability: number;
  private readonly limit: number;
  private readonly salt: Buffer;
  private hi = 0;
  private lo = 0;

  constructor(probability: number, salt: string) {
    this.probability = probability;
    // Compared by the upper 53 bits, which is as exact as a percentage can be.
    this.limit = probability * 2 ** 53;
    this.salt = Buffer.from(salt);
  }
  resource(): void {}
  fold(): void {}

  verdict(table: TraceTable, slot: number): number {
    if (this.probability <= 0) return 0;
    this.hi = 0xcbf29ce4;
    this.lo = 0x84222325;
    for (const byte of this.salt) this.mix(byte);
    for (let word = 0; word < 4; word++) {
      const value = table.ids[slot * 4 + word]!;
      for (let shift = 0; shift < 32; shift += 8) this.mix((value >>> shift) & 0xff);
    }
    return this.hi * 2 ** 21 + (this.lo >>> 11) <= this.limit ? this.probability : 0;
  }

  /** h = (h ^ byte) × (2^40 + 0x1b3) mod 2^64, in halves. */
  private mix(byte: number): void {
    const lo = (this.lo ^ byte) >>> 0;
    const low = lo * 0x1b3;
    const carry = Math.floor(low / 0x1_0000_0000);
    this.hi = (Math.imul(this.hi, 0x1b3) + (lo << 8) + carry) >>> 0;
    this.lo = low >>> 0;
  }
}
