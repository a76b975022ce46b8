import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../pipelines/base/clock.ts';
import type { StageCounters } from '../pipelines/base/counters.ts';
import type { Log } from '../pipelines/base/log.ts';
import type { Signal } from '../pipelines/otlp/walk.ts';
import type { Store } from '../pipelines/store/client.ts';
import type { Committed, Consumer, LogRecord, Reader, StartAt, Topics } from '../pipelines/topic/topic.ts';
import { Outage } from './write-outage.ts';
import { PartitionWriter, type WriterParts } from './write-partition.ts';

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
  /** What ClickHouse will never take, and records that cannot be read, are kept here as files. */
  readonly refusedDirectory: string;
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
  drainDeadline_ms: 20_000,
} as const;

export interface WriteParts {
  readonly settings: WriteSettings;
  readonly topics: Topics;
  readonly store: Store;
  readonly log: Log;
  readonly clock: Clock;
}

export interface Write {
  /** One a topic, named `write.TOPIC`, in rows (spans, log records, data points). */
  readonly counters: readonly StageCounters[];
  /** Since when ClickHouse has taken no insert; undefined while it does. */
  outageSince_ms(): number | undefined;
  /** Stops reading, inserts what was read, commits. What could not be stored in time stays in the log. */
  drain(): Promise<void>;
  /** Rejects on a bug of ours or a broken log. Never resolves. */
  readonly failed: Promise<never>;
}

/** The role `write`: records of the log into ClickHouse, each row exactly once (DESIGN, write). Starts while ClickHouse is down. */
export async function startWrite(parts: WriteParts): Promise<Write> {
  const { settings, topics, clock } = parts;
  await mkdir(settings.refusedDirectory, { recursive: true });
  const outage = new Outage(parts.log, clock);
  const stop = new AbortController();
  const writers = new WriterSet({ ...parts, outage, stop: stop.signal });
  const reader = await topics.read({
    group: settings.group,
    topics: settings.topics.map(({ topic }) => topic),
    keepBehind_ms: 0,
    consumer: writers,
  });
  writers.setReader(reader);
  return {
    counters: [...writers.counters.values()],
    outageSince_ms: () => outage.since_ms,
    failed: reader.failed,
    async drain() {
      const drained = new AbortController();
      const giveUpLate = async (): Promise<void> => {
        await clock.sleep(settings.drainDeadline_ms, drained.signal);
        if (!drained.signal.aborted) stop.abort();
      };
      const late = giveUpLate();
      await reader.stop();
      drained.abort();
      await late;
    },
  };
}

/** Deals the calls of the log out to the partitions' writers. */
class WriterSet implements Consumer {
  readonly counters = new Map<string, StageCounters>();
  private readonly parts: WriterParts;
  private readonly writers = new Map<string, PartitionWriter>();
  private readonly reader: Promise<Reader>;
  readonly setReader: (reader: Reader) => void;

  constructor(parts: Omit<WriterParts, 'commit'>) {
    const { promise, resolve } = Promise.withResolvers<Reader>();
    this.reader = promise;
    this.setReader = resolve;
    // The log may call before `read` has resolved.
    this.parts = { ...parts, commit: async (topic, partition, offset, note) => (await this.reader).commit(topic, partition, offset, note) };
    for (const { topic } of parts.settings.topics) this.counters.set(topic, PartitionWriter.counters(topic));
  }

  async assigned(topic: string, partition: number, committed: Committed | undefined): Promise<StartAt> {
    const { signal } = this.parts.settings.topics.find((each) => each.topic === topic)!;
    const writer = new PartitionWriter(this.parts, { topic, partition, signal }, this.counters.get(topic)!);
    this.writers.set(`${topic}/${partition}`, writer);
    return writer.begin(committed);
  }

  records(topic: string, partition: number, records: readonly LogRecord[]): Promise<void> {
    return this.of(topic, partition).records(records);
  }

  idle(topic: string, partition: number): Promise<void> {
    return this.of(topic, partition).idle();
  }

  async revoked(topic: string, partition: number): Promise<void> {
    const writer = this.of(topic, partition);
    this.writers.delete(`${topic}/${partition}`);
    await writer.end();
  }

  private of(topic: string, partition: number): PartitionWriter {
    return this.writers.get(`${topic}/${partition}`)!;
  }
}

/** DATA/refused, where blocks and records wait for a person. */
export function refusedDirectoryOf(data: string): string {
  return join(data, 'refused');
}
