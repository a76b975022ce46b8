import type { Clock } from '../pipelines/base/clock.ts';
import { Busy, Reject } from '../pipelines/base/errors.ts';
import type { EncodedBlock } from '../pipelines/encode/block.ts';
import type { Store } from '../pipelines/store/client.ts';
import { insertBlock } from '../pipelines/store/insert.ts';
import type { Outage } from './write-outage.ts';

/** `undefined`: stored. A Reject: ClickHouse will never take it. */
export type Inserted = undefined | Reject | 'given up';

export interface InsertParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly outage: Outage;
  /** Aborted: the wait is given up. */
  readonly stop: AbortSignal;
  /** Between tries: doubles from the first to the second. */
  readonly retryDelay_ms: readonly [first: number, longest: number];
}

/** Tries, with the same token, until the block is stored or refused. */
export async function insertUntil(parts: InsertParts, block: EncodedBlock, token: string): Promise<Inserted> {
  const { store, clock, outage, stop } = parts;
  let [delay_ms, longest_ms] = parts.retryDelay_ms;
  for (;;) {
    try {
      await insertBlock(store, block, token, stop);
      outage.ended();
      return undefined;
    } catch (error) {
      if (error instanceof Reject) return error;
      if (!(error instanceof Busy)) throw error;
      if (stop.aborted) return 'given up';
      outage.began(error.reason, error.message);
    }
    await clock.sleep(delay_ms, stop);
    if (stop.aborted) return 'given up';
    delay_ms = Math.min(delay_ms * 2, longest_ms);
  }
}
