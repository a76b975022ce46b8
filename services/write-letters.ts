import type { Reject } from '../pipelines/base/errors.ts';
import type { Signal } from '../pipelines/otlp/walk.ts';
import type { DeadLetter } from '../pipelines/topic/dead-letter.ts';
import type { LogRecord } from '../pipelines/topic/topic.ts';
import type { Refused } from './write-note.ts';
import type { BatchRows } from './write-rows.ts';

export interface LetterSource {
  /** The consumer group that refuses. */
  readonly stage: string;
  readonly signal: Signal;
  readonly topic: string;
  readonly partition: number;
}

const NO_ID = Buffer.alloc(0);

/** A record that cannot be read, as it is. */
export function letterOfRecord(source: LetterSource, record: LogRecord, error: Reject): DeadLetter {
  const { codec, raw_bytes, items } = record.headers;
  return {
    ...source,
    offset: record.offset,
    time_ms: record.time_ms,
    item: 0,
    items,
    table: '',
    reason: 'malformed_record',
    message: error.message,
    traceId: NO_ID,
    spanId: NO_ID,
    codec,
    // Headers of a damaged record may say anything.
    raw_bytes: Number.isSafeInteger(raw_bytes) && raw_bytes >= 0 ? raw_bytes : 0,
    data: record.value,
  };
}

/** Rows that ClickHouse refuses. `records` are those that `rows` were made from. */
export function letterOfRows(
  source: LetterSource,
  records: readonly LogRecord[],
  rows: BatchRows,
  group: BatchRows['rows'],
  table: string,
  refused: Refused,
): DeadLetter {
  const first = group[0]!;
  const record = records[first.head.record]!;
  const data = rows.otlp(group);
  return {
    ...source,
    offset: record.offset,
    time_ms: record.time_ms,
    item: first.index,
    items: group.length,
    table,
    reason: refused[0],
    message: refused[1],
    ...rows.ids(first),
    codec: 'none',
    raw_bytes: data.length,
    data,
  };
}
