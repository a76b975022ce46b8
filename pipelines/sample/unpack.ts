import { zstdDecompressSync } from 'node:zlib';

/** What the sampler needs of a log record (topic/topic.ts, LogRecord). */
export interface SourceRecord {
  readonly offset: number;
  /** Append time, ms since 1970; never goes back within a partition. */
  readonly time_ms: number;
  /** Stays valid as long as it is held. */
  readonly value: Buffer;
  readonly headers: { readonly codec: 'none' | 'zstd'; readonly items: number; readonly raw_bytes: number };
}

/**
 * The record's TracesData bytes; undefined where the value is not the zstd frame that the header says, which ingest never writes: such a
 * record must not stop its partition for ever. One synchronous call, pure and about 1.5 GB/s; it makes one Buffer a record.
 */
export function unpack(record: SourceRecord): Buffer | undefined {
  if (record.headers.codec === 'none') return record.value;
  try {
    return zstdDecompressSync(record.value, { maxOutputLength: Math.max(1, record.headers.raw_bytes) });
  } catch {
    return undefined;
  }
}
