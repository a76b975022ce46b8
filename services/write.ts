import type { Clock } from '../pipelines/base/clock.ts';
import type { StageCounters } from '../pipelines/base/counters.ts';
import type { Log } from '../pipelines/base/log.ts';
import type { Store } from '../pipelines/store/client.ts';
import type { Committed, Consumer, LogRecord, Reader, StartAt, Topics } from '../pipelines/topic/topic.ts';
import { DeadOutlet } from './dead-outlet.ts';
import { Outage } from './write-outage.ts';
import { PartitionWriter, type WriterParts } from './write-partition.ts';
import type { WriteSettings } from './write-settings.ts';

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
  /** Letters written to the dead-letter topic, by reason. */
  readonly deadLetters: ReadonlyMap<string, number>;
  /** Stops reading, inserts what was read, commits. What could not be stored in time stays in the log. */
  drain(): Promise<void>;
  /** Rejects on a bug of ours or a broken log. Never resolves. */
  readonly failed: Promise<never>;
}

/** The role `write`: records of the log into ClickHouse, each row exactly once (DESIGN, write). Starts while ClickHouse is down. */
export async function startWrite(parts: WriteParts): Promise<Write> {
  const { settings, topics, clock } = parts;
  const outage = new Outage(parts.log, clock);
  const stop = new AbortController();
  const dead = new DeadOutlet(topics, parts.log, clock);
  const writers = new WriterSet({ ...parts, dead, outage, stop: stop.signal });
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
    deadLetters: dead.letters,
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
