import type { Clock } from '../pipelines/base/clock.ts';
import { StageCounters } from '../pipelines/base/counters.ts';
import { Reject } from '../pipelines/base/errors.ts';
import type { Log } from '../pipelines/base/log.ts';
import type { EncodedBlock } from '../pipelines/encode/block.ts';
import { createEncoder, type BlockEncoder } from '../pipelines/encode/encoder.ts';
import type { Signal } from '../pipelines/otlp/walk.ts';
import type { Store } from '../pipelines/store/client.ts';
import { decompress } from '../pipelines/topic/record.ts';
import type { DeadLetter } from '../pipelines/topic/dead-letter.ts';
import type { Committed, LogRecord, StartAt } from '../pipelines/topic/topic.ts';
import type { DeadOutlet } from './dead-outlet.ts';
import { Bisection, type BisectStart } from './write-bisect.ts';
import { RowCounts } from './write-counts.ts';
import { insertUntil, type Inserted } from './write-insert.ts';
import { formatNote, parseNote, type Refused, type WriteNote } from './write-note.ts';
import type { Outage } from './write-outage.ts';
import { letterOfRecord, letterOfRows, type LetterSource } from './write-letters.ts';
import { BatchRows } from './write-rows.ts';
import type { WriteSettings } from './write-settings.ts';

export interface WriterParts {
  readonly settings: WriteSettings;
  readonly store: Store;
  readonly log: Log;
  readonly clock: Clock;
  readonly outage: Outage;
  readonly dead: DeadOutlet;
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
 *
 * A block that is refused for good is halved (write-bisect.ts): the good rows are stored, the others become dead letters.
 */
export class PartitionWriter {
  private readonly parts: WriterParts;
  private readonly source: LetterSource;
  private readonly topic: string;
  private readonly partition: number;
  private readonly encoder: BlockEncoder;
  private readonly counts: RowCounts;
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
  /** The records that the encoder took, for a block that is refused; the log's buffers, no more than `batch_bytes_max`. */
  private taken: LogRecord[] = [];
  /** Letters of records that cannot be read. */
  private unreadable: DeadLetter[] = [];
  /** Where the halving of a refused block was at a crash. */
  private halving: (BisectStart & { readonly table: string; readonly day: number }) | undefined;
  /** The wait for ClickHouse was given up: nothing more is taken. */
  private givenUp = false;

  constructor(parts: WriterParts, at: { topic: string; partition: number; signal: Signal }, counters: StageCounters) {
    this.parts = parts;
    this.source = { stage: parts.settings.group, ...at };
    this.topic = at.topic;
    this.partition = at.partition;
    this.encoder = createEncoder(at.signal);
    this.counts = new RowCounts(counters, this.encoder.rowCounters);
  }

  static counters(topic: string): StageCounters {
    return new StageCounters(`write.${topic}`);
  }

  begin(committed: Committed | undefined): StartAt {
    const note = committed === undefined ? undefined : parseNote(committed.note);
    this.start = this.next = committed?.offset ?? 0;
    this.fixedEnd = note?.end;
    this.last = this.lastBefore = note?.last;
    if (note?.at !== undefined) {
      const [table, day, from, to] = note.at;
      this.halving = { table, day, from, to, refused: note.refused };
    }
    return { offset: this.start };
  }

