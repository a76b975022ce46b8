import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../pipelines/base/clock.ts';
import { StageCounters } from '../pipelines/base/counters.ts';
import { Busy, Reject } from '../pipelines/base/errors.ts';
import type { Log } from '../pipelines/base/log.ts';
import type { EncodedBlock } from '../pipelines/encode/block.ts';
import { createEncoder, type BlockEncoder } from '../pipelines/encode/encoder.ts';
import type { Signal } from '../pipelines/otlp/walk.ts';
import type { Store } from '../pipelines/store/client.ts';
import { insertBlock } from '../pipelines/store/insert.ts';
import { decompress } from '../pipelines/topic/record.ts';
import type { Committed, LogRecord, StartAt } from '../pipelines/topic/topic.ts';
import type { Outage } from './write-outage.ts';
import { formatNote, parseNote, type WriteNote } from './write-note.ts';
import type { WriteSettings } from './write.ts';

export interface WriterParts {
  readonly settings: WriteSettings;
  readonly store: Store;
  readonly log: Log;
  readonly clock: Clock;
  readonly outage: Outage;
  /** Aborted: waiting for ClickHouse is over, what is not stored stays in the log. */
  readonly stop: AbortSignal;
  commit(topic: string, partition: number, offset: number, note: string): Promise<void>;
}

/**
 * One partition into ClickHouse, batch by batch, each row once:
 *
 *   commit(start, note {end, last})      the batch [start, end) is under way
 *   insert each block, token = topic:partition:start:end:time:table:day, time = append time of the first record
 *   commit(end, note {last})             it is stored
 *
 * A crash anywhere in between: the note says which batch was under way, the same records make the same blocks with the same
 * tokens, and ClickHouse drops those that it has. `last` is the (sequence, part) of the last record taken before the batch,
 * for the records that the stage before appended again after its own crash. The time is in the token because offsets begin
 * at 0 again when a topic is made anew, and ClickHouse must not take new rows for old ones.
 */
export class PartitionWriter {
  private readonly parts: WriterParts;
  private readonly topic: string;
  private readonly partition: number;
  private readonly encoder: BlockEncoder;
  private readonly counters: StageCounters;
  /** The batch is [start, next). */
  private start = 0;
  private next = 0;
  /** Where the batch must end, when it was under way at a crash. */
  private fixedEnd: number | undefined;
  private lastBefore: WriteNote['last'];
  private last: WriteNote['last'];
  private rawBytes = 0;
  private first_ms: number | undefined;
  /** Append time of the batch's first record. */
  private time_ms: number | undefined;
  private readonly seen = { in: 0, dropped: new Map<string, number>() };
  /** The wait for ClickHouse was given up: nothing more is taken. */
  private givenUp = false;

  constructor(parts: WriterParts, at: { topic: string; partition: number; signal: Signal }, counters: StageCounters) {
    this.parts = parts;
    this.topic = at.topic;
    this.partition = at.partition;
    this.encoder = createEncoder(at.signal);
    this.counters = counters;
  }

  static counters(topic: string): StageCounters {
    return new StageCounters(`write.${topic}`);
  }

  begin(committed: Committed | undefined): StartAt {
    const note = committed === undefined ? undefined : parseNote(committed.note);
    this.start = this.next = committed?.offset ?? 0;
    this.fixedEnd = note?.end;
    this.last = this.lastBefore = note?.last;
    return { offset: this.start };
  }

  async records(records: readonly LogRecord[]): Promise<void> {
    for (const record of records) {
      if (this.givenUp) return;
      // Only where retention took records of the batch that was under way.
      if (this.fixedEnd !== undefined && record.offset >= this.fixedEnd) await this.flush();
      await this.take(record);
      if (this.isFull()) await this.flush();
    }
    // With a steady trickle `idle` is never called.
    if (this.isDue()) await this.flush();
  }

  async idle(): Promise<void> {
    if (!this.givenUp && this.isDue()) await this.flush();
  }

  /** The partition goes: what was read is stored, or taken back. */
  async end(): Promise<void> {
    if (!this.givenUp) await this.flush();
  }

  private isFull(): boolean {
    if (this.fixedEnd !== undefined) return this.next >= this.fixedEnd;
    const { batch_rows_max, batch_bytes_max } = this.parts.settings;
    return this.encoder.rows >= batch_rows_max || this.rawBytes >= batch_bytes_max || this.encoder.bytes >= batch_bytes_max;
  }

  private isDue(): boolean {
    if (this.fixedEnd !== undefined || this.first_ms === undefined) return false;
    return this.parts.clock.now_ms() - this.first_ms >= this.parts.settings.batchWait_ms;
  }

