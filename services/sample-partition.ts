import type { SpanMetricsSettings } from '../pipelines/aggregate/settings.ts';
import { SpanMetrics } from '../pipelines/aggregate/span-metrics.ts';
import type { Clock } from '../pipelines/base/clock.ts';
import type { StageCounters } from '../pipelines/base/counters.ts';
import { Reject } from '../pipelines/base/errors.ts';
import type { Log } from '../pipelines/base/log.ts';
import { readNote } from '../pipelines/sample/note.ts';
import type { SamplerSettings } from '../pipelines/sample/settings.ts';
import { Sampler } from '../pipelines/sample/sampler.ts';
import { decompress } from '../pipelines/topic/record.ts';
import type { Committed, LogRecord, PartitionView, StartAt } from '../pipelines/topic/topic.ts';
import { PartitionBudget, type AskBudget } from './sample-budget.ts';
import { SAMPLE_CHARACTERS_MAX, formatStageNote, parseStageNote } from './sample-note.ts';
import { Outbox, type OutboxParts, type Outlet } from './sample-outbox.ts';

/** Output that may wait in memory before it is made durable and the next record is emitted. */
const OUTBOX_BYTES_MAX = 16 << 20;

export interface PartitionParts {
  readonly settings: {
    readonly topic: string;
    readonly tail?: { readonly sampler: SamplerSettings };
    readonly spanMetrics: readonly { readonly settings: SpanMetricsSettings }[];
    readonly commitEvery_ms: number;
  };
  readonly log: Log;
  readonly clock: Clock;
  readonly outbox: OutboxParts;
  readonly tail: Outlet | undefined;
  readonly spanMetrics: readonly Outlet[];
  /** Aborted: the role stops; a busy log is waited for no longer. */
  readonly stop: AbortSignal;
  readonly hashSeed: number;
  /** Of the topic. */
  readonly partitions: number;
  /** Absent: every partition keeps its own share of the rate limits. */
  readonly budget: AskBudget | undefined;
  commit(partition: number, offset: number, note: string): Promise<void>;
}

interface Metrics {
  readonly stage: SpanMetrics;
  readonly outbox: Outbox;
  /** Records before this log time are in windows that are durable. */
  from_ms: number;
}

/** One partition of the stage: every record is unpacked once for all that look at spans; what comes out is durable before anything is committed. */
export class SamplePartition {
  readonly sampler: Sampler | undefined;
  /** Records that cannot be read: the sampler counts their spans as malformed, span metrics leave them out. */
  unreadable = 0;
  private readonly partition: number;
  private readonly parts: PartitionParts;
  private readonly sampled: Outbox | undefined;
  private readonly budget: PartitionBudget | undefined;
  private readonly metrics: readonly Metrics[];
  private nextOffset = 0;
  private committed = -1;
  private committedNote = '';
  private committed_ms: number;
  private time_ms = 0;
  /** The stop came while the log took nothing: nothing more is done, what waits is read again. */
  private givenUp = false;

  constructor(partition: number, parts: PartitionParts) {
    this.partition = partition;
    this.parts = parts;
    const { settings, tail } = parts;
    this.committed_ms = parts.clock.now_ms();
    this.sampled = tail === undefined ? undefined : new Outbox(tail, partition, parts.outbox);
    this.sampler =
      settings.tail === undefined
        ? undefined
        : new Sampler({
            settings: settings.tail.sampler,
            sink: (bytes, items, offset) => this.sampled!.add(bytes, items, offset),
            unpack: decompress,
            place: { partition, partitions: parts.partitions },
            hashSeed: parts.hashSeed,
          });
    if (parts.budget !== undefined && this.sampler !== undefined)
      this.budget = new PartitionBudget(this.sampler, parts.budget, partition, parts.partitions);
    this.metrics = settings.spanMetrics.map((one, index) => {
      const outbox = new Outbox(parts.spanMetrics[index]!, partition, parts.outbox);
      const stage = new SpanMetrics(one.settings, (bytes, metrics, windowEnd_ms) => outbox.add(bytes, metrics, windowEnd_ms));
      return { stage, outbox, from_ms: 0 };
    });
  }

  /** Where to begin reading: far enough back that sampler and span metrics come to the state of the commit. */
  async begin(committed: Committed | undefined, log: PartitionView): Promise<StartAt> {
    if (committed === undefined || committed.note === '') {
      const offset = committed?.offset ?? 0;
      this.nextOffset = offset;
      this.sampler?.restore(offset, undefined);
      return { offset };
    }
    const { offset } = committed;
    this.nextOffset = this.committed = offset;
    const note = parseStageNote(committed.note);
    const sample = note?.sample === undefined ? undefined : readNote(note.sample);
    if (note === undefined || (this.sampler !== undefined && sample === undefined))
      this.parts.log.warn(
        { partition: this.partition, offset },
        'the commit has no note that this version reads: traces under way are judged by their later spans alone',
      );
    this.sampler?.restore(offset, sample);
    const from = this.sampler === undefined ? offset : (sample?.from ?? offset);
    let metricsFrom_ms = Infinity;
    for (const [index, one] of this.metrics.entries()) {
      // Span metrics new to the stage begin where it stands.
      one.from_ms = note?.metrics_ms[index] ?? (await log.timeAt(offset)) ?? 0;
      metricsFrom_ms = Math.min(metricsFrom_ms, one.from_ms);
    }
    const from_ms = await log.timeAt(from);
    // Nothing at `from` yet: it is the log's end, and the open window lies before it.
    return metricsFrom_ms < (from_ms ?? Infinity) ? { time_ms: metricsFrom_ms } : { offset: from };
  }

