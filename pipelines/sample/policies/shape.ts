import { STATUS_ERROR, STATUS_OK, STATUS_UNSET, type SpanView } from '../../otlp/span.ts';
import type { StatusName } from '../settings.ts';
import type { TraceTable } from '../trace-table.ts';
import type { Layout, Policy } from './policy.ts';

const NS_IN_MS = 1e6;

/** Keeps every trace. */
export class AlwaysSample implements Policy {
  readonly folds = false;
  resource(): void {}
  fold(): void {}
  verdict(): number {
    return 1;
  }
}

/**
 * Latest end − earliest start in whole milliseconds: ≥ threshold; with an upper threshold, above threshold and ≤ upper, as the
 * Collector has it (sampling/latency.go). The Collector asks after each span and keeps the trace when any prefix of its spans
 * fits; here the whole trace is asked, so the order of spans does not matter.
 */
export class Latency implements Policy {
  readonly folds = false;
  private readonly threshold_ms: number;
  private readonly upper_ms: number;
  constructor(threshold_ms: number, upper_ms: number) {
    this.threshold_ms = threshold_ms;
    this.upper_ms = upper_ms;
  }
  resource(): void {}
  fold(): void {}
  verdict(table: TraceTable, slot: number): number {
    const duration_ms = Math.floor(table.duration_ns(slot) / NS_IN_MS);
    if (this.upper_ms === 0) return duration_ms >= this.threshold_ms ? 1 : 0;
    return duration_ms > this.threshold_ms && duration_ms <= this.upper_ms ? 1 : 0;
  }
}

/** Number of spans from `min` to `max`; max 0 is no upper bound (sampling/span_count_sampler.go). */
export class SpanCount implements Policy {
  readonly folds = false;
  private readonly min: number;
  private readonly max: number;
  constructor(min: number, max: number) {
    this.min = min;
    this.max = max;
  }
  resource(): void {}
  fold(): void {}
  verdict(table: TraceTable, slot: number): number {
    const spans = table.spans[slot]!;
    return spans >= this.min && (this.max === 0 || spans <= this.max) ? 1 : 0;
  }
}

const codes = { UNSET: STATUS_UNSET, OK: STATUS_OK, ERROR: STATUS_ERROR } as const;

/** Any span has one of the status codes (sampling/status_code.go). A code that OTLP does not know matches none. */
export class StatusCode implements Policy {
  readonly folds = true;
  private readonly word: number;
  private readonly mask: number;
  private wanted = 0;
  constructor(statusCodes: readonly StatusName[], layout: Layout) {
    for (const name of statusCodes) this.wanted |= 1 << codes[name];
    ({ word: this.word, mask: this.mask } = layout.bit());
  }
  resource(): void {}
  fold(words: Uint32Array, at: number, span: SpanView): void {
    const code = span.statusCode;
    if (code <= STATUS_ERROR && (this.wanted & (1 << code)) !== 0) words[at + this.word]! |= this.mask;
  }
  verdict(table: TraceTable, slot: number): number {
    return (table.words[slot * table.stride + this.word]! & this.mask) !== 0 ? 1 : 0;
  }
}
