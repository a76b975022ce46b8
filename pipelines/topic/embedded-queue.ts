import type { Clock } from '../base/clock.ts';
import { Busy } from '../base/errors.ts';
import { packRecords, type GroupItem } from './embedded-group.ts';
import { WriterLink } from './embedded-link.ts';
import type { Partition } from './embedded-reader.ts';
import type { CommittedRow } from './embedded-schema.ts';
import type { Retained, RetentionRule, Usage } from './embedded-writer.ts';
import type { RecordHeaders } from './topic.ts';

export interface QueueSettings {
  readonly file: string;
  readonly next: ReadonlyMap<number, number>;
  readonly clock: Clock;
  readonly linger_ms: number;
  readonly groupBytes_max: number;
  /** The newest time that the file holds or reserves. */
  readonly floor_ms: number;
  readonly usage: Usage;
  /** The log can go on no more. Called once. */
  broken(error: Error): void;
}

interface PendingAppend extends GroupItem {
  readonly partition: Partition;
  readonly done: PromiseWithResolvers<number>;
}

type Waiters = PromiseWithResolvers<void>[];

interface PendingCommit {
  row: CommittedRow;
  readonly waiters: Waiters;
}

/** What the writer is at work on. */
interface Flight {
  readonly time_ms: number;
  readonly appends: readonly PendingAppend[];
  readonly commits: readonly PendingCommit[];
  readonly floor_ms: number | undefined;
  readonly floorWaiters: Waiters;
}

// How far ahead of the clock an idle log reserves time, so that it writes its promise to the disk seldom. After a kill, times begin that far ahead at most.
const FLOOR_RESERVE_MS = 5000;
const FULL_RETRY_MS = 1000;

/**
 * Gathers appends and commits into groups, and has the writer's thread make one group durable at a time: one fsync for
 * all that arrived within `linger_ms`, or while the last group was being written. Time is given when a group is sealed.
 */
export class WriteQueue {
  /** Bytes of values taken and not yet durable. */
  pending_bytes = 0;
  usage: Usage;
  private readonly settings: QueueSettings;
  private readonly link: WriterLink;
  private appends: PendingAppend[] = [];
  private waiting_bytes = 0;
  private readonly commits = new Map<string, PendingCommit>();
  private floorWanted_ms: number | undefined;
  private floorWaiters: Waiters = [];
  private flight: Flight | undefined;
  private drained: PromiseWithResolvers<void> | undefined;
  /** The linger of what waits is over. */
  private due = false;
  private lingering = false;
  private closing = false;
  private readonly ending = new AbortController();
  private full = false;
  private failure: Error | undefined;
  private floor_ms: number;
  private durableFloor_ms: number;

  constructor(settings: QueueSettings) {
    this.settings = settings;
    this.usage = settings.usage;
    this.floor_ms = settings.floor_ms;
    this.durableFloor_ms = settings.floor_ms;
    this.link = new WriterLink({ file: settings.file, next: settings.next }, (error) => this.break(error));
  }

