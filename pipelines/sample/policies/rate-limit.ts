import type { TraceTable } from '../trace-table.ts';
import type { DecisionMoment, Policy } from './policy.ts';

const WINDOW_MS = 1000;

/** Where a window of a limiter closed: the decision that no longer fitted. */
export interface Closing {
  readonly window: number;
  readonly offset: number;
  readonly spanIndex: number;
}

/** What a restart needs to know: the window under way, and where the windows of the replayed records closed. */
export interface LimitState {
  readonly window: number;
  readonly used: number;
  readonly closed: boolean;
  readonly closings: readonly Closing[];
}

/**
 * At most `spansPerSecond` spans in each second of log time. A trace belongs to the second in which its first record was
 * appended (its nominal decision time less the wait, so an early decision counts in the same second), which is a pure function
 * of the log and never goes back in the order of decisions. Within a second traces are taken in that order while they fit. One that alone is
 * above the limit is refused; the first other one that does not fit closes the second, so that one number (where it closed)
 * tells all its decisions to a replay.
 *
 * The Collector has a token bucket with a burst of twice the rate (sampling/rate_limiting.go); its tokens hang on the wall
 * clock and cannot be replayed. As there, a trace that another policy keeps too is charged all the same. A kept
 * trace has weight 1: the rate gives no probability yet.
 */
export class RateLimit implements Policy {
  readonly folds = false;
  private readonly limit: number;
  private window = -1;
  private used = 0;
  private closed = false;
  /** Rising; one a second at most. */
  private closings: Closing[] = [];
  private readonly replayed = new Map<number, Closing>();

  constructor(spansPerSecond: number) {
    this.limit = spansPerSecond;
  }
  resource(): void {}
  fold(): void {}

  verdict(table: TraceTable, slot: number, moment: DecisionMoment): number {
    const spans = table.spans[slot]!;
    if (spans > this.limit) return 0;
    const window = Math.floor(moment.time_ms / WINDOW_MS);
    if (moment.replay) return this.wasOpen(window, moment) ? 1 : 0;
    if (window !== this.window) {
      this.window = window;
      this.used = 0;
      this.closed = false;
    }
    if (this.closed) return 0;
    if (this.used + spans > this.limit) {
      this.closed = true;
      this.closings.push({ window, offset: moment.offset, spanIndex: moment.spanIndex });
      return 0;
    }
    this.used += spans;
    return 1;
  }

  private wasOpen(window: number, moment: DecisionMoment): boolean {
    const closing = this.replayed.get(window);
    if (closing === undefined) return true;
    return moment.offset < closing.offset || (moment.offset === closing.offset && moment.spanIndex < closing.spanIndex);
  }

  /** For the commit note. Forgets the windows that ended before `from_ms`. */
  state(from_ms: number): LimitState {
    const first = Math.floor(from_ms / WINDOW_MS);
    this.closings = this.closings.filter((closing) => closing.window >= first);
    return { window: this.window, used: this.used, closed: this.closed, closings: this.closings };
  }

  restore(state: LimitState): void {
    this.window = state.window;
    this.used = state.used;
    this.closed = state.closed;
    this.closings = [...state.closings];
    for (const closing of state.closings) this.replayed.set(closing.window, closing);
  }
}
