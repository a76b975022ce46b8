import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { keyOf, numberIn, offsetOf, sqliteError } from './embedded-schema.ts';
import type { Usage } from './embedded-writer.ts';
import type { LogRecord, RecordHeaders } from './topic.ts';

/**
 * Reads records by offset and by time, over a connection of its own: reads do not wait for the writer, nor the writer for them.
 * Synchronous, in the main thread: 2–3 GB/s from the page cache, so 1 MiB takes under a millisecond; a record is copied
 * once, from SQLite's page into a buffer that is the reader's own.
 */
export class RecordReads {
  private readonly file: string;
  private readonly db: DatabaseSync;
  private readonly select: StatementSync;
  private readonly timeFrom: StatementSync;

  constructor(db: DatabaseSync, file: string) {
    this.db = db;
    this.file = file;
    this.select = db.prepare(
      'SELECT key, time_ms, codec, items, raw_bytes, sequence, part, value FROM record WHERE key >= ? AND key < ? ORDER BY key',
    );
    this.timeFrom = db.prepare('SELECT time_ms FROM record WHERE key >= ? AND key < ? ORDER BY key LIMIT 1');
  }

  /** Records of [from, end), at least one where there is one, until their values reach `bytesMax`. @throws OperatorError */
  records(partitionId: number, from: number, end: number, bytesMax: number): LogRecord[] {
    return this.told(() => {
      const records: LogRecord[] = [];
      let bytes = 0;
      for (const row of this.select.iterate(keyOf(partitionId, from), keyOf(partitionId, end))) {
        const value = row['value'];
        if (!(value instanceof Uint8Array)) throw new Error("the log's column value is not a blob");
        records.push({
          offset: offsetOf(numberIn(row, 'key')),
          time_ms: numberIn(row, 'time_ms'),
          value: Buffer.from(value.buffer, value.byteOffset, value.byteLength),
          headers: headersIn(row),
        });
        bytes += value.byteLength;
        if (bytes >= bytesMax) break;
      }
      return records;
    });
  }

  /** Append time of the first kept record of [offset, end). @throws OperatorError */
  timeAt(partitionId: number, offset: number, end: number): number | undefined {
    return this.told(() => {
      const row = this.timeFrom.get(keyOf(partitionId, offset), keyOf(partitionId, end));
      return row === undefined ? undefined : numberIn(row, 'time_ms');
    });
  }

  /** The first offset of [first, end) whose append time is ≥ `time_ms`; `end` where there is none. Times never fall within a partition, so halving finds it. */
  seek(partitionId: number, first: number, end: number, time_ms: number): number {
    let low = first;
    let high = end;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const found_ms = this.timeAt(partitionId, middle, end);
      if (found_ms !== undefined && found_ms < time_ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  usage(): Usage {
    const pages = numberIn(this.db.prepare('PRAGMA page_count').get(), 'page_count');
    const free = numberIn(this.db.prepare('PRAGMA freelist_count').get(), 'freelist_count');
    const page_bytes = numberIn(this.db.prepare('PRAGMA page_size').get(), 'page_size');
    return { used_bytes: (pages - free) * page_bytes, file_bytes: pages * page_bytes };
  }

  close(): void {
    this.db.close();
  }

  private told<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw sqliteError(error, this.file);
    }
  }
}

function headersIn(row: Record<string, unknown>): RecordHeaders {
  const sequence = row['sequence'];
  const part = row['part'];
  return {
    format: 1,
    codec: row['codec'] === 1 ? 'zstd' : 'none',
    items: numberIn(row, 'items'),
    raw_bytes: numberIn(row, 'raw_bytes'),
    ...(typeof sequence === 'number' ? { sequence } : {}),
    ...(typeof part === 'number' ? { part } : {}),
  };
}
