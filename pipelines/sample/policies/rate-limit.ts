import type { TraceTable } from '../trace-table.ts';
import type { DecisionMoment, Policy } from './policy.ts';

const WINDOW_MS = 1000;
/** What a partition lends and borrows changes only at the borders of blocks of log time this long. */
export const BLOCK_MS = 10_000;

/** Which partition a sampler judges, of how many. */
export interface Place {
  readonly partition: number;
  readonly partitions: number;
}

/** Spans a second that a partition has above its own share in a block, or, negative, that it has given away. */
export interface Lease {
  readonly block: number;
  readonly spans: number;
}

/** Where a window of a limiter closed: the decision that no longer fitted. */
export interface Closing {
  readonly window: number;
  readonly offset: number;
  readonly spanIndex: number;
}

/** What a restart needs to know: the window under way, where the windows of the replayed records closed, and what was leased for them. */
export interface LimitState {
  readonly window: number;
  readonly used: number;
  readonly closed: boolean;
  readonly closings: readonly Closing[];
  /** Rising; never 0 spans. */
  readonly leases: readonly Lease[];
}

/**
 * At most `spansPerSecond` spans in each second of log time, over all partitions. A trace belongs to the second in which its first record was
 * appended (its nominal decision time less the wait, so an early decision counts in the same second), which is a pure function
 * of the log and never goes back in the order of decisions.
 *
 * Shares. A partition's own share of second w is floor((k+1)L/P) − floor(kL/P), k = (w + partition) mod P: over the P partitions that is L exactly,
 * and so it is over P seconds of one partition, so none gets nothing for ever. What it has leased for the block comes on top.
 *
 * Within a second traces are taken in order while they fit. One that alone is above L is refused. One that alone is above the
 * share, but not above L, would never be kept: it may use all of L, but only in the one second of P that is its partition's turn, and what goes beyond
 * the share is a debt that the next seconds pay with their own shares. So over time the limit holds, at most one partition
 * is above its share for such a trace in one second, and that second has at most 2L (the Collector's burst). In other seconds it is refused
 * without closing the second; any other trace that does not fit closes it, so that one number (where it closed) tells all its decisions to a replay.
 *
 * The Collector has a token bucket with a burst of twice the rate (sampling/rate_limiting.go); its tokens hang on the wall
 * clock and cannot be replayed. As there, a trace that another policy keeps too is charged all the same. A kept
 * trace has weight 1: the rate gives no probability yet.
 */
export class RateLimit implements Policy {
  readonly folds = false;
  /** Of all partitions, in spans a second. */
  readonly limit: number;
  private readonly place: Place;
  private window = -1;
  private used = 0;
  private closed = false;
  /** Rising; one a second at most. */
  private closings: Closing[] = [];
  private readonly replayed = new Map<number, Closing>();
  private readonly leases = new Map<number, number>();
  private asked = 0;
  private askedWindow = -1;
  private askedMost = 0;

  constructor(spansPerSecond: number, place: Place) {
    this.limit = spansPerSecond;
    this.place = place;
  }
  resource(): void {}
  fold(): void {}

  verdict(table: TraceTable, slot: number, moment: DecisionMoment): number {
    const spans = table.spans[slot]!;
    if (spans > this.limit) return 0;
    const window = Math.floor(moment.time_ms / WINDOW_MS);
    if (!moment.replay) this.count(window, spans);
    const share = this.share(window);
    const large = spans > share;
    if (large && !this.hasTurn(window)) return 0;
    if (moment.replay) return this.wasOpen(window, moment) ? 1 : 0;
    if (window !== this.window) {
      this.used = this.debtAt(window);
      this.window = window;
      this.closed = false;
    }
    if (this.closed) return 0;
    if (this.used + spans > (large ? this.limit : share)) {
      this.closed = true;
      this.closings.push({ window, offset: moment.offset, spanIndex: moment.spanIndex });
      return 0;
    }
    this.used += spans;
    return 1;
  }

  /** Spans that this partition may keep in a second. */
  share(window: number): number {
    return Math.max(0, this.own(window, window + 1) + (this.leases.get(blockOf(window)) ?? 0));
  }

  /** Sets what is leased for a block, before any record of it is folded. It must be in a durable note by then. */
  lease(block: number, spans: number): void {
    if (spans !== 0) this.leases.set(block, spans);
  }

  leased(block: number): number {
    return this.leases.get(block) ?? 0;
  }

  /** The most spans that traces asked for in one second since the last call; traces above the limit ask for none. */
  takeDemand(): number {
    const most = Math.max(this.askedMost, this.asked);
    this.askedMost = this.asked = 0;
    return most;
  }

  private count(window: number, spans: number): void {
    if (window !== this.askedWindow) {
      if (this.asked > this.askedMost) this.askedMost = this.asked;
      this.asked = 0;
      this.askedWindow = window;
    }
    this.asked += spans;
  }

  /** Own shares of the seconds [from, to). */
  private own(from: number, to: number): number {
    return this.ownUntil(to) - this.ownUntil(from);
  }

  private ownUntil(window: number): number {
    const { limit, place } = this;
    const { partitions } = place;
    const at = window + place.partition;
    const turns = Math.floor(at / partitions);
    return turns * limit + Math.floor(((at - turns * partitions) * limit) / partitions);
  }

  private hasTurn(window: number): boolean {
    return (window + this.place.partition) % this.place.partitions === 0;
  }

  /** What the last window leaves to pay at `window`. Counts with that window's lease alone: others may be forgotten by now. */
  private debtAt(window: number): number {
    if (this.window < 0 || this.used === 0) return 0;
    const paid = this.own(this.window, window) + this.leased(blockOf(this.window)) * (window - this.window);
    return Math.max(0, this.used - Math.max(0, paid));
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
    const firstBlock = blockOf(this.window < 0 ? first : Math.min(first, this.window));
    const leases: Lease[] = [];
    for (const [block, spans] of this.leases) {
      if (block < firstBlock) this.leases.delete(block);
      else leases.push({ block, spans });
    }
    leases.sort((a, b) => a.block - b.block);
    return { window: this.window, used: this.used, closed: this.closed, closings: this.closings, leases };
  }

  restore(state: LimitState): void {
    this.window = state.window;
    this.used = state.used;
    this.closed = state.closed;
    this.closings = [...state.closings];
    for (const closing of state.closings) this.replayed.set(closing.window, closing);
    for (const { block, spans } of state.leases) this.leases.set(block, spans);
  }
}

function blockOf(window: number): number {
  return Math.floor((window * WINDOW_MS) / BLOCK_MS);
}
