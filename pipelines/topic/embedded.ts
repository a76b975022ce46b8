import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { Busy, OperatorError, Reject } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { lockDirectory, type DirectoryLock } from './embedded-lock.ts';
import { WriteQueue } from './embedded-queue.ts';
import { RecordReads } from './embedded-read.ts';
import { EmbeddedReader, type Partition, type ReaderHost } from './embedded-reader.ts';
import {
  guarded,
  loadCommitted,
  loadFloor_ms,
  loadPartitions,
  loadTopics,
  openForReading,
  openForWriting,
  type CommittedRow,
} from './embedded-schema.ts';
import { retentionRules } from './embedded-retention.ts';
import type { Usage } from './embedded-writer.ts';
import type { Committed, Reader, ReaderOptions, RecordHeaders, Topics } from './topic.ts';

export interface EmbeddedTopicsSettings {
  /** Made where it is not there. One process at a time. */
  readonly directory: string;
  /** Topic → partitions. More than the data has: added. Fewer: refused. */
  readonly topics: Readonly<Record<string, number>>;
  /**
   * Topic → the groups that read it: retention waits for these and for no other. Name them where groups can go (a pipeline taken out of the
   * configuration), or what such a group has not read stays until the log is full. A topic left out: every group that ever read it.
   */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes that the log may hold before `append` answers Busy; records made from other records (with a `sequence`) may use a quarter more. Default 10 GiB. */
  readonly bytes_max?: number;
  /** Records stay at least this long, even when everyone has read them. Default 0. */
  readonly retention_ms?: number;
  /** How long an append waits for others to share its fsync. Default 5. */
  readonly linger_ms?: number;
  /** Bytes of values in one transaction. Default 4 MiB. */
  readonly groupBytes_max?: number;
  /** Bytes taken and not yet durable before `append` answers Busy. Default 64 MiB. */
  readonly pendingBytes_max?: number;
  /** Default 8 MiB, as the Kafka brokers are set. */
  readonly recordBytes_max?: number;
  /** Bytes of values handed to a consumer at once (one record more than fits, at least one). Default 1 MiB. */
  readonly readBytes_max?: number;
  /** Period of `idle`, at most 1,000. Default 500. */
  readonly idle_ms?: number;
  /** Period of retention. Default 1,000. */
  readonly retentionEvery_ms?: number;
}

const FILE = 'log.sqlite';
const MIB = 2 ** 20;
// A floor this far ahead of the clock is a clock that was wrong once, and worth a line: log time stands still until then.
const FLOOR_AHEAD_WARN_MS = 60_000;