  async records(records: readonly LogRecord[]): Promise<void> {
    for (const record of records) {
      if (this.givenUp) return;
      if (!(await this.emitDue(record.time_ms)) || !(await this.settleBudget(record.time_ms))) return;
      this.take(record);
      if (this.waiting_bytes() > OUTBOX_BYTES_MAX && !(await this.flush())) return;
    }
    if (await this.flush()) await this.commitSometimes();
  }

  async idle(time_ms: number): Promise<void> {
    if (this.givenUp || !(await this.emitDue(time_ms)) || !(await this.settleBudget(time_ms))) return;
    this.time_ms = Math.max(this.time_ms, time_ms);
    this.sampler?.tick(time_ms);
    for (const { stage } of this.metrics) stage.tick(time_ms);
    if (await this.flush()) await this.commitSometimes();
  }

  /** The partition goes. What waits for a decision stays in the log. */
  async end(): Promise<void> {
    if (!this.givenUp && (await this.flush())) await this.commit();
    this.sampled?.discard();
    for (const { outbox } of this.metrics) outbox.discard();
  }

  /** In the order of the settings; a window that is open holds its spans. */
  spanMetricsCounters(): readonly StageCounters[] {
    return this.metrics.map(({ stage }) => stage.counters);
  }

  private take(record: LogRecord): void {
    this.time_ms = Math.max(this.time_ms, record.time_ms);
    this.nextOffset = Math.max(this.nextOffset, record.offset + 1);
    let bytes: Buffer | undefined;
    try {
      bytes = decompress(record);
    } catch (error) {
      if (!(error instanceof Reject)) throw error;
      this.noteUnreadable(record, error);
    }
    this.sampler?.push(record, bytes);
    for (const one of this.metrics) {
      if (record.time_ms < one.from_ms) continue;
      if (bytes === undefined) one.stage.tick(record.time_ms);
      else this.foldMetrics(one.stage, record, bytes);
    }
  }

  private foldMetrics(stage: SpanMetrics, record: LogRecord, bytes: Buffer): void {
    try {
      stage.fold(bytes, record.time_ms);
    } catch (error) {
      if (!(error instanceof Reject)) throw error;
      this.noteUnreadable(record, error);
    }
  }

  private noteUnreadable(record: LogRecord, error: Reject): void {
    this.unreadable++;
    const { topic } = this.parts.settings;
    this.parts.log.error(
      { topic, partition: this.partition, offset: record.offset, reason: error.reason },
      `a record cannot be read: ${error.message}`,
    );
  }

  /** Emits what is due in pieces, so that a long wait that ends all at once (after a restart, say) does not stand in memory as a whole. */
  private async emitDue(time_ms: number): Promise<boolean> {
    while (this.sampler?.emitNext(time_ms) === true) {
      if (this.waiting_bytes() > OUTBOX_BYTES_MAX && !(await this.flush())) return false;
    }
    return true;
  }

  /** Leases of a block are durable before anything of it is folded. */
  private async settleBudget(time_ms: number): Promise<boolean> {
    const { budget } = this;
    if (budget === undefined || !this.sampler!.isLive()) return true;
    if (budget.enter(time_ms)) {
      this.time_ms = Math.max(this.time_ms, time_ms);
      if (!(await this.flush())) return false;
      await this.commit();
      budget.settled();
    }
    budget.look(time_ms);
    return true;
  }

  private waiting_bytes(): number {
    let bytes = this.sampled?.bytes ?? 0;
    for (const { outbox } of this.metrics) bytes += outbox.bytes;
    return bytes;
  }

  private async flush(): Promise<boolean> {
    const { stop } = this.parts;
    const outboxes = this.metrics.map(({ outbox }) => outbox);
    if (this.sampled !== undefined) outboxes.push(this.sampled);
    const durable = await Promise.all(outboxes.map((outbox) => outbox.flush(stop)));
    this.givenUp ||= durable.includes(false);
    return !this.givenUp;
  }

  private async commitSometimes(): Promise<void> {
    if (this.parts.clock.now_ms() - this.committed_ms >= this.parts.settings.commitEvery_ms) await this.commit();
  }

  /** Only behind a flush: everything that came out so far is durable. */
  private async commit(): Promise<void> {
    const { sampler } = this;
    if (sampler !== undefined && !sampler.isLive()) return;
    const offset = sampler === undefined ? this.nextOffset : sampler.position();
    if (offset < this.committed || this.time_ms === 0) return;
    const overflow = sampler?.metrics.noteOverflow ?? 0;
    const sample = sampler?.note(SAMPLE_CHARACTERS_MAX);
    const metrics_ms = this.metrics.map((one) => Math.max(one.from_ms, one.stage.openWindowStart_ms ?? this.time_ms));
    const note = formatStageNote({ sample, metrics_ms });
    this.committed_ms = this.parts.clock.now_ms();
    if (offset === this.committed && note === this.committedNote) return;
    if (sampler !== undefined && sampler.metrics.noteOverflow > overflow)
      this.parts.log.warn(
        { partition: this.partition, offset },
        'the commit note does not hold all long-lived traces: after a crash some of their decisions may differ',
      );
    await this.parts.commit(this.partition, offset, note);
    this.committed = offset;
    this.committedNote = note;
  }
}
