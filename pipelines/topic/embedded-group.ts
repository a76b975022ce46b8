import type { CommittedRow } from './embedded-schema.ts';
import type { RecordHeaders } from './topic.ts';

/** What becomes durable together, in one transaction, as it crosses to the writer's thread. */
export interface RecordGroup {
  /** Append time of every record of the group. */
  readonly time_ms: number;
  readonly records: number;
  /** META_COLUMNS numbers a record: partition id, codec (0 none, 1 zstd), items, raw bytes, sequence, part (NaN = absent), value bytes. */
  readonly meta: Float64Array<ArrayBuffer>;
  /** The values, one after the other; may be longer than they are. */
  readonly values: ArrayBuffer;
  readonly commits: readonly CommittedRow[];
  /** Where given: from now on, also after a crash, no record gets a time below it. */
  readonly floor_ms: number | undefined;
}

export const META_COLUMNS = 7;

export interface GroupItem {
  readonly partition: { readonly id: number };
  readonly value: Buffer;
  readonly headers: RecordHeaders;
}

/** Copies the values into `values`, and returns the rest of their rows. */
export function packRecords(items: readonly GroupItem[], values: ArrayBuffer): Float64Array<ArrayBuffer> {
  const to = Buffer.from(values);
  const meta = new Float64Array(items.length * META_COLUMNS);
  let at = 0;
  let column = 0;
  for (const { partition, value, headers } of items) {
    value.copy(to, at);
    at += value.length;
    meta[column++] = partition.id;
    meta[column++] = headers.codec === 'zstd' ? 1 : 0;
    meta[column++] = headers.items;
    meta[column++] = headers.raw_bytes;
    meta[column++] = headers.sequence ?? Number.NaN;
    meta[column++] = headers.part ?? Number.NaN;
    meta[column++] = value.length;
  }
  return meta;
}
