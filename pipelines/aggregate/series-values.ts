import { grownF64, grownI32 } from './grow.ts';

/** The end of a service's chain of series. */
export const NO_SERIES = -1;

/**
 * What every series keeps, by series number, and the chains that lead through the series of one service in the order of
 * their first appearance. Durations are summed in whole nanoseconds, exact up to 2^53 (104 days of span time a window), so the
 * sum does not depend on the order in which spans came.
 */
export class SeriesValues {
  calls = new Float64Array(16);
  sum_ns = new Float64Array(16);
  min_ns = new Float64Array(16);
  max_ns = new Float64Array(16);
  next = new Int32Array(16);
  firstOfService = new Int32Array(16);
  private lastOfService = new Int32Array(16);

  beginService(service: number): void {
    this.firstOfService = grownI32(this.firstOfService, service + 1);
    this.lastOfService = grownI32(this.lastOfService, service + 1);
    this.firstOfService[service] = this.lastOfService[service] = NO_SERIES;
  }

  /** Makes `series` empty and the last one of `service`. */
  begin(series: number, service: number): void {
    this.calls = grownF64(this.calls, series + 1);
    this.sum_ns = grownF64(this.sum_ns, series + 1);
    this.min_ns = grownF64(this.min_ns, series + 1);
    this.max_ns = grownF64(this.max_ns, series + 1);
    this.next = grownI32(this.next, series + 1);
    this.calls[series] = 0;
    this.sum_ns[series] = 0;
    this.min_ns[series] = Infinity;
    this.max_ns[series] = 0;
    this.next[series] = NO_SERIES;
    const last = this.lastOfService[service]!;
    if (last === NO_SERIES) this.firstOfService[service] = series;
    else this.next[last] = series;
    this.lastOfService[service] = series;
  }

  add(series: number, duration_ns: number, weight: number): void {
    this.calls[series] = this.calls[series]! + weight;
    this.sum_ns[series] = this.sum_ns[series]! + duration_ns * weight;
    if (duration_ns < this.min_ns[series]!) this.min_ns[series] = duration_ns;
    if (duration_ns > this.max_ns[series]!) this.max_ns[series] = duration_ns;
  }
}
