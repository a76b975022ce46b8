import type { LogRecord, PartitionView, Reader, ReaderOptions } from '../../pipelines/topic/topic.ts';
import type { FakeTopics } from './fake-topics.ts';

/** One partition of fake-topics.ts. `records[0]` has offset `first`; `time_ms` is the append time that later records cannot fall below. */
export interface FakePartition {
  readonly topic: string;
  readonly partition: number;
  first: number;
  readonly records: LogRecord[];
  time_ms: number;
  /** Settles when every append so far has. */
  tail: Promise<void>;
  /** Called at each append. */
  readonly wake: Set<() => void>;
}

interface Held {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** One member of a group: a loop for each partition it holds, so that calls for one partition never overlap and those of several do. */
export class FakeReader implements Reader {
  readonly failed: Promise<never>;
  readonly options: ReaderOptions;
  private readonly topics: FakeTopics;
  private readonly held = new Map<FakePartition, Held>();
  private fail: (error: unknown) => void = () => {};
  private gone = false;

  constructor(topics: FakeTopics, options: ReaderOptions) {
    this.topics = topics;
    this.options = options;
    this.failed = new Promise<never>((_resolve, reject) => (this.fail = reject));
  }

  async commit(topic: string, partition: number, offset: number, note: string): Promise<void> {
    const log = this.topics.log(topic, partition);
    if (this.gone || !this.held.has(log)) throw new Error(`commit for ${topic}/${partition}, which this reader does not hold`);
    if (!Number.isInteger(offset) || offset < 0 || offset > log.first + log.records.length)
      throw new Error(`commit of offset ${offset} beyond the log's end`);
    this.topics.storeCommit(this.options.group, topic, partition, offset, note);
  }

  async stop(): Promise<void> {
    if (!this.gone) await this.topics.leave(this);
    this.gone = true;
  }

  /** A crash: nothing more is delivered or committed. Calls under way run to their end unheard. */
  abandon(): void {
    this.gone = true;
    for (const held of this.held.values()) held.stop.abort();
    this.held.clear();
  }

  async revokeAllBut(keep: ReadonlySet<FakePartition>): Promise<void> {
    await Promise.all([...this.held].filter(([log]) => !keep.has(log)).map(([log, held]) => this.revoke(log, held)));
  }

  async assign(logs: ReadonlySet<FakePartition>): Promise<void> {
    await Promise.all([...logs].filter((log) => !this.held.has(log)).map((log) => this.take(log)));
  }

  private async revoke(log: FakePartition, held: Held): Promise<void> {
    held.stop.abort();
    await held.ended;
    // Still held, so that the consumer can commit; not after.
    try {
      await this.options.consumer.revoked(log.topic, log.partition);
    } finally {
      this.held.delete(log);
    }
  }

  private async take(log: FakePartition): Promise<void> {
    const { topic, partition } = log;
    const view: PartitionView = {
      end: async () => log.first + log.records.length,
      timeAt: async (offset) => log.records[Math.max(offset - log.first, 0)]?.time_ms,
    };
    const stop = new AbortController();
    // Held before `assigned` runs: a consumer may commit in it.
    let begin: (offset: number | undefined) => void = () => {};
    const started = new Promise<number | undefined>((resolve) => (begin = resolve));
    const ended = this.runFrom(started, log, stop.signal);
    this.held.set(log, { stop, ended });
    try {
      const at = await this.options.consumer.assigned(topic, partition, this.topics.committed(this.options.group, topic, partition), view);
      begin('offset' in at ? at.offset : offsetAtTime(log, at.time_ms));
    } catch (error) {
      begin(undefined);
      this.fail(error);
    }
  }

  private async runFrom(started: Promise<number | undefined>, log: FakePartition, stop: AbortSignal): Promise<void> {
    const offset = await started;
    if (offset === undefined) return;
    try {
      await this.run(log, offset, stop);
    } catch (error) {
      this.fail(error);
    }
  }

  private async run(log: FakePartition, from: number, stop: AbortSignal): Promise<void> {
    const { consumer } = this.options;
    let offset = from;
    while (!stop.aborted) {
      const at = Math.max(offset - log.first, 0);
      const batch = log.records.slice(at, at + this.topics.recordsPerCall);
      if (batch.length > 0) {
        await consumer.records(log.topic, log.partition, batch);
        offset = batch[batch.length - 1]!.offset + 1;
        continue;
      }
      // What `idle` says binds the log: later records are not older.
      log.time_ms = Math.max(log.time_ms, this.topics.clock.now_ms());
      await consumer.idle(log.topic, log.partition, log.time_ms);
      if (log.records.length === 0 || log.records[log.records.length - 1]!.offset < offset) await this.pause(log, stop);
    }
  }

  /** Until the next append, the next idle call, or the end. */
  private async pause(log: FakePartition, stop: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const wake = (): void => woken.abort();
    log.wake.add(wake);
    stop.addEventListener('abort', wake);
    if (stop.aborted) wake();
    await this.topics.clock.sleep(this.topics.idleEvery_ms, woken.signal);
    log.wake.delete(wake);
    stop.removeEventListener('abort', wake);
  }
}

function offsetAtTime(log: FakePartition, time_ms: number): number {
  return log.records.find((record) => record.time_ms >= time_ms)?.offset ?? log.first + log.records.length;
}
