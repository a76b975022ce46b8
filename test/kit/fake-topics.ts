import { setTimeout as wait } from 'node:timers/promises';
import type { Clock } from '../../pipelines/base/clock.ts';
import { Busy } from '../../pipelines/base/errors.ts';
import type { Committed, LogRecord, Reader, ReaderOptions, RecordHeaders, Topics } from '../../pipelines/topic/topic.ts';
import { FakeReader, type FakePartition } from './fake-reader.ts';

/**
 * The log in memory, with the whole contract of topic/topic.ts and switches for what a real log does wrong. It checks its
 * callers too: a value changed before its append resolved, a commit for a partition that is not held, a note that is too long.
 *
 * Switches (change them at any time):
 *   topics.hold() … topics.release()          appends wait, in order, until released
 *   topics.appendDelay_ms                     every append takes that long by the clock
 *   topics.failAppend = (topic, p) => error   an append rejects with what this returns; it gets no offset
 *   topics.failWrite = (topic, p) => error    the same, but only when the append's turn comes, behind those before it
 *   topics.busy(times, retryAfter_ms)         the next appends reject with Busy
 *   topics.recordsPerCall, topics.idleEvery_ms
 *   topics.truncate(topic, p, offset)         retention: records below are gone
 *   topics.crash(group)                       its readers stop where they are: no revoked(), no commit after
 */
export interface FakeTopicsOptions {
  /** topic → number of partitions. Any other topic is an error. */
  readonly topics: Readonly<Record<string, number>>;
  readonly clock: Clock;
}

const NOTE_CHARACTERS_MAX = 4_000;

export class FakeTopics implements Topics {
  appendDelay_ms = 0;
  recordsPerCall = 100;
  idleEvery_ms = 20;
  failAppend: ((topic: string, partition: number) => Error | undefined) | undefined;
  failWrite: ((topic: string, partition: number) => Error | undefined) | undefined;
  /** Calls of `append` so far, refused ones as well. */
  appendCalls = 0;
  /** Every commit in order: for tests that ask when a group committed. */
  readonly commits: { group: string; topic: string; partition: number; offset: number; note: string }[] = [];

  readonly clock: Clock;
  private readonly partitionsOf = new Map<string, FakePartition[]>();
  private readonly committedAt = new Map<string, Committed>();
  private readonly groups = new Map<string, FakeReader[]>();
  private readonly rebalancing = new Map<string, Promise<void>>();
  private gate: { promise: Promise<void>; open: () => void } | undefined;
  private closed = false;

  constructor(options: FakeTopicsOptions) {
    this.clock = options.clock;
    for (const [topic, count] of Object.entries(options.topics)) {
      const partitions: FakePartition[] = [];
      for (let partition = 0; partition < count; partition++)
        partitions.push({ topic, partition, first: 0, records: [], time_ms: 0, tail: Promise.resolve(), wake: new Set() });
      this.partitionsOf.set(topic, partitions);
    }
  }

  // ---- Topics ----

  partitions(topic: string): number {
    return this.all(topic).length;
  }

  append(topic: string, partition: number, value: Buffer, headers: RecordHeaders): Promise<number> {
    this.appendCalls++;
    if (this.closed) return Promise.reject(new Error('append after close'));
    const log = this.log(topic, partition);
    const failure = this.failAppend?.(topic, partition);
    if (failure !== undefined) return Promise.reject(failure);
    const done = this.appendAfter(log.tail, log, value, headers);
    // The order of a partition goes on after a failed append.
    log.tail = settled(done);
    return done;
  }

  async read(options: ReaderOptions): Promise<Reader> {
    for (const topic of options.topics) this.all(topic);
    const reader = new FakeReader(this, options);
    const members = this.groups.get(options.group) ?? [];
    members.push(reader);
    this.groups.set(options.group, members);
    await this.rebalance(options.group);
    return reader;
  }

