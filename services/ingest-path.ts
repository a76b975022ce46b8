import type { Clock } from '../pipelines/base/clock.ts';
import { StageCounters } from '../pipelines/base/counters.ts';
import { Busy, Malformed, Reject } from '../pipelines/base/errors.ts';
import { jsonToProtobuf } from '../pipelines/otlp/json.ts';
import type { Encoding } from '../pipelines/otlp/replies.ts';
import { Splitter } from '../pipelines/otlp/split.ts';
import { Validator, type Verdict } from '../pipelines/otlp/validate.ts';
import type { ValidateSettings } from '../pipelines/otlp/validate-item.ts';
import type { Signal } from '../pipelines/otlp/walk.ts';
import type { Processor } from '../pipelines/process/processor.ts';
import type { Outcome } from '../pipelines/receive/receive.ts';
import { PartitionBatcher } from '../pipelines/topic/batcher.ts';
import type { Topics } from '../pipelines/topic/topic.ts';
import { EMPTY } from '../pipelines/wire/cursor.ts';
import type { DeadOutlet } from './dead-outlet.ts';
import { BatchRows } from './write-rows.ts';

/** Where the items of a signal go: pipelines that begin with the same stateless processors share one. */
export interface Branch {
  readonly signal: Signal;
  readonly topic: string;
  /** In order. The branch's own: processors keep buffers. */
  readonly processors: readonly Processor[];
}

/** The sender keeps its data and comes back: another replica, or this one after a restart, may have a log that works. */
const APPEND_FAILED_RETRY_MS = 5_000;
const BURY_EVERY_MS = 1_000;

export interface BranchSettings {
  readonly topics: Topics;
  readonly dead: DeadOutlet;
  readonly clock: Clock;
  readonly batch_bytes_max: number;
  readonly linger_ms: number;
  readonly record_bytes_max: number;
  /** Bytes that may wait for the log: the admission's budget, which is the one that refuses. */
  readonly pending_bytes_max: number;
}

/** One branch at work. Its counters are in items: in = received, dropped by validation, processors, size and failed appends, held = waiting for the log, out = durable. */
export class BranchPath {
  readonly branch: Branch;
  readonly counters: StageCounters;
  readonly batcher: PartitionBatcher;
  private readonly splitter: Splitter;
  private readonly clock: Clock;
  private readonly dead: DeadOutlet;
  /** Items that the batcher found too large for a record, of the part that is being added. */
  private oversize: Promise<void>[] = [];
  private buried_ms = 0;

  constructor(branch: Branch, settings: BranchSettings) {
    const { signal, topic } = branch;
    this.branch = branch;
    this.counters = new StageCounters(`ingest.${topic}`);
    this.splitter = new Splitter(signal, settings.topics.partitions(topic));
    // Mesh spans shrink ten times and `sample` holds the record as it came; others stay readable for every OTLP consumer (DESIGN, Records).
    const codec = signal === 'traces' ? 'zstd' : 'none';
    this.clock = settings.clock;
    this.dead = settings.dead;
    const oversize = (partition: number, part: Buffer): void => void this.oversize.push(this.bury(partition, part));
    this.batcher = new PartitionBatcher({ ...settings, topic, codec, oversize });
  }

  /** Processes, splits and hands to the batcher, all before the first wait. `items` are what `bytes` hold. Adds what must become durable to `waits`. Returns the items that are too large for any record. @throws Reject */
  take(bytes: Buffer, items: number, waits: Waits): number {
    let left = bytes;
    let handed = 0;
    let tooLarge = 0;
    try {
      for (const processor of this.branch.processors) {
        left = processor.process(left);
        if (left.length === 0) break;
      }
      if (left.length > 0) {
        this.splitter.split(left, (partition, part, count) => {
          this.oversize = [];
          const durable = this.batcher.add(partition, part, count);
          handed += count;
          const waiting = count - this.oversize.length;
          tooLarge += this.oversize.length;
          this.counters.held += waiting;
          waits.add(this, waiting, durable);
          for (const letter of this.oversize) waits.add(this, 0, letter);
        });
      }
      this.counters.drop('processed', items - handed);
    } catch (error) {
      this.counters.drop(error instanceof Reject ? error.reason : 'internal', items - handed);
      throw error;
    } finally {
      this.counters.drop('record_too_large', tooLarge);
    }
    return tooLarge;
  }

