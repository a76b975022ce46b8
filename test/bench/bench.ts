/**
 * One piece of hot work over a fixed seeded input. `run` does the work, checks its own result (throws when it is wrong)
 * and says how many items it processed and a hash of what came out: a benchmark that computes something else than
 * yesterday shows at once (tigerbeetle's habit). The harness, run.ts, does the timing. A room's file
 * test/bench/<room>.bench.ts exports `benches: Bench[]`.
 */
export interface Bench {
  /** `room: what is done`, unique over all files. */
  readonly name: string;
  /** What an item is: span, request, row. */
  readonly unit: string;
  /** `smoke` takes well under a second and runs with the tests; `full` long enough to time (about a second). Input is built outside of the timing: lazily, once, see `prepare`. */
  run(scale: Scale): BenchResult;
  /** Builds the input before the clock starts, where building costs more than a tenth of the work. */
  prepare?(scale: Scale): void;
}

export type Scale = 'smoke' | 'full';

export interface BenchResult {
  readonly items: number;
  /** Hexadecimal; a pure function of the bench and the scale. */
  readonly hash: string;
}
