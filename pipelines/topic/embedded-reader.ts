import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import type { RecordReads } from './embedded-read.ts';
import type { Committed, Consumer, PartitionView, Reader, ReaderOptions } from './topic.ts';

/** One partition as the process knows it: everything below `end` is durable. */
export interface Partition {
  readonly topic: string;
  readonly partition: number;
  readonly id: number;
  first: number;
  end: number;
  /** Called once, at the next change of `end`. */
  readonly wake: Set<() => void>;
}

/** What a reader needs of the log that it reads. */
export interface ReaderHost {
  readonly clock: Clock;
  readonly reads: RecordReads;
  readonly readBytes_max: number;
  readonly idle_ms: number;
  committed(group: string, partition: Partition): Committed | undefined;
  commit(group: string, partition: Partition, offset: number, note: string, keepBehind_ms: number): Promise<void>;
  /** A time that no later record of the log will fall below: durable, and raised to the clock where nothing is being written. */
  promiseFloor(): Promise<number>;
  ended(reader: EmbeddedReader): void;
}

const NOTE_CHARACTERS_MAX = 4000;

/** One group's reader: a loop for each partition, so that calls for one partition never overlap and those of several do. */
export class EmbeddedReader implements Reader {
  readonly failed: Promise<never>;
  readonly options: ReaderOptions;
  readonly partitions: readonly Partition[];
  private readonly host: ReaderHost;
  private readonly fail: (error: unknown) => void;
  private readonly stopping = new AbortController();
  private readonly assigned = new Set<Partition>();
  private loops: Promise<PromiseSettledResult<void>[]> = Promise.resolve([]);
  private broken = false;
  private stopped: Promise<void> | undefined;

  constructor(host: ReaderHost, options: ReaderOptions, partitions: readonly Partition[]) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    this.fail = reject;
    this.host = host;
    this.options = options;
    this.partitions = partitions;
  }

  /** Takes the partitions; resolves when the consumer has said for each where to begin. Records come when the caller has had its turn. Called once. */
  async start(): Promise<void> {
    const starts = this.partitions.map((partition) => this.assign(partition));
    const joined = Promise.allSettled(starts);
    const begin = this.nextTurn(joined);
    this.loops = Promise.allSettled(this.partitions.map((partition, index) => this.run(partition, starts[index]!, begin)));
    await joined;
  }

  async commit(topic: string, partition: number, offset: number, note: string): Promise<void> {
    const at = this.partitions.find((candidate) => candidate.topic === topic && candidate.partition === partition);
    if (at === undefined || !this.assigned.has(at)) throw new Error(`commit for ${topic}/${partition}, which this reader does not hold`);
    if (!Number.isInteger(offset) || offset < 0 || offset > at.end)
      throw new Error(`commit of offset ${offset} beyond the end ${at.end} of ${topic}/${partition}`);
    if (note.length > NOTE_CHARACTERS_MAX) throw new Error(`note of ${note.length} characters for ${topic}/${partition}`);
    await this.host.commit(this.options.group, at, offset, note, this.options.keepBehind_ms);
  }

  stop(): Promise<void> {
    this.stopped ??= this.revokeAll();
    return this.stopped;
  }

  /** The log is broken, or a consumer threw: nothing more is delivered. */
  break(error: unknown): void {
    if (this.broken || this.stopped !== undefined) return;
    this.broken = true;
    this.stopping.abort();
    this.assigned.clear();
    this.host.ended(this);
    this.fail(error);
  }

  private async revokeAll(): Promise<void> {
    this.stopping.abort();
    const ends = await this.loops;
    if (this.broken) return;
    try {
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
      await Promise.all([...this.assigned].map(({ topic, partition }) => this.options.consumer.revoked(topic, partition)));
    } finally {
      this.assigned.clear();
      this.host.ended(this);
    }
  }

  private async nextTurn(joined: Promise<unknown>): Promise<void> {
    await joined;
    await turn();
  }

  private async run(partition: Partition, start: Promise<number>, begin: Promise<void>): Promise<void> {
    try {
      // First the turn of whoever called read(): a failure must find `failed` observed.
      await begin;
      const from = await start;
      await this.deliver(partition, from, this.options.consumer);
    } catch (error) {
      // While stopping, whoever stops hears of it.
      if (this.stopped !== undefined) throw error;
      this.break(error);
    }
  }

  private async assign(partition: Partition): Promise<number> {
    const { reads } = this.host;
    const view: PartitionView = {
      end: async () => partition.end,
      timeAt: async (offset) => reads.timeAt(partition.id, offset, partition.end),
    };
    // Held before `assigned` runs: a consumer may commit in it.
    this.assigned.add(partition);
    const { topic } = partition;
    const start = await this.options.consumer.assigned(
      topic,
      partition.partition,
      this.host.committed(this.options.group, partition),
      view,
    );
    if ('time_ms' in start) return reads.seek(partition.id, partition.first, partition.end, start.time_ms);
    if (!Number.isInteger(start.offset) || start.offset < 0 || start.offset > partition.end)
      throw new Error(`start at offset ${start.offset} beyond the end ${partition.end} of ${topic}/${partition.partition}`);
    return start.offset;
  }

  private async deliver(partition: Partition, from: number, consumer: Consumer): Promise<void> {
    const { host } = this;
    const { clock } = host;
    let next = from;
    let lastIdle_ms = Number.NEGATIVE_INFINITY;
    while (!this.stopping.signal.aborted) {
      if (next < partition.end) {
        const records = host.reads.records(partition.id, next, partition.end, host.readBytes_max);
        const last = records.at(-1);
        // Nothing where something should be: retention removed all that is left.
        next = last === undefined ? partition.end : last.offset + 1;
        if (records.length > 0) await consumer.records(partition.topic, partition.partition, records);
        // A consumer that never waits must not keep the receivers from their turn.
        await turn();
        continue;
      }
      const wait_ms = lastIdle_ms + host.idle_ms - clock.now_ms();
      // A clock set back must not silence `idle`: no wait is longer than one period.
      if (wait_ms > 0 && wait_ms <= host.idle_ms) {
        await this.pause(partition, next, wait_ms);
        continue;
      }
      lastIdle_ms = clock.now_ms();
      const floor_ms = await host.promiseFloor();
      if (next < partition.end || this.stopping.signal.aborted) continue;
      await consumer.idle(partition.topic, partition.partition, floor_ms);
    }
  }

  /** Until something is appended, `wait_ms` have passed, or the reader stops. */
  private async pause(partition: Partition, next: number, wait_ms: number): Promise<void> {
    if (next < partition.end) return;
    const woken = new AbortController();
    const wake = (): void => woken.abort();
    partition.wake.add(wake);
    this.stopping.signal.addEventListener('abort', wake);
    if (this.stopping.signal.aborted) wake();
    await this.host.clock.sleep(wait_ms, woken.signal);
    partition.wake.delete(wake);
    this.stopping.signal.removeEventListener('abort', wake);
  }
}