  /**
   * The sender hears that the item was refused; that it was, and its ids, is kept as a dead letter. Without its bytes, and not more often than
   * once a second: a sender that goes on so must not fill the log.
   */
  private async bury(partition: number, part: Buffer): Promise<void> {
    const { signal, topic } = this.branch;
    const now_ms = this.clock.now_ms();
    if (now_ms - this.buried_ms < BURY_EVERY_MS) return;
    this.buried_ms = now_ms;
    const rows = new BatchRows(signal, [part]);
    await this.dead.append({
      stage: 'ingest',
      signal,
      topic,
      partition,
      offset: 0,
      time_ms: now_ms,
      item: 0,
      items: 1,
      table: '',
      reason: 'record_too_large',
      message: `${part.length} bytes are more than a record of the log may have`,
      ...rows.ids(rows.rows[0]!),
      codec: 'none',
      raw_bytes: 0,
      data: EMPTY,
    });
  }
}

/** What one request waits for. */
class Waits {
  private readonly paths: BranchPath[] = [];
  private readonly items: number[] = [];
  private readonly promises: Promise<void>[] = [];

  add(path: BranchPath, items: number, durable: Promise<void>): void {
    this.paths.push(path);
    this.items.push(items);
    this.promises.push(durable);
  }

  /** Resolves when all is durable or refused. Returns the first failure, an unexpected one before Busy. */
  async settle(): Promise<unknown> {
    let failure: unknown;
    const results = await Promise.allSettled(this.promises);
    for (const [index, result] of results.entries()) {
      const { counters } = this.paths[index]!;
      const items = this.items[index]!;
      counters.held -= items;
      if (result.status === 'fulfilled') {
        counters.out += items;
      } else {
        const busy = result.reason instanceof Busy;
        counters.drop(busy ? 'log_busy' : 'append_failed', items);
        if (failure === undefined || !busy) failure = result.reason;
      }
    }
    return failure;
  }
}

/** Everything one signal goes through, from a decompressed body to durable records. */
export class SignalPath {
  readonly signal: Signal;
  readonly branches: readonly BranchPath[];
  private readonly validator: Validator;
  private readonly clock: Clock;
  private readonly onAppendFailed: (error: unknown) => void;

  constructor(
    signal: Signal,
    branches: readonly BranchPath[],
    limits: ValidateSettings,
    clock: Clock,
    onAppendFailed: (error: unknown) => void,
  ) {
    this.signal = signal;
    this.branches = branches;
    this.validator = new Validator(signal, limits);
    this.clock = clock;
    this.onAppendFailed = onAppendFailed;
  }

  private check(bytes: Buffer): Verdict {
    try {
      return this.validator.check(bytes, this.clock.now_ms());
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw new Reject(error.reason, `the body is not an OTLP ${this.signal} request in protobuf: ${error.message}`);
    }
  }

  /**
   * Resolves when every accepted item is durable in every branch. When any part failed the whole request is answered with an
   * error and the sender sends it again: what was durable already is then stored twice, as OTLP allows (Duplicate Data).
   * @throws Reject, Busy
   */
  async receive(body: Buffer, encoding: Encoding): Promise<Outcome> {
    const bytes = encoding === 'json' ? jsonToProtobuf(this.signal, body) : body;
    // Borrowed until the next check: nothing of it is used after the first wait.
    const checked = this.check(bytes);
    for (const { counters } of this.branches) {
      counters.in += checked.accepted + checked.rejectedItems;
      for (const [reason, items] of checked.itemReasons) counters.drop(reason, items);
    }
    let { rejected, message } = checked;
    if (checked.accepted === 0) return { rejected, message };
    const waits = new Waits();
    let tooLarge = 0;
    let failure: unknown;
    for (const branch of this.branches) {
      try {
        tooLarge = Math.max(tooLarge, branch.take(checked.bytes, checked.accepted, waits));
      } catch (error) {
        failure ??= error;
      }
    }
    if (tooLarge > 0) {
      rejected += tooLarge;
      message += `${message === '' ? '' : '; '}${tooLarge} refused: larger than a record of the log may be`;
    }
    const refused = await waits.settle();
    if (failure !== undefined) throw failure;
    if (refused === undefined) return { rejected, message };
    if (refused instanceof Busy) throw refused;
    this.onAppendFailed(refused);
    throw new Busy('append_failed', 'the log failed', APPEND_FAILED_RETRY_MS);
  }
}