  append(partition: Partition, value: Buffer, headers: RecordHeaders): Promise<number> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    if (this.closing) return Promise.reject(new Busy('log_closing', 'the log is closing', 1000));
    if (this.full) return Promise.reject(new Busy('disk_full', `the disk that holds ${this.settings.file} is full`, FULL_RETRY_MS));
    const done = Promise.withResolvers<number>();
    this.appends.push({ partition, value, headers, done });
    this.waiting_bytes += value.length;
    this.pending_bytes += value.length;
    this.schedule();
    return done.promise;
  }

  /** Only the last of several waiting commits of one group and partition is written; all of them resolve with it. */
  commit(row: CommittedRow): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const key = `${row.partitionId} ${row.group}`;
    let pending = this.commits.get(key);
    if (pending === undefined) {
      pending = { row, waiters: [] };
      this.commits.set(key, pending);
    }
    pending.row = row;
    const done = Promise.withResolvers<void>();
    pending.waiters.push(done);
    this.schedule();
    return done.promise;
  }

  /**
   * A time that no record can fall below which was not durable at the call; it holds after a crash too. The clock's,
   * or that of the group being written.
   */
  async promiseFloor(): Promise<number> {
    if (this.failure !== undefined) throw this.failure;
    const promised_ms = this.flight !== undefined ? this.flight.time_ms : this.raiseFloor();
    if (promised_ms > this.durableFloor_ms) {
      this.floorWanted_ms = Math.max(this.floorWanted_ms ?? 0, promised_ms + FLOOR_RESERVE_MS);
      const done = Promise.withResolvers<void>();
      this.floorWaiters.push(done);
      this.schedule();
      await done.promise;
    }
    return promised_ms;
  }

  /** One step of retention, behind the group that is being written. */
  async retain(rules: readonly RetentionRule[], retention_ms: number): Promise<Retained> {
    if (this.failure !== undefined) throw this.failure;
    const retained = await this.link.retain(rules, this.raiseFloor(), retention_ms);
    this.usage = retained.usage;
    return retained;
  }

  /** Makes durable what waits, and closes the file. */
  async close(): Promise<void> {
    this.closing = true;
    this.ending.abort();
    this.drained = Promise.withResolvers<void>();
    this.schedule();
    this.tellDrained();
    await this.drained.promise;
    if (this.failure === undefined) await this.link.close(this.floor_ms);
    else await this.link.abandon();
  }

  private raiseFloor(): number {
    this.floor_ms = Math.max(this.floor_ms, Math.floor(this.settings.clock.now_ms()));
    return this.floor_ms;
  }

  private schedule(): void {
    if (this.failure !== undefined || this.full) return;
    if (this.appends.length === 0 && this.commits.size === 0 && this.floorWanted_ms === undefined) {
      this.due = false;
      return;
    }
    const ripe = this.due || this.closing || this.waiting_bytes >= this.settings.groupBytes_max;
    if (ripe && this.flight === undefined) this.seal();
    // What arrives while a group is being written waits for that, and no longer where that took long.
    else if (!ripe && !this.lingering) void this.linger();
  }

  private async linger(): Promise<void> {
    this.lingering = true;
    await this.settings.clock.sleep(this.settings.linger_ms, this.ending.signal);
    this.lingering = false;
    this.due = true;
    this.schedule();
  }

  /** The disk is full: nothing is tried for a while. */
  private async rest(): Promise<void> {
    this.full = true;
    await this.settings.clock.sleep(FULL_RETRY_MS, this.ending.signal);
    this.full = false;
    this.schedule();
  }

  private seal(): void {
    const { groupBytes_max } = this.settings;
    let count = 0;
    let bytes = 0;
    while (count < this.appends.length && (count === 0 || bytes + this.appends[count]!.value.length <= groupBytes_max))
      bytes += this.appends[count++]!.value.length;
    const appends = this.appends.splice(0, count);
    this.waiting_bytes -= bytes;
    const commits = [...this.commits.values()];
    this.commits.clear();
    const group: Flight = { time_ms: this.raiseFloor(), appends, commits, floor_ms: this.floorWanted_ms, floorWaiters: this.floorWaiters };
    this.floorWanted_ms = undefined;
    this.floorWaiters = [];
    // What did not fit has waited long enough.
    this.due = this.appends.length > 0;
    this.flight = group;
    void this.fly(group, bytes);
  }

  private async fly(group: Flight, bytes: number): Promise<void> {
    const { appends, commits, time_ms, floor_ms } = group;
    const values = this.link.buffer(bytes);
    const meta = packRecords(appends, values);
    try {
      const { offsets, usage } = await this.link.write({
        time_ms,
        records: appends.length,
        meta,
        values,
        commits: commits.map(({ row }) => row),
        floor_ms,
      });
      this.usage = usage;
      this.durable(offsets);
    } catch (error) {
      if (error instanceof Busy) this.refused(error);
      else this.break(error instanceof Error ? error : new Error(String(error)));
    }
    this.schedule();
    this.tellDrained();
  }

  private durable(offsets: Float64Array): void {
    const group = this.landed();
    if (group === undefined) return;
    if (group.appends.length > 0) this.durableFloor_ms = Math.max(this.durableFloor_ms, group.time_ms);
    if (group.floor_ms !== undefined) this.durableFloor_ms = Math.max(this.durableFloor_ms, group.floor_ms);
    for (let record = 0; record < group.appends.length; record++) {
      const { partition, done } = group.appends[record]!;
      partition.end = offsets[record]! + 1;
      done.resolve(partition.end - 1);
    }
    for (const { waiters } of group.commits) for (const done of waiters) done.resolve();
    for (const done of group.floorWaiters) done.resolve();
    for (const { partition } of group.appends) {
      for (const wake of partition.wake) wake();
    }
  }

  /**
   * No space: senders are told to come again; commits and promises wait here until there is some. Appends that wait are
   * refused as well: written later, they would overtake one that was refused, and readers would take that for a repeat.
   */
  private refused(error: Busy): void {
    const group = this.landed();
    if (group === undefined) return;
    void this.rest();
    const waiting = this.appends.splice(0);
    this.pending_bytes -= this.waiting_bytes;
    this.waiting_bytes = 0;
    for (const { done } of [...group.appends, ...waiting]) done.reject(error);
    for (const pending of group.commits) {
      const key = `${pending.row.partitionId} ${pending.row.group}`;
      const newer = this.commits.get(key);
      if (newer === undefined) this.commits.set(key, pending);
      else newer.waiters.push(...pending.waiters);
    }
    if (group.floor_ms !== undefined) this.floorWanted_ms = Math.max(this.floorWanted_ms ?? 0, group.floor_ms);
    this.floorWaiters.push(...group.floorWaiters);
    // Closing does not wait for space.
    if (this.closing) this.break(error);
  }

  private landed(): Flight | undefined {
    const group = this.flight;
    this.flight = undefined;
    if (group !== undefined) for (const { value } of group.appends) this.pending_bytes -= value.length;
    return group;
  }

  private break(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    const group = this.landed();
    for (const { done } of [...(group?.appends ?? []), ...this.appends]) done.reject(error);
    for (const { waiters } of [...(group?.commits ?? []), ...this.commits.values()]) for (const done of waiters) done.reject(error);
    for (const done of [...(group?.floorWaiters ?? []), ...this.floorWaiters]) done.reject(error);
    this.drained?.resolve();
    this.settings.broken(error);
  }

  private tellDrained(): void {
    const empty = this.flight === undefined && this.appends.length === 0 && this.commits.size === 0 && this.floorWanted_ms === undefined;
    if (empty || this.failure !== undefined) this.drained?.resolve();
  }
}
