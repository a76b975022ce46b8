import type { AttributeList } from '../../otlp/attributes.ts';
import type { SpanView } from '../../otlp/span.ts';
import type { TraceTable } from '../trace-table.ts';

/**
 * A policy is a fold and a verdict. The fold looks at one span and may change the words that the policy has in the trace's slot;
 * it must not depend on the order of spans (set bits, take minima, add). The verdict looks at the folded slot.
 */
export interface Policy {
  /** True where `resource` and `fold` have something to do. */
  readonly folds: boolean;
  /** The spans that follow stand under this resource. Called only where Layout.needsResource was set. */
  resource(bytes: Buffer, attributes: AttributeList): void;
  /** words[at …] is the trace's slot. */
  fold(words: Uint32Array, at: number, span: SpanView): void;
  /** The probability with which the policy keeps this trace, above 0 to 1, or 0 where it does not keep it. */
  verdict(table: TraceTable, slot: number, moment: DecisionMoment): number;
}

/** When a decision is made, in terms of the log alone. */
export interface DecisionMoment {
  /** The trace's first record, and its span in it that was looked at first. Decisions are made in this order. */
  offset: number;
  spanIndex: number;
  /** Append time of that record. */
  time_ms: number;
  /** A decision from before the commit is made again: it charges nothing. */
  replay: boolean;
}

/** Hands out the words and bits of a slot while policies are compiled. */
export class Layout {
  words = 0;
  needsResource = false;
  private bitWord = 0;
  private bits = 32;

  take(words: number): number {
    const at = this.words;
    this.words += words;
    return at;
  }

  /** One bit: `word` offset, `mask`. */
  bit(): { readonly word: number; readonly mask: number } {
    if (this.bits === 32) {
      this.bitWord = this.take(1);
      this.bits = 0;
    }
    return { word: this.bitWord, mask: (1 << this.bits++) >>> 0 };
  }
}
