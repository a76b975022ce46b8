import type { Admin } from 'kafkajs';
import type { Clock } from '../base/clock.ts';
import type { Committed } from './topic.ts';

/** Offsets of a partition: `low` is the oldest record kept, `high` the next to come. */
export interface OffsetRange {
  readonly low: number;
  readonly high: number;
}

const FIRST_STEP_MS = 4096;

/** Questions about a log that kafkajs' admin client answers, by full topic names. Every call may throw what kafkajs throws. */
export class KafkaOffsets {
  private readonly admin: Admin;
  private readonly clock: Clock;

  constructor(admin: Admin, clock: Clock) {
    this.admin = admin;
    this.clock = clock;
  }

  /** By partition number. */
  async ranges(topic: string): Promise<Map<number, OffsetRange>> {
    const answer = await this.admin.fetchTopicOffsets(topic);
    return new Map(answer.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }]));
  }

  async range(topic: string, partition: number): Promise<OffsetRange> {
    const range = (await this.ranges(topic)).get(partition);
    if (range === undefined) throw new Error(`topic ${topic} has no partition ${partition}`);
    return range;
  }

  /** By "topic partition". A group that never committed on a partition has no entry. */
  async committed(groupId: string, topics: readonly string[]): Promise<Map<string, Committed>> {
    const answer = await this.admin.fetchOffsets({ groupId, topics: [...topics] });
    const committed = new Map<string, Committed>();
    for (const { topic, partitions } of answer)
      for (const { partition, offset, metadata } of partitions)
        if (Number(offset) >= 0) committed.set(`${topic} ${partition}`, { offset: Number(offset), note: metadata ?? '' });
    return committed;
  }

  /** The first offset whose time is ≥ `time_ms`; the end of the log where there is none. */
  async offsetAt(topic: string, partition: number, time_ms: number): Promise<number> {
    // kafkajs takes 0 for "no time given", which means now.
    const answer = await this.admin.fetchTopicOffsetsByTimestamp(topic, Math.max(Math.ceil(time_ms), 1));
    const found = answer.find((entry) => entry.partition === partition);
    if (found === undefined) throw new Error(`topic ${topic} has no partition ${partition}`);
    return Number(found.offset);
  }

  /**
   * Append time of the first kept record at or after `offset`. Kafka answers only the other question (ListOffsets: time → offset), so this
   * looks for the last time whose offset is not behind ours: back in growing steps, then by halves; about 30 requests.
   */
  async timeAt(topic: string, partition: number, offset: number): Promise<number | undefined> {
    const { low, high } = await this.range(topic, partition);
    const wanted = Math.max(offset, low);
    if (wanted >= high) return undefined;
    // offsetAt(after) > wanted, offsetAt(before) ≤ wanted.
    let after = Math.floor(this.clock.now_ms());
    while ((await this.offsetAt(topic, partition, after)) <= wanted) after += FIRST_STEP_MS;
    let before = after - FIRST_STEP_MS;
    for (let step = FIRST_STEP_MS; before > 1 && (await this.offsetAt(topic, partition, before)) > wanted; step *= 4) {
      after = before;
      before = Math.max(before - step, 1);
    }
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2);
      if ((await this.offsetAt(topic, partition, middle)) > wanted) after = middle;
      else before = middle;
    }
    return before;
  }
}
