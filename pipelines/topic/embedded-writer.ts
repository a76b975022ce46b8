import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { META_COLUMNS, type RecordGroup } from './embedded-group.ts';
import { keyOf, numberIn, offsetOf, openForWriting } from './embedded-schema.ts';

/** Everything that one partition's readers still need, as committed. */
export interface RetentionRule {
  readonly partitionId: number;
  readonly readers: readonly { readonly offset: number; readonly keepBehind_ms: number }[];
}

export interface Retained {
  /** Partition id → oldest offset kept, of the partitions that lost records. */
  readonly first: readonly (readonly [number, number])[];
  readonly removed: number;
  /** The step's limit was reached: there is more to remove or to give back to the disk. */
  readonly more: boolean;
}

export interface Usage {
  /** Bytes of pages that hold something. */
  readonly used_bytes: number;
  /** Bytes of the file; the write-ahead log beside it adds some 20 MB. */
  readonly file_bytes: number;
}

// A checkpoint copies pages from the write-ahead log into the file: seldom enough to copy hot pages once, often enough to stay short.
const CHECKPOINT_BYTES = 16 * 2 ** 20;
// Beyond this the log is made to start again from its beginning, waiting for readers: otherwise it could grow for ever under steady reading.
const WAL_BYTES_MAX = 128 * 2 ** 20;
const RETAIN_STEP_BYTES = 8 * 2 ** 20;
const RETAIN_STEP_RECORDS = 1000;
// Free pages are used again by the next appends; only when most of the file is free does it shrink.
const SHRINK_FREE_BYTES_MIN = 64 * 2 ** 20;
const SHRINK_STEP_PAGES = 256;

/** The only writer of the file. Synchronous: it lives in a thread of its own (embedded-thread.ts), so that fsync keeps nobody else waiting. */
export class LogWriter {
  private readonly db: DatabaseSync;
  private readonly next: Map<number, number>;
  private readonly insert: StatementSync;
  private readonly commit: StatementSync;
  private readonly raiseFloor: StatementSync;
  private readonly timeFrom: StatementSync;
  private readonly sizes: StatementSync;
  private readonly remove: StatementSync;
  private readonly saveNext: StatementSync;
  private readonly pages: StatementSync;
  private readonly freePages: StatementSync;
  private readonly page_bytes: number;
  private unchecked_bytes = 0;

  /** @param next partition id → the next offset */
  constructor(file: string, next: ReadonlyMap<number, number>) {
    this.db = openForWriting(file);
    this.next = new Map(next);
    this.insert = this.db.prepare(
      'INSERT INTO record (key, time_ms, format, codec, items, raw_bytes, sequence, part, value) VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?)',
    );
    this.commit = this.db.prepare(
      'INSERT OR REPLACE INTO committed (consumer_group, partition_id, offset, note, keep_behind_ms) VALUES (?, ?, ?, ?, ?)',
    );
    this.raiseFloor = this.db.prepare(
      "INSERT INTO meta (name, value) VALUES ('floor_ms', ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
    );
    this.timeFrom = this.db.prepare('SELECT time_ms FROM record WHERE key >= ? AND key < ? ORDER BY key LIMIT 1');
    this.sizes = this.db.prepare('SELECT key, time_ms, length(value) AS bytes FROM record WHERE key >= ? AND key < ? ORDER BY key');
    this.remove = this.db.prepare('DELETE FROM record WHERE key >= ? AND key <= ?');
    this.saveNext = this.db.prepare('UPDATE partition SET next_offset = ? WHERE id = ?');
    this.pages = this.db.prepare('PRAGMA page_count');
    this.freePages = this.db.prepare('PRAGMA freelist_count');
    this.page_bytes = numberIn(this.db.prepare('PRAGMA page_size').get(), 'page_size');
  }

  /** Returns each record's offset once the group is durable. On an error nothing of the group is stored and no offset is used. */
  write(group: RecordGroup): Float64Array<ArrayBuffer> {
    const offsets = new Float64Array(group.records);
    const next = new Map<number, number>();
    let at = 0;
    this.transaction(() => {
      for (let record = 0; record < group.records; record++) {
        const column = record * META_COLUMNS;
        const meta = group.meta;
        const partitionId = meta[column]!;
        const sequence = meta[column + 4]!;
        const part = meta[column + 5]!;
        const bytes = meta[column + 6]!;
        const offset = next.get(partitionId) ?? this.nextOf(partitionId);
        this.insert.run(
          keyOf(partitionId, offset),
          group.time_ms,
          meta[column + 1]!,
          meta[column + 2]!,
          meta[column + 3]!,
          Number.isNaN(sequence) ? null : sequence,
          Number.isNaN(part) ? null : part,
          new Uint8Array(group.values, at, bytes),
        );
        at += bytes;
        offsets[record] = offset;
        next.set(partitionId, offset + 1);
      }
      for (const row of group.commits) this.commit.run(row.group, row.partitionId, row.offset, row.note, row.keepBehind_ms);
      if (group.floor_ms !== undefined) this.raiseFloor.run(group.floor_ms);
    });
    for (const [partitionId, offset] of next) this.next.set(partitionId, offset);
    this.unchecked_bytes += at + (group.records + 4) * this.page_bytes;
    return offsets;
  }