  private async take(record: LogRecord): Promise<void> {
    const { headers } = record;
    this.first_ms ??= this.parts.clock.now_ms();
    this.time_ms ??= record.time_ms;
    this.next = record.offset + 1;
    if (headers.sequence !== undefined) {
      const part = headers.part ?? 0;
      if (this.last !== undefined && (headers.sequence < this.last[0] || (headers.sequence === this.last[0] && part <= this.last[1]))) {
        this.counters.in += headers.items;
        this.counters.drop('repeat', headers.items);
        return;
      }
      this.last = [headers.sequence, part];
    }
    try {
      const value = decompress(record);
      this.rawBytes += value.length;
      this.encoder.add(value);
    } catch (error) {
      if (!(error instanceof Reject)) throw error;
      await this.refuseRecord(record, error);
    }
    this.count();
  }

  /** What the encoder counted since the last time. Its unit is rows: an item of a metric may become several, in several tables. */
  private count(): void {
    const { rowCounters } = this.encoder;
    const came = rowCounters.in - this.seen.in;
    this.seen.in = rowCounters.in;
    this.counters.in += came;
    this.counters.held += came;
    for (const [reason, rows] of rowCounters.dropped) {
      const dropped = rows - (this.seen.dropped.get(reason) ?? 0);
      this.seen.dropped.set(reason, rows);
      this.counters.held -= dropped;
      this.counters.drop(reason, dropped);
    }
  }

  private async flush(): Promise<void> {
    const { start, next, topic, partition } = this;
    if (next > start) {
      const blocks: EncodedBlock[] = [];
      this.encoder.finish((block) => blocks.push(block));
      if (blocks.length > 0) {
        await this.parts.commit(topic, partition, start, formatNote({ end: next, last: this.lastBefore }));
        for (const block of blocks) if (!(await this.store(block))) return this.giveUp();
      }
      await this.parts.commit(topic, partition, next, formatNote({ end: undefined, last: this.last }));
    }
    this.start = next;
    this.lastBefore = this.last;
    this.fixedEnd = undefined;
    this.rawBytes = 0;
    this.first_ms = undefined;
    this.time_ms = undefined;
  }

  /** Until it is stored or refused. False: the wait was given up. */
  private async store(block: EncodedBlock): Promise<boolean> {
    const { settings, store, clock, outage, stop } = this.parts;
    const token = `${this.topic}:${this.partition}:${this.start}:${this.next}:${this.time_ms}:${block.table}:${block.day}`;
    const longest_ms = settings.retryDelay_ms[1];
    let delay_ms = settings.retryDelay_ms[0];
    for (;;) {
      try {
        await insertBlock(store, block, token, stop);
        outage.ended();
        this.counters.held -= block.rows;
        this.counters.out += block.rows;
        return true;
      } catch (error) {
        if (error instanceof Reject) {
          await this.refuseBlock(block, error);
          return true;
        }
        if (!(error instanceof Busy)) throw error;
        if (stop.aborted) return false;
        outage.began(error.reason, error.message);
      }
      await clock.sleep(delay_ms, stop);
      if (stop.aborted) return false;
      delay_ms = Math.min(delay_ms * 2, longest_ms);
    }
  }

  private giveUp(): void {
    this.givenUp = true;
    this.parts.log.warn(
      { topic: this.topic, partition: this.partition, offset: this.start },
      'stopped before ClickHouse took this batch: it is read again at the next start',
    );
    // Not this process's any more: the log has it.
    this.counters.in -= this.counters.held;
    this.counters.held = 0;
  }

  /** ClickHouse will never take it. The name is the token's, so that a replay writes the same file again. */
  private async refuseBlock(block: EncodedBlock, error: Reject): Promise<void> {
    const { settings, log } = this.parts;
    const name = `${this.topic}-${this.partition}-${this.start}-${this.next}-${block.table}-${block.day}`;
    const about = { table: block.table, columns: block.columns, rows: block.rows, reason: error.reason, message: error.message };
    await writeFile(join(settings.refusedDirectory, `${name}.native`), block.native);
    await writeFile(join(settings.refusedDirectory, `${name}.json`), `${JSON.stringify(about)}\n`);
    this.counters.held -= block.rows;
    this.counters.drop('refused', block.rows);
    log.error(
      { file: `${name}.native`, rows: block.rows, reason: error.reason, message: error.message },
      'ClickHouse refuses this block; it is kept as a file',
    );
  }

  private async refuseRecord(record: LogRecord, error: Reject): Promise<void> {
    const { settings, log } = this.parts;
    const name = `${this.topic}-${this.partition}-${record.offset}.${record.headers.codec === 'zstd' ? 'otlp.zst' : 'otlp'}`;
    await writeFile(join(settings.refusedDirectory, name), record.value);
    this.counters.in += record.headers.items;
    this.counters.drop('malformed_record', record.headers.items);
    log.error(
      { file: name, items: record.headers.items, message: error.message },
      'a record of the log cannot be read; it is kept as a file',
    );
  }
}