/** Opens the log of one process. @throws OperatorError the directory is another process's or not writable, the file damaged, or partitions were taken away */
export async function openEmbeddedTopics(settings: EmbeddedTopicsSettings): Promise<EmbeddedTopics> {
  const lock = lockDirectory(settings.directory);
  try {
    return guarded(join(settings.directory, FILE), () => new EmbeddedTopics(settings, lock));
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** The log between the stages in one SQLite file. Made by `openEmbeddedTopics`. */
export class EmbeddedTopics implements Topics {
  private readonly settings: EmbeddedTopicsSettings;
  private readonly lock: DirectoryLock;
  private readonly topics = new Map<string, Partition[]>();
  /** group → partition id → where it stands. */
  private readonly committed = new Map<string, Map<number, CommittedRow>>();
  private readonly readers = new Set<EmbeddedReader>();
  private readonly queue: WriteQueue;
  private readonly reads: RecordReads;
  private readonly host: ReaderHost;
  private readonly closing = new AbortController();
  private readonly retention: Promise<void>;
  private failure: Error | undefined;
  private closed: Promise<void> | undefined;
  private readonly bytes_max: number;
  private readonly pendingBytes_max: number;
  private readonly recordBytes_max: number;

  constructor(settings: EmbeddedTopicsSettings, lock: DirectoryLock) {
    this.settings = settings;
    this.lock = lock;
    this.bytes_max = settings.bytes_max ?? 10 * 1024 * MIB;
    this.pendingBytes_max = settings.pendingBytes_max ?? 64 * MIB;
    this.recordBytes_max = settings.recordBytes_max ?? 8 * MIB;
    const file = join(settings.directory, FILE);
    const { next, floor_ms } = this.load(file);
    this.reads = new RecordReads(openForReading(file), file);
    this.queue = new WriteQueue({
      file,
      next,
      clock: settings.clock,
      linger_ms: settings.linger_ms ?? 5,
      groupBytes_max: settings.groupBytes_max ?? 4 * MIB,
      floor_ms,
      usage: this.reads.usage(),
      broken: (error) => this.break(error),
    });
    this.host = {
      clock: settings.clock,
      reads: this.reads,
      readBytes_max: settings.readBytes_max ?? MIB,
      idle_ms: settings.idle_ms ?? 500,
      committed: (group, partition) => this.committedOf(group, partition),
      commit: (group, partition, offset, note, keepBehind_ms) =>
        this.commit({ group, partitionId: partition.id, offset, note, keepBehind_ms }),
      promiseFloor: () => this.queue.promiseFloor(),
      ended: (reader) => this.readers.delete(reader),
    };
    this.retention = this.retain();
  }

  partitions(topic: string): number {
    return this.all(topic).length;
  }

  async append(topic: string, partition: number, value: Buffer, headers: RecordHeaders): Promise<number> {
    const at = this.all(topic)[partition];
    if (at === undefined) throw new Error(`topic ${topic} has no partition ${partition}`);
    if (value.length > this.recordBytes_max)
      throw new Reject('record_too_large', `a record of ${value.length} bytes for ${topic}; the log takes ${this.recordBytes_max}`);
    const derived = headers.sequence !== undefined;
    const pending_bytes = this.queue.pending_bytes + value.length;
    // What is made from records has space of its own: were it refused like new data, a full log could never be read empty.
    if (this.queue.usage.used_bytes + pending_bytes > (derived ? this.bytes_max * 1.25 : this.bytes_max))
      throw new Busy(
        'log_full',
        `the log holds ${this.queue.usage.used_bytes} bytes, its limit; the stages behind it are too slow or stand still`,
        1000,
      );
    if (!derived && pending_bytes > this.pendingBytes_max)
      throw new Busy('log_backlog', `${this.queue.pending_bytes} bytes wait to be written`, 100);
    return this.queue.append(at, value, headers);
  }

  async read(options: ReaderOptions): Promise<Reader> {
    if (this.failure !== undefined) throw this.failure;
    const { group, topics, keepBehind_ms } = options;
    if (!Number.isInteger(keepBehind_ms) || keepBehind_ms < 0) throw new Error(`keepBehind_ms is ${keepBehind_ms}`);
    for (const reader of this.readers) {
      const shared = reader.options.group === group ? topics.find((topic) => reader.options.topics.includes(topic)) : undefined;
      if (shared !== undefined) throw new Error(`group ${group} reads ${shared} already: in one process a group has one reader a topic`);
    }
    const partitions = topics.flatMap((topic) => this.all(topic));
    const reader = new EmbeddedReader(this.host, options, partitions);
    this.readers.add(reader);
    // From here on retention waits for the group, also after a restart.
    await Promise.all(
      partitions.map(async ({ id }) => {
        const row = this.committed.get(group)?.get(id);
        if (row?.keepBehind_ms !== keepBehind_ms)
          await this.commit({ group, partitionId: id, offset: row?.offset ?? -1, note: row?.note ?? '', keepBehind_ms });
      }),
    );
    await reader.start();
    return reader;
  }

  async lag(group: string, topic: string): Promise<number> {
    let lag = 0;
    for (const partition of this.all(topic))
      lag += partition.end - Math.max(this.committedOf(group, partition)?.offset ?? 0, partition.first);
    return lag;
  }

  /** Bytes in use and of the file, as of the last write. For metrics. */
  usage(): Usage {
    return this.queue.usage;
  }

  async close(): Promise<void> {
    if (this.readers.size > 0) throw new Error('stop the readers before the log');
    this.closed ??= this.end();
    await this.closed;
  }

  private async end(): Promise<void> {
    this.closing.abort();
    await this.retention;
    // The writer's connection goes last: it is the one that can clear the write-ahead log away.
    this.reads.close();
    await this.queue.close();
    this.lock.release();
  }

  /** What the file holds; adds the partitions that are new. */
  private load(file: string): { next: Map<number, number>; floor_ms: number } {
    const { topics, clock, log } = this.settings;
    const db = openForWriting(file);
    try {
      const next = new Map<number, number>();
      let floor_ms = loadFloor_ms(db);
      for (const { topic, partitions } of loadTopics(db)) this.checkPartitions(topic, partitions);
      for (const row of loadPartitions(db, topics)) {
        next.set(row.id, row.end);
        floor_ms = Math.max(floor_ms, row.last_ms);
        if (topics[row.topic] === undefined) continue;
        const partitions = this.topics.get(row.topic) ?? [];
        this.topics.set(row.topic, partitions);
        partitions[row.partition] = {
          topic: row.topic,
          partition: row.partition,
          id: row.id,
          first: row.first,
          end: row.end,
          wake: new Set(),
        };
      }
      for (const row of loadCommitted(db)) this.remember(row);
      const ahead_ms = floor_ms - clock.now_ms();
      if (ahead_ms > FLOOR_AHEAD_WARN_MS)
        log.warn({ ahead_ms }, 'the log holds records from the future: its time stands still until the clock is there');
      return { next, floor_ms };
    } finally {
      db.close();
    }
  }

  /** @param stored the partitions that the file has of the topic */
  private checkPartitions(topic: string, stored: number): void {
    const { topics, log, directory } = this.settings;
    const wanted = topics[topic];
    if (wanted === undefined) {
      log.warn({ topic }, 'the log holds a topic that no pipeline uses; its records stay');
    } else if (wanted < stored) {
      throw new OperatorError(
        `topic ${topic} has ${stored} partitions in ${directory}, the configuration says ${wanted}`,
        `Set partitions back to ${stored}. To have fewer, let everything drain, stop, and move the directory away.`,
      );
    } else if (wanted > stored) {
      log.warn({ topic, from: stored, to: wanted }, 'partitions were added: traces under way at this moment may be decided in two halves');
    }
  }

  private all(topic: string): Partition[] {
    const partitions = this.topics.get(topic);
    if (partitions === undefined) throw new Error(`no topic ${topic}`);
    return partitions;
  }

  private committedOf(group: string, partition: Partition): Committed | undefined {
    const row = this.committed.get(group)?.get(partition.id);
    return row === undefined || row.offset < 0 ? undefined : row;
  }

  private async commit(row: CommittedRow): Promise<void> {
    await this.queue.commit(row);
    this.remember(row);
  }

  private remember(row: CommittedRow): void {
    const rows = this.committed.get(row.group) ?? new Map<number, CommittedRow>();
    this.committed.set(row.group, rows);
    rows.set(row.partitionId, row);
  }

  private async retain(): Promise<void> {
    const { clock, groups, retention_ms = 0, retentionEvery_ms = 1000, log } = this.settings;
    const { signal } = this.closing;
    let more = false;
    while (this.failure === undefined) {
      if (!more) await clock.sleep(retentionEvery_ms, signal);
      if (signal.aborted) return;
      try {
        const step = await this.queue.retain(retentionRules(this.topics, this.committed, groups), retention_ms);
        for (const [id, first] of step.first)
          for (const partitions of this.topics.values())
            for (const partition of partitions) if (partition.id === id) partition.first = first;
        more = step.more;
      } catch (error) {
        more = false;
        if (!(error instanceof Busy)) {
          this.break(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        log.warn({ reason: error.reason }, 'the log could not remove old records; trying again');
      }
    }
  }

  private break(error: Error): void {
    this.failure ??= error;
    for (const reader of this.readers) reader.break(error);
  }
}
