import { hashBytes } from '../base/hash.ts';
import { ThresholdView, adjustedCount, readThreshold } from '../otlp/trace-state.ts';
import type { SpanFields } from './span-fields.ts';

/** A span that claims to stand for more than this many is taken for this many: a sender's word must not spoil every sum beyond repair. */
export const WEIGHT_MAX = 0x1_0000_0000;

const threshold = new ThresholdView();

/**
 * How many spans this one stands for: the adjusted count 2^56 / (2^56 − T) of its trace state's `ot=th` (OpenTelemetry,
 * TraceState probability sampling), 1 without one; a whole number from 1 to WEIGHT_MAX.
 *
 * Counts are integers and adjusted counts are not (1.5 where two of three were kept). The Collector rounds at random
 * (adjusted_count.go), so that sums come out right in the mean. Behind the log nothing is random: here chance is a hash
 * of the span id, so the same span always counts the same, and the mean is right all the same. It must not be the trace
 * id's own randomness, which the sampler has looked at already: of spans that passed T it is no longer even.
 */
export function spanWeight(span: SpanFields): number {
  if (span.traceStateStart === span.traceStateStop) return 1;
  if (!readThreshold(span.bytes, span.traceStateStart, span.traceStateStop, threshold)) return 1;
  const exact = adjustedCount(threshold);
  if (exact >= WEIGHT_MAX) return WEIGHT_MAX;
  const whole = Math.floor(exact);
  const rest = exact - whole;
  if (rest === 0) return whole;
  const traceHash = hashBytes(span.bytes, span.traceIdStart, span.traceIdStop);
  const chance = hashBytes(span.bytes, span.spanIdStart, span.spanIdStop, traceHash) / 0x1_0000_0000;
  return chance < rest ? whole + 1 : whole;
}