  async lag(group: string, topic: string): Promise<number> {
    let lag = 0;
    for (const log of this.all(topic))
      lag += log.first + log.records.length - (this.committed(group, topic, log.partition)?.offset ?? log.first);
    return lag;
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const logs of this.partitionsOf.values()) for (const log of logs) await log.tail;
  }

  // ---- what tests look at and do ----

  /** What is durable, in offset order; of all partitions in turn where `partition` is left out. */
  records(topic: string, partition?: number): LogRecord[] {
    return partition === undefined ? this.all(topic).flatMap((log) => log.records) : [...this.log(topic, partition).records];
  }

  /** Sum of the item counts in the headers of what is durable. */
  items(topic: string): number {
    let items = 0;
    for (const record of this.records(topic)) items += record.headers.items;
    return items;
  }

  committed(group: string, topic: string, partition: number): Committed | undefined {
    return this.committedAt.get(`${group} ${topic} ${partition}`);
  }

  hold(): void {
    if (this.gate === undefined) {
      let open = (): void => {};
      const promise = new Promise<void>((resolve) => (open = resolve));
      this.gate = { promise, open };
    }
  }

  release(): void {
    this.gate?.open();
    this.gate = undefined;
  }

  busy(times: number, retryAfter_ms: number): void {
    let left = times;
    this.failAppend = () => (left-- > 0 ? new Busy('log_full', 'the log takes no more for now', retryAfter_ms) : undefined);
  }

  truncate(topic: string, partition: number, offset: number): void {
    const log = this.log(topic, partition);
    const gone = Math.min(Math.max(offset - log.first, 0), log.records.length);
    log.records.splice(0, gone);
    log.first += gone;
  }

  crash(group: string): void {
    for (const reader of this.groups.get(group) ?? []) reader.abandon();
    this.groups.delete(group);
  }

  /** Resolves when `condition` holds; looks every few real milliseconds. @throws after `deadline_ms` */
  async until(condition: () => boolean, what: string, deadline_ms = 5_000): Promise<void> {
    const end = performance.now() + deadline_ms;
    while (!condition()) {
      if (performance.now() > end) throw new Error(`waited ${deadline_ms} ms in vain: ${what}`);
      await wait(2);
    }
  }

  // ---- for FakeReader ----

  log(topic: string, partition: number): FakePartition {
    const log = this.all(topic)[partition];
    if (log === undefined) throw new Error(`topic ${topic} has no partition ${partition}`);
    return log;
  }

  storeCommit(group: string, topic: string, partition: number, offset: number, note: string): void {
    if (note.length > NOTE_CHARACTERS_MAX) throw new Error(`note of ${note.length} characters`);
    this.committedAt.set(`${group} ${topic} ${partition}`, { offset, note });
    this.commits.push({ group, topic, partition, offset, note });
  }

  async leave(reader: FakeReader): Promise<void> {
    const group = reader.options.group;
    this.groups.set(
      group,
      (this.groups.get(group) ?? []).filter((member) => member !== reader),
    );
    await this.rebalancing.get(group);
    await reader.revokeAllBut(new Set());
    await this.rebalance(group);
  }

  private async appendAfter(before: Promise<void>, log: FakePartition, value: Buffer, headers: RecordHeaders): Promise<number> {
    const copy = Buffer.from(value);
    await before;
    if (this.appendDelay_ms > 0) await this.clock.sleep(this.appendDelay_ms);
    while (this.gate !== undefined) await this.gate.promise;
    if (!copy.equals(value)) throw new Error(`value for ${log.topic}/${log.partition} changed before its append resolved`);
    const failure = this.failWrite?.(log.topic, log.partition);
    if (failure !== undefined) throw failure;
    log.time_ms = Math.max(log.time_ms, this.clock.now_ms());
    const offset = log.first + log.records.length;
    log.records.push({ offset, time_ms: log.time_ms, value: copy, headers });
    for (const wake of log.wake) wake();
    return offset;
  }

  private rebalance(group: string): Promise<void> {
    const work = this.rebalanceAfter(this.rebalancing.get(group) ?? Promise.resolve(), group);
    this.rebalancing.set(group, work);
    return work;
  }

  /** Deals the partitions out in turn: first what moves is revoked everywhere, then it is assigned. */
  private async rebalanceAfter(before: Promise<void>, group: string): Promise<void> {
    await before;
    const members = [...(this.groups.get(group) ?? [])];
    const owned = new Map(members.map((member) => [member, new Set<FakePartition>()]));
    const topics = new Set(members.flatMap((member) => member.options.topics));
    for (const topic of topics) {
      const takers = members.filter((member) => member.options.topics.includes(topic));
      for (const log of this.all(topic)) owned.get(takers[log.partition % takers.length]!)!.add(log);
    }
    for (const [member, logs] of owned) await member.revokeAllBut(logs);
    for (const [member, logs] of owned) await member.assign(logs);
  }

  private all(topic: string): FakePartition[] {
    const logs = this.partitionsOf.get(topic);
    if (logs === undefined) throw new Error(`no topic ${topic}`);
    return logs;
  }
}

async function settled(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch {
    // Whoever appended hears of it.
  }
}