  async records(records: readonly LogRecord[]): Promise<void> {
    for (const record of records) {
      if (this.givenUp) return;
      // Only where retention took records of the batch that was under way.
      if (this.fixedEnd !== undefined && record.offset >= this.fixedEnd) await this.flush();
      this.take(record);
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
    if (this.givenUp) return;
    // A part of a batch that was under way would have another token, and its rows be stored again.
    if (this.fixedEnd !== undefined) this.counts.takeBack();
    else await this.flush();
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

  private take(record: LogRecord): void {
    const { headers } = record;
    this.first_ms ??= this.parts.clock.now_ms();
    // Retention took the first records of the batch: its rows have other numbers now.
    if (this.halving !== undefined && this.time_ms === undefined && record.offset !== this.start)
      this.halving = { ...this.halving, table: '' };
    this.time_ms ??= record.time_ms;
    this.next = record.offset + 1;
    if (headers.sequence !== undefined) {
      const part = headers.part ?? 0;
      if (this.last !== undefined && (headers.sequence < this.last[0] || (headers.sequence === this.last[0] && part <= this.last[1]))) {
        this.counts.repeat(headers.items);
        return;
      }
      this.last = [headers.sequence, part];
    }
    try {
      const value = decompress(record);
      this.rawBytes += value.length;
      this.encoder.add(value);
      this.taken.push(record);
    } catch (error) {
      if (!(error instanceof Reject)) throw error;
      this.rawBytes += record.value.length;
      this.counts.came(headers.items);
      this.unreadable.push(letterOfRecord(this.source, record, error));
    }
    this.counts.encoded();
  }

  private async flush(): Promise<void> {
    const { start, next } = this;
    if (next > start) {
      const blocks: EncodedBlock[] = [];
      this.encoder.finish((block) => blocks.push(block));
      if (blocks.length > 0 || this.unreadable.length > 0) {
        // The note of a block that is being halved says more, and must stand until its insert is repeated.
        if (this.halving === undefined) await this.note({});
        if (!(await this.buryUnreadable()) || !(await this.storeAll(blocks))) return this.giveUp();
      }
      await this.parts.commit(this.topic, this.partition, next, formatNote({ end: undefined, last: this.last }));
    }
    this.start = next;
    this.lastBefore = this.last;
    this.fixedEnd = undefined;
    this.rawBytes = 0;
    this.first_ms = undefined;
    this.time_ms = undefined;
    this.taken = [];
    this.unreadable = [];
  }

  private note(more: Pick<WriteNote, 'at' | 'refused'>): Promise<void> {
    const { topic, partition, start, next } = this;
    return this.parts.commit(topic, partition, start, formatNote({ end: next, last: this.lastBefore, ...more }));
  }

  /** A repeat after a crash has the same key (topic/dead-letter.ts). */
  private async buryUnreadable(): Promise<boolean> {
    const { dead, log, stop } = this.parts;
    for (const letter of this.unreadable) {
      if (!(await dead.appendUntil(letter, stop))) return false;
      this.counts.settle(letter.items, letter.items);
      log.warn(
        { topic: this.topic, offset: letter.offset, items: letter.items, message: letter.message },
        'a record of the log cannot be read: it is a dead letter',
      );
    }
    return true;
  }

  /** False: the wait was given up. */
  private async storeAll(blocks: readonly EncodedBlock[]): Promise<boolean> {
    const { halving } = this;
    this.halving = undefined;
    const resumed = halving === undefined ? -1 : blocks.findIndex(({ table, day }) => table === halving.table && day === halving.day);
    if (halving !== undefined && resumed < 0)
      this.parts.log.warn({ topic: this.topic, ...halving }, 'the batch is not the one that was being halved: rows may be stored twice');
    for (const [index, block] of blocks.entries()) {
      if (index < resumed) this.counts.settle(block.rows, 0);
      else if (index === resumed) {
        if (!(await this.bisect(block, halving!))) return false;
      } else {
        const inserted = await this.insert(block, '');
        if (inserted === 'given up') return false;
        if (inserted === undefined) this.counts.settle(block.rows, 0);
        else if (!(await this.bisect(block, { rows: block.rows, refused: [inserted.reason, inserted.message] }))) return false;
      }
    }
    return true;
  }

  private insert(block: EncodedBlock, range: string): Promise<Inserted> {
    const batch = `${this.topic}:${this.partition}:${this.start}:${this.next}:${this.time_ms}`;
    const token = `${batch}:${block.table}:${block.day}${range === '' ? '' : `:${range}`}`;
    return insertUntil({ ...this.parts, retryDelay_ms: this.parts.settings.retryDelay_ms }, block, token);
  }

  /** The rows of a refused block, one by one where need be. False: given up. */
  private async bisect(block: EncodedBlock, from: BisectStart | { readonly rows: number; readonly refused: Refused }): Promise<boolean> {
    const { log, dead, stop, settings } = this.parts;
    const { table, day } = block;
    log.warn(
      { topic: this.topic, table, rows: block.rows, offset: this.start, refused: from.refused },
      'ClickHouse refuses a block: looking for the rows at fault',
    );
    const records = this.taken;
    const rows = new BatchRows(
      this.source.signal,
      records.map((record) => decompress(record)),
    );
    const bisection = new Bisection({
      rows,
      table,
      day,
      refusals_max: settings.refusals_max,
      insert: (half, range) => this.insert(half, range),
      note: (at, refused) => this.note({ at, refused }),
      dead: (group, refused) => dead.appendUntil(letterOfRows(this.source, records, rows, group, table, refused), stop),
    });
    if (!(await bisection.run(from))) return false;
    this.counts.settle(block.rows, bisection.deadRows);
    log.warn({ topic: this.topic, table, rows: bisection.deadRows }, 'the rows at fault are dead letters: see tailrace dead list');
    return true;
  }

  private giveUp(): void {
    this.givenUp = true;
    this.parts.log.warn(
      { topic: this.topic, partition: this.partition, offset: this.start },
      'stopped before ClickHouse took this batch: it is read again at the next start',
    );
    this.counts.takeBack();
  }
}
