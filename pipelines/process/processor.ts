import type { StageCounters } from '../base/counters.ts';

/**
 * A stateless stage of ingest. `process` takes a Data message of its signal (grammar in otlp/walk.ts) and returns one:
 *
 *  - the very same buffer when nothing changed (compare with ===, nothing was copied);
 *  - an empty Buffer when no item is left;
 *  - otherwise bytes of the processor's own, borrowed until its next call.
 *
 * Items are counted in `counters` (spans, log records, metrics); nothing is held, so in = out + dropped after every call.
 */
export interface Processor {
  readonly name: string;
  readonly counters: StageCounters;
  /** @throws Malformed when the bytes do not follow the wire format; nothing of them is counted then. */
  process(bytes: Buffer): Buffer;
}