  /**
   * One small step of retention. A record goes when every reader has committed past it, when it is older than every reader's
   * committed record by more than that reader's `keepBehind_ms`, and older than `now_ms − retention_ms`.
   * @param now_ms a lower bound of the time of every record still to come; made durable with the removal, because a
   *   reader that has read to the end is measured from it
   */
  retain(rules: readonly RetentionRule[], now_ms: number, retention_ms: number): Retained {
    const first: [number, number][] = [];
    let removed = 0;
    let bytes = 0;
    let more = false;
    for (const rule of rules) {
      const base = keyOf(rule.partitionId, 0);
      let limit = this.nextOf(rule.partitionId);
      let cutoff_ms = now_ms - retention_ms;
      for (const reader of rule.readers) {
        limit = Math.min(limit, reader.offset);
        const row = this.timeFrom.get(base + Math.max(reader.offset, 0), keyOf(rule.partitionId + 1, 0));
        cutoff_ms = Math.min(cutoff_ms, (row === undefined ? now_ms : numberIn(row, 'time_ms')) - reader.keepBehind_ms);
      }
      if (limit <= 0) continue;
      let last = -1;
      for (const row of this.sizes.iterate(base, base + limit)) {
        if (numberIn(row, 'time_ms') >= cutoff_ms) break;
        if (bytes >= RETAIN_STEP_BYTES || removed >= RETAIN_STEP_RECORDS) {
          more = true;
          break;
        }
        last = numberIn(row, 'key');
        bytes += numberIn(row, 'bytes');
        removed++;
      }
      if (last < 0) continue;
      this.transaction(() => {
        this.remove.run(base, last);
        this.saveNext.run(this.nextOf(rule.partitionId), rule.partitionId);
        this.raiseFloor.run(now_ms);
      });
      this.unchecked_bytes += 8 * this.page_bytes;
      first.push([rule.partitionId, offsetOf(last) + 1]);
      if (more) break;
    }
    return { first, removed, more: more || this.shrink() };
  }

  usage(): Usage {
    const pages = numberIn(this.pages.get(), 'page_count');
    const free = numberIn(this.freePages.get(), 'freelist_count');
    return { used_bytes: (pages - free) * this.page_bytes, file_bytes: pages * this.page_bytes };
  }

  /** Copies the write-ahead log into the file where enough has gathered. Called after the answer is out. */
  checkpoint(): void {
    if (this.unchecked_bytes < CHECKPOINT_BYTES) return;
    this.unchecked_bytes = 0;
    const row = this.db.prepare('PRAGMA wal_checkpoint(PASSIVE)').get();
    if (numberIn(row, 'log') * this.page_bytes > WAL_BYTES_MAX) this.db.exec('PRAGMA wal_checkpoint(RESTART)');
  }

  /** @param floor_ms the last time that was given out or promised: takes back what was only reserved */
  close(floor_ms: number): void {
    this.transaction(() => this.db.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES ('floor_ms', ?)").run(floor_ms));
    this.db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    this.db.close();
  }

  /** Gives free pages at the file's end back to the disk, some at a time; true while there are more to give. */
  private shrink(): boolean {
    const { used_bytes, file_bytes } = this.usage();
    const free_bytes = file_bytes - used_bytes;
    if (free_bytes < SHRINK_FREE_BYTES_MIN || free_bytes < file_bytes / 2) return false;
    // One row a freed page: the statement must be run to its end.
    this.db.prepare(`PRAGMA incremental_vacuum(${SHRINK_STEP_PAGES})`).all();
    this.unchecked_bytes += SHRINK_STEP_PAGES * this.page_bytes;
    return true;
  }

  private nextOf(partitionId: number): number {
    const next = this.next.get(partitionId);
    if (next === undefined) throw new Error(`partition id ${partitionId} is not open`);
    return next;
  }

  private transaction(work: () => void): void {
    this.db.exec('BEGIN IMMEDIATE');
    try {
      work();
      this.db.exec('COMMIT');
    } catch (error) {
      if (this.db.isTransaction) this.db.exec('ROLLBACK');
      throw error;
    }
  }
}
