import assert from 'node:assert/strict';
import { wallClock } from '../../pipelines/base/clock.ts';
import { createLog } from '../../pipelines/base/log.ts';
import { createStore, storeDefaults } from '../../pipelines/store/client.ts';
import { decodeDeadLetter, keyOf, type DeadLetter } from '../../pipelines/topic/dead-letter.ts';
import type { RecordHeaders } from '../../pipelines/topic/topic.ts';
import { writeDefaults, type WriteSettings } from '../../services/write-settings.ts';
import { startWrite, type Write } from '../../services/write.ts';
import { FakeClickhouse, Refusal } from './fake-clickhouse.ts';
import { FakeTopics } from './fake-topics.ts';
import { BASE_NS, traces } from './otlp.ts';

/** The role write between a log in memory and a ClickHouse that tests can make refuse. */
const log = createLog('silent');

/** A record of `count` spans whose names are `prefix-0`, `prefix-1` …, one in four of them a day later. */
export function record(prefix: string, count: number): Buffer {
  return traces(
    Array.from({ length: count }, (_, i) => ({
      name: `${prefix}-${i}`,
      span: String(i + 1),
      start_ns: BASE_NS + (i % 4 === 3 ? 86_400n * 1_000_000_000n : 0n),
    })),
  );
}

function headers(value: Buffer, items: number, more: Partial<RecordHeaders> = {}): RecordHeaders {
  return { format: 1, codec: 'none', items, raw_bytes: value.length, ...more };
}

class CrashingTopics extends FakeTopics {
  beforeCommit: () => void = () => {};
  afterCommit: () => void = () => {};
  override storeCommit(group: string, topic: string, partition: number, offset: number, note: string): void {
    this.beforeCommit();
    super.storeCommit(group, topic, partition, offset, note);
    this.afterCommit();
  }
}

export interface Scene {
  readonly clickhouse: FakeClickhouse;
  readonly topics: CrashingTopics;
  start(settings?: Partial<WriteSettings>): Promise<Write>;
  append(prefix: string, count: number, more?: Partial<RecordHeaders>): Promise<void>;
  names(): string[];
  /** Dead letters in order, without repeats. */
  letters(): DeadLetter[];
  end(): Promise<void>;
}

export async function scene(partitions = 1): Promise<Scene> {
  const clickhouse = await new FakeClickhouse().start();
  const topics = new CrashingTopics({ topics: { sampled: partitions, dead: 1 }, clock: wallClock });
  const stores: { close(): Promise<void> }[] = [];
  let appended = 0;
  return {
    clickhouse,
    topics,
    async start(settings = {}) {
      // So that a test can tell the inserts of one start from those of another.
      const store = createStore({ ...storeDefaults, url: clickhouse.url, database: `process${stores.length + 1}` });
      stores.push(store);
      return startWrite({
        settings: {
          ...writeDefaults,
          batchWait_ms: 10,
          retryDelay_ms: [5, 20],
          topics: [{ topic: 'sampled', signal: 'traces' }],
          ...settings,
        },
        topics,
        store,
        log,
        clock: wallClock,
      });
    },
    async append(prefix, count, more) {
      const value = record(prefix, count);
      await topics.append('sampled', appended++ % partitions, value, headers(value, count, more));
    },
    names: () => clickhouse.rows('otel_traces').map((row) => String(row.SpanName)),
    letters() {
      const byKey = new Map<string, DeadLetter>();
      for (const { value } of topics.records('dead')) {
        const letter = decodeDeadLetter(value);
        const before = byKey.get(keyOf(letter));
        // A repeat says the same; only what ClickHouse said may be cut.
        if (before !== undefined) assert.deepEqual({ ...letter, message: '' }, { ...before, message: '' });
        else byKey.set(keyOf(letter), letter);
      }
      return [...byKey.values()];
    },
    async end() {
      // A process that was "killed" while it waited for ClickHouse would try for ever: it is refused, and then cannot commit.
      clickhouse.before = () => {
        throw new Refusal(62, 'SYNTAX_ERROR');
      };
      for (let quiet = 0, seen = -1; quiet < 15; quiet++) {
        if (clickhouse.inserts.length !== seen) quiet = 0;
        seen = clickhouse.inserts.length;
        await wallClock.sleep(2);
      }
      await Promise.all(stores.map((store) => store.close()));
      await clickhouse.stop();
    },
  };
}

export function expected(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}-${i}`);
}

export async function lagIsZero(topics: FakeTopics, deadline_ms = 5_000): Promise<void> {
  const end = performance.now() + deadline_ms;
  while ((await topics.lag('write', 'sampled')) > 0) {
    if (performance.now() > end) throw new Error('lag stays');
    await wallClock.sleep(2);
  }
}

export function assertBalanced(write: Write): void {
  for (const counters of write.counters) assert.equal(counters.imbalance(), 0, counters.stage);
}
