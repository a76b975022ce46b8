import type { LogRecord } from './topic.ts';

// Fetched and not yet taken by the consumer, by partition: beyond it the partition is paused, below half of it resumed.
const QUEUE_BYTES_MAX = 8 * 2 ** 20;

/** A partition that this member holds: its place, its queue, and its calls, which never overlap. */
export class HeldPartition {
  /** With the prefix. */
  readonly full: string;
  readonly topic: string;
  readonly partition: number;
  /** The next offset to be delivered. */
  next = 0;
  /** Its start is known. */
  ready = false;
  /** Another member's by now: what it still does has no effect on the group. */
  lost = false;
  /** The call under way, and those behind it. */
  tail: Promise<void> = Promise.resolve();
  private calls = 0;
  private queued_bytes = 0;
  private paused = false;
  private over = false;
  private floor_ms = 0;

  constructor(full: string, topic: string, partition: number) {
    this.full = full;
    this.topic = topic;
    this.partition = partition;
  }

  /** Calls `work` when everything before it is done; after a failure nothing more is called. */
  run(work: () => Promise<void>): void {
    this.calls++;
    this.tail = this.tail
      .then(() => (this.over ? undefined : work()))
      .finally(() => {
        this.calls--;
      });
  }

  /** What waits is not called any more; what runs ends. */
  enough(): void {
    this.over = true;
  }

  /** `last` is called behind what runs, whatever came of that. */
  end(last: () => Promise<void>): Promise<void> {
    return this.tail.catch(() => undefined).then(last);
  }

  isQuiet(): boolean {
    return this.ready && !this.lost && this.calls === 0;
  }

  /** The time of a record or a promise, never behind one that was given before. */
  raise(time_ms: number): number {
    this.floor_ms = Math.max(this.floor_ms, time_ms);
    return this.floor_ms;
  }

  /** True when the partition is to be paused now. */
  add(records: readonly LogRecord[]): boolean {
    for (const record of records) this.queued_bytes += record.value.length;
    if (this.paused || this.queued_bytes <= QUEUE_BYTES_MAX) return false;
    this.paused = true;
    return true;
  }

  /** True when it is to be resumed now. */
  remove(records: readonly LogRecord[]): boolean {
    for (const record of records) this.queued_bytes -= record.value.length;
    if (!this.paused || this.queued_bytes > QUEUE_BYTES_MAX / 2) return false;
    this.paused = false;
    return true;
  }
}
