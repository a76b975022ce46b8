import { Busy } from '../pipelines/base/errors.ts';
import { DEAD_PARTITION, DEAD_TOPIC } from '../pipelines/topic/dead-letter.ts';
import type { Committed, Consumer, LogRecord, PartitionView, Reader, StartAt, Topics } from '../pipelines/topic/topic.ts';
import { DoneLetters } from './dead-done.ts';

/** Keeps the place of replays; retention waits for it. */
export const DEAD_GROUP = 'dead-replay';

export interface DeadScan {
  /** Some of the letters that there were at the start, in order; `save` commits `done`. */
  letters(records: readonly LogRecord[], done: DoneLetters, save: () => Promise<void>, end: number): Promise<void>;
}

const SAVE_BUSY_MS = 1_000;

/** Reads the letters there are now, from the oldest kept on, or from the first that is not done with; then lets go of the topic. @throws Busy where another process reads them */
export async function scanDeadLetters(topics: Topics, fromFirstOpen: boolean, scan: DeadScan, stop: AbortSignal): Promise<void> {
  const consumer = new ScanConsumer(fromFirstOpen, scan);
  const reader = await topics.read({ group: DEAD_GROUP, topics: [DEAD_TOPIC], keepBehind_ms: 0, consumer });
  consumer.reader.resolve(reader);
  const stopped = (): void => consumer.finished.reject(new Busy('stopping', 'this process stops or changes over', SAVE_BUSY_MS));
  stop.addEventListener('abort', stopped);
  if (stop.aborted) stopped();
  try {
    await Promise.race([consumer.finished.promise, reader.failed]);
  } finally {
    stop.removeEventListener('abort', stopped);
    consumer.over = true;
    await reader.stop();
  }
}

class ScanConsumer implements Consumer {
  readonly reader = Promise.withResolvers<Reader>();
  readonly finished = Promise.withResolvers<void>();
  over = false;
  private readonly fromFirstOpen: boolean;
  private readonly scan: DeadScan;
  private done = new DoneLetters(0, '');
  /** Letters from here on came after the start: a replay that is refused again would otherwise never end. */
  private end = 0;

  constructor(fromFirstOpen: boolean, scan: DeadScan) {
    this.fromFirstOpen = fromFirstOpen;
    this.scan = scan;
    // A failure that nobody waits for yet.
    this.finished.promise.catch(() => undefined);
  }

  async assigned(_topic: string, partition: number, committed: Committed | undefined, log: PartitionView): Promise<StartAt> {
    if (partition !== DEAD_PARTITION) return { offset: committed?.offset ?? 0 };
    this.done = new DoneLetters(committed?.offset ?? 0, committed?.note ?? '');
    this.end = await log.end();
    return { offset: this.fromFirstOpen ? this.done.offset : 0 };
  }

  async records(_topic: string, partition: number, records: readonly LogRecord[]): Promise<void> {
    if (partition !== DEAD_PARTITION || this.over) return;
    const own = records.filter(({ offset }) => offset < this.end);
    try {
      await this.scan.letters(own, this.done, () => this.save(), this.end);
    } catch (error) {
      // Whoever asked hears of it; the log is not at fault.
      this.over = true;
      this.finished.reject(error);
      return;
    }
    if (records.at(-1)!.offset >= this.end - 1) this.finished.resolve();
  }

  async idle(_topic: string, partition: number): Promise<void> {
    if (!this.over && partition === DEAD_PARTITION) this.finished.resolve();
  }

  async revoked(_topic: string, partition: number): Promise<void> {
    if (partition === DEAD_PARTITION) this.finished.reject(new Busy('dead_busy', 'another process reads the dead letters', SAVE_BUSY_MS));
  }

  private async save(): Promise<void> {
    const note = this.done.note();
    if (note === undefined)
      throw new Busy('dead_scattered', 'too many letters are done with behind ones that are not: replay or drop the oldest first', 0);
    await (await this.reader.promise).commit(DEAD_TOPIC, DEAD_PARTITION, this.done.offset, note);
  }
}
