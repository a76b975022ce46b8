/** What the sampler needs of a log record (topic/topic.ts, LogRecord). */
export interface SourceRecord {
  readonly offset: number;
  /** Append time, ms since 1970; never goes back within a partition. */
  readonly time_ms: number;
  /** Stays valid as long as it is held. */
  readonly value: Buffer;
  readonly headers: { readonly format: 1; readonly codec: 'none' | 'zstd'; readonly items: number; readonly raw_bytes: number };
}

/** The record's TracesData bytes, pure and synchronous: it is called once when the record comes and once more when something of it is kept. @throws Reject where the value is damaged */
export type Unpack = (record: SourceRecord) => Buffer;
