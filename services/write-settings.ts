import type { Signal } from '../pipelines/otlp/walk.ts';

export interface WriteSettings {
  readonly group: string;
  readonly topics: readonly { readonly topic: string; readonly signal: Signal }[];
  /** A batch is inserted when it holds this many rows … */
  readonly batch_rows_max: number;
  /** … or blocks of this many bytes, or records of this many … */
  readonly batch_bytes_max: number;
  /** … or when its first record was read this long ago. Fewer, larger parts: ClickHouse merges less. */
  readonly batchWait_ms: number;
  /** Between tries while ClickHouse takes nothing: doubles from the first to the second. */
  readonly retryDelay_ms: readonly [first: number, longest: number];
  /**
   * How many inserts ClickHouse may refuse while a refused block is halved to find the rows at fault; then what it still refuses goes to the
   * dead letters in larger groups. Where a whole table is wrong, nobody waits for 100,000 inserts.
   */
  readonly refusals_max: number;
  /** `drain` waits this long for ClickHouse; what is not stored then is read again at the next start. */
  readonly drainDeadline_ms: number;
}

/** What nobody has to set. */
export const writeDefaults = {
  group: 'write',
  batch_rows_max: 100_000,
  batch_bytes_max: 33_554_432,
  batchWait_ms: 1_000,
  retryDelay_ms: [200, 15_000],
  refusals_max: 1_000,
  drainDeadline_ms: 20_000,
} as const;
