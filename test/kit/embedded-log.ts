import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { wallClock, type Clock } from '../../pipelines/base/clock.ts';
import { createLog } from '../../pipelines/base/log.ts';
import { openEmbeddedTopics, type EmbeddedTopics, type EmbeddedTopicsSettings } from '../../pipelines/topic/embedded.ts';
import type {
  Committed,
  Consumer,
  LogRecord,
  PartitionView,
  Reader,
  ReaderOptions,
  RecordHeaders,
  StartAt,
} from '../../pipelines/topic/topic.ts';

/** Tools for tests that run on the real embedded log. */

/** What a failed test leaves open: directory → its logs, each with its readers. */
const opened = new Map<string, Map<EmbeddedTopics, Set<Reader>>>();

/** Removed when the test ends; what a failed test left open there is closed, so that the run can end. */
export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'tailrace-log-'));
  t.after(async () => {
    for (const [log, readers] of opened.get(directory) ?? []) {
      const end = Promise.all([...readers].map((reader) => reader.stop())).then(() => log.close());
      // A consumer that hangs must not hang the run.
      await Promise.race([end, wait(1000, undefined, { ref: false })]).catch(() => {});
    }
    opened.delete(directory);
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

/** The wall's pace with a reading that the test may set back or forth. */
export class ShiftedClock implements Clock {
  shift_ms = 0;
  now_ms(): number {
    return Date.now() + this.shift_ms;
  }
  sleep(delay_ms: number, signal?: AbortSignal): Promise<void> {
    return wallClock.sleep(delay_ms, signal);
  }
}

/** Quick periods, no log lines; every setting can be given. */
export async function openLog(directory: string, settings: Partial<EmbeddedTopicsSettings> = {}): Promise<EmbeddedTopics> {
  const log = await openEmbeddedTopics({
    directory,
    topics: { traces: 2 },
    clock: wallClock,
    log: createLog('silent'),
    linger_ms: 1,
    idle_ms: 20,
    retentionEvery_ms: 10,
    ...settings,
  });
  const logs = opened.get(directory) ?? new Map<EmbeddedTopics, Set<Reader>>();
  opened.set(directory, logs);
  logs.set(log, new Set());
  return log;
}

/** A reader of `topics` (default `traces`) that is stopped at the latest when the test ends. */
export async function readLog(log: EmbeddedTopics, consumer: Consumer, options: Partial<ReaderOptions> = {}): Promise<Reader> {
  const reader = await log.read({ group: 'g', topics: ['traces'], keepBehind_ms: 0, consumer, ...options });
  for (const logs of opened.values()) logs.get(log)?.add(reader);
  return reader;
}

export function headersOf(value: Buffer, more: Partial<RecordHeaders> = {}): RecordHeaders {
  return { format: 1, codec: 'none', items: 1, raw_bytes: value.length, ...more };
}

export interface Idle {
  readonly partition: number;
  readonly time_ms: number;
  /** Records of the partition that had been delivered. */
  readonly delivered: number;
  /** Offset that the next record was to get, as the log showed it at that moment. */
  readonly end: number;
}

/** Keeps everything that a reader tells it. `start` says where to begin (default: the commit, else the first record); `onRecords` may wait or throw. */
export class RecordingConsumer implements Consumer {
  readonly byPartition = new Map<string, LogRecord[]>();
  readonly idles: Idle[] = [];
  readonly assignments: { topic: string; partition: number; committed: Committed | undefined }[] = [];
  readonly revocations: string[] = [];
  start: (committed: Committed | undefined, view: PartitionView) => StartAt | Promise<StartAt> = (committed) => ({
    offset: committed?.offset ?? 0,
  });
  onRecords: (partition: number, records: readonly LogRecord[]) => void | Promise<void> = () => {};
  private readonly views = new Map<string, PartitionView>();
  private readonly busy = new Set<string>();

  async assigned(topic: string, partition: number, committed: Committed | undefined, view: PartitionView): Promise<StartAt> {
    this.assignments.push({ topic, partition, committed });
    this.views.set(`${topic} ${partition}`, view);
    return this.start(committed, view);
  }

  async records(topic: string, partition: number, records: readonly LogRecord[]): Promise<void> {
    const key = `${topic} ${partition}`;
    if (this.busy.has(key)) throw new Error(`calls for ${key} overlap`);
    this.busy.add(key);
    await this.onRecords(partition, records);
    this.busy.delete(key);
    const known = this.byPartition.get(key) ?? [];
    this.byPartition.set(key, known);
    known.push(...records);
  }

  async idle(topic: string, partition: number, time_ms: number): Promise<void> {
    if (this.busy.has(`${topic} ${partition}`)) throw new Error(`idle for ${topic} ${partition} overlaps`);
    const delivered = this.of(topic, partition).length;
    const end = await this.views.get(`${topic} ${partition}`)!.end();
    this.idles.push({ partition, time_ms, delivered, end });
  }

  async revoked(topic: string, partition: number): Promise<void> {
    this.revocations.push(`${topic} ${partition}`);
  }

  of(topic: string, partition: number): readonly LogRecord[] {
    return this.byPartition.get(`${topic} ${partition}`) ?? [];
  }

  count(): number {
    let count = 0;
    for (const records of this.byPartition.values()) count += records.length;
    return count;
  }
}

/** Resolves when `condition` holds. @throws after `deadline_ms` */
export async function until(condition: () => boolean | Promise<boolean>, what: string, deadline_ms = 10_000): Promise<void> {
  const end = performance.now() + deadline_ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${deadline_ms} ms in vain: ${what}`);
    await wait(2);
  }
}
