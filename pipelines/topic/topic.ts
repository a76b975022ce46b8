/**
 * The log between the stages, as every stage sees it. Two forms: `embedded.ts` (SQLite, one process) and later `kafka.ts`.
 * A topic has a fixed number of partitions; a record has an offset (0, 1, 2 … within its partition) and an append
 * time that the log gives it and that never goes back within a partition. Time behind the log is that time.
 */

/** `none`: the value is OTLP protobuf as it is. `zstd`: one zstd frame of it. */
export type Codec = 'none' | 'zstd';

/** Carried beside the value. `format` is the version of this table. */
export interface RecordHeaders {
  readonly format: 1;
  readonly codec: Codec;
  /** Spans, metrics or log records in the value. */
  readonly items: number;
  /** Bytes of the value before compression. */
  readonly raw_bytes: number;
  /**
   * What the record was made from: `sampled` carries the offset of the source record, `spanmetrics` the end of its window in ms.
   * A stage that replays after a crash appends the same records again; (sequence, part) only rises on a partition, so a
   * reader skips a record that is not above the last it has seen. Absent on `traces`, `metrics`, `logs`.
   */
  readonly sequence?: number;
  /** 0, 1, 2 … where one source record had to be cut into several to stay under the size limit. Absent = 0. */
  readonly part?: number;
}

export interface LogRecord {
  readonly offset: number;
  /** Append time, ms since 1970. */
  readonly time_ms: number;
  /** The reader's own: stays valid as long as it is held. */
  readonly value: Buffer;
  readonly headers: RecordHeaders;
}

/** Where a group stands on a partition: `offset` is the next record it needs; `note` (at most 4,000 characters) is its own. */
export interface Committed {
  readonly offset: number;
  readonly note: string;
}

/** Where to begin: at an offset, or at the first record whose append time is ≥ `time_ms` (the end of the log where there is none). */
export type StartAt = { readonly offset: number } | { readonly time_ms: number };

/** What a stage hands to a reader. Calls for one partition never overlap: the next waits for the promise of the last, which is the backpressure. A throw ends the reader: see `Reader.failed`. */
export interface Consumer {
  /**
   * The partition is now this reader's; it may commit from here on. `committed` is undefined for a group that never committed there.
   * `read` resolves when this has for every partition; records come after that. An offset below the oldest record kept begins at that record.
   */
  assigned(topic: string, partition: number, committed: Committed | undefined, log: PartitionView): Promise<StartAt>;
  /** In offset order, without gaps except where retention has removed records. At least one; bounded by bytes. */
  records(topic: string, partition: number, records: readonly LogRecord[]): Promise<void>;
  /**
   * Everything appended so far was delivered, and any later record will have append time ≥ `time_ms`, whatever the clock does
   * and also after a crash: what is decided by that time stays decided. Called at least every second while idle.
   */
  idle(topic: string, partition: number, time_ms: number): Promise<void>;
  /** The partition goes to another reader, or the reader stops. Commit before this resolves, or never. */
  revoked(topic: string, partition: number): Promise<void>;
}

export interface PartitionView {
  /** The next offset to be appended. */
  end(): Promise<number>;
  /** Append time of the first kept record at or after `offset`; undefined where there is none: any later record's is then ≥ that of the last before it. */
  timeAt(offset: number): Promise<number | undefined>;
}

export interface ReaderOptions {
  readonly group: string;
  readonly topics: readonly string[];
  /** Whole ms ≥ 0. Records behind the committed offset that the group may seek back over, by log time, counted from the record at that offset: retention spares them. */
  readonly keepBehind_ms: number;
  readonly consumer: Consumer;
}

export interface Reader {
  /** Durable when resolved. `offset` is the next record the group needs. */
  commit(topic: string, partition: number, offset: number, note: string): Promise<void>;
  /** Revokes every partition and resolves when no call is under way. */
  stop(): Promise<void>;
  /** Rejects when a consumer threw or the log broke: the process should end with that error. Never resolves. */
  readonly failed: Promise<never>;
}

export interface Topics {
  partitions(topic: string): number;
  /**
   * Resolves with the record's offset when it is durable. Appends to one partition keep the order of the calls. `value` must not change until then.
   * Rejects with Busy when the log cannot take more now: nothing of the record is stored. A record made from others (with a `sequence`) is
   * refused later than new data, because without it the log could not be read empty; its maker waits and appends it again.
   * Rejects with Reject('record_too_large') above the limit of a record.
   */
  append(topic: string, partition: number, value: Buffer, headers: RecordHeaders): Promise<number>;
  read(options: ReaderOptions): Promise<Reader>;
  /** Records that `group` has not committed yet, over all partitions of `topic`. For lag metrics. */
  lag(group: string, topic: string): Promise<number>;
  /** Resolves when every append is durable and the files are closed. Stop readers first. */
  close(): Promise<void>;
}
