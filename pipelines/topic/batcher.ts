import type { Clock } from '../base/clock.ts';
import { StageCounters } from '../base/counters.ts';
import { Busy, Reject } from '../base/errors.ts';
import { Cutter } from '../otlp/cut.ts';
import { Writer } from '../wire/writer.ts';
import { compress } from './record.ts';
import type { Codec, Topics } from './topic.ts';

export interface PartitionBatcherSettings {
  readonly topics: Topics;
  readonly topic: string;
  readonly codec: Codec;
  /** zstd level of `codec: zstd`. Default 1. */
  readonly level?: number;
  readonly clock: Clock;
  /** Bytes of OTLP, before compression, at which a batch becomes a record. Default 256 KiB. */
  readonly batch_bytes_max?: number;
  /** How long the first part of a batch waits for others. Default 5. */
  readonly linger_ms?: number;
  /** Bytes of OTLP taken and not yet durable, over all partitions; beyond, `add` rejects with Busy. Default 64 MiB. */
  readonly pending_bytes_max?: number;
  /** Bytes of OTLP of one record, before compression: a part above it is cut. Default 1 MiB. */
  readonly record_bytes_max?: number;
  /** Is told of each item that alone is larger than a record may be, as a Data message that is borrowed until the call returns. It was dropped and counted. */
  readonly oversize?: (partition: number, part: Buffer) => void;
}

interface Batch {
  readonly bytes: Writer;
  items: number;
  readonly done: PromiseWithResolvers<void>;
}

const BATCH_BYTES_MAX = 256 * 1024;
const RECORD_BYTES_MAX = 2 ** 20;
const PENDING_BYTES_MAX = 64 * 2 ** 20;
const BUSY_RETRY_MS = 200;

/**
 * Gathers parts of many requests into records: one batch a partition fills while earlier ones are being appended.
 * Two Data messages one after the other are a Data message (protobuf concatenates repeated fields), so a batch is its
 * parts, copied behind each other.
 * Counters, in items: in = taken, held = not yet durable, out = durable; dropped: `record_too_large`, and the reason with which an append failed.
 */
export class PartitionBatcher {
  readonly counters: StageCounters;
  /** Bytes of OTLP taken and not yet durable. */
  pending_bytes = 0;
  private readonly settings: PartitionBatcherSettings;
  private readonly batch_bytes_max: number;
  private readonly record_bytes_max: number;
  private readonly pending_bytes_max: number;
  private readonly filling: (Batch | undefined)[];
  private readonly flights = new Set<Promise<void>>();
  private readonly spare: Writer[] = [];
  private readonly cutter = new Cutter();
  private closed = false;

  constructor(settings: PartitionBatcherSettings) {
    this.settings = settings;
    this.counters = new StageCounters(`batch.${settings.topic}`);
    this.record_bytes_max = settings.record_bytes_max ?? RECORD_BYTES_MAX;
    this.batch_bytes_max = Math.min(settings.batch_bytes_max ?? BATCH_BYTES_MAX, this.record_bytes_max);
    this.pending_bytes_max = settings.pending_bytes_max ?? PENDING_BYTES_MAX;
    this.filling = Array.from({ length: settings.topics.partitions(settings.topic) }, () => undefined);
  }

  /**
   * Takes a Data message for a partition; it is copied before the call returns. Resolves when it is durable; parts of one batch share the promise.
   * Rejects with Busy (nothing was taken, or the log refused it), or with what else the log's append failed with.
   * @param items spans, log records or metrics in the part
   */
  add(partition: number, part: Buffer, items: number): Promise<void> {
    if (this.closed) return Promise.reject(new Busy('batcher_closed', `${this.settings.topic} takes no more`, 1000));
    if (part.length > this.pending_bytes_max - this.pending_bytes)
      return Promise.reject(new Busy('batcher_full', `${this.pending_bytes} bytes wait for the log`, BUSY_RETRY_MS));
    if (part.length > this.record_bytes_max) return this.addCut(partition, part);
    this.counters.in += items;
    return this.put(partition, part, items);
  }

  /** Sends what is there; resolves when all of it is durable or refused (whoever added it hears which). */
  async flush(): Promise<void> {
    for (let partition = 0; partition < this.filling.length; partition++) this.seal(partition);
    await Promise.all(this.flights);
  }

  /** Takes no more, and flushes. */
  async close(): Promise<void> {
    this.closed = true;
    await this.flush();
  }

  /** A part too large for one record becomes several, at the borders of items. */
  private addCut(partition: number, part: Buffer): Promise<void> {
    const pieces: Promise<void>[] = [];
    try {
      this.cutter.cut(part, this.record_bytes_max, {
        part: (piece, items) => {
          this.counters.in += items;
          pieces.push(this.put(partition, piece, items));
        },
        oversize: (piece) => {
          this.counters.in++;
          this.counters.drop('record_too_large', 1);
          this.settings.oversize?.(partition, piece);
        },
      });
    } catch (error) {
      pieces.push(Promise.reject(error));
    }
    return allOf(pieces);
  }

  private put(partition: number, part: Buffer, items: number): Promise<void> {
    let batch = this.filling[partition];
    if (batch !== undefined && batch.bytes.length + part.length > this.batch_bytes_max) {
      this.seal(partition);
      batch = undefined;
    }
    if (batch === undefined) {
      batch = { bytes: this.spare.pop() ?? new Writer(0), items: 0, done: Promise.withResolvers() };
      this.filling[partition] = batch;
      void this.linger(partition, batch);
    }
    batch.bytes.raw(part, 0, part.length);
    batch.items += items;
    this.pending_bytes += part.length;
    this.counters.held += items;
    if (batch.bytes.length >= this.batch_bytes_max) this.seal(partition);
    return batch.done.promise;
  }

  private async linger(partition: number, batch: Batch): Promise<void> {
    await this.settings.clock.sleep(this.settings.linger_ms ?? 5);
    if (this.filling[partition] === batch) this.seal(partition);
  }

  private seal(partition: number): void {
    const batch = this.filling[partition];
    if (batch === undefined) return;
    this.filling[partition] = undefined;
    const flight = this.send(partition, batch).finally(() => this.flights.delete(flight));
    this.flights.add(flight);
  }

  private async send(partition: number, batch: Batch): Promise<void> {
    const { topics, topic, codec, level } = this.settings;
    const { bytes, items, done } = batch;
    const raw_bytes = bytes.length;
    try {
      // The append is called before the first wait: records keep the order in which their batches were sealed.
      await topics.append(topic, partition, compress(bytes.view(), codec, level), { format: 1, codec, items, raw_bytes });
      this.counters.out += items;
      done.resolve();
    } catch (error) {
      this.counters.drop(error instanceof Busy || error instanceof Reject ? error.reason : 'append_failed', items);
      done.reject(error);
    }
    this.counters.held -= items;
    this.pending_bytes -= raw_bytes;
    // With `codec: none` the log reads the buffer until here.
    bytes.reset();
    if (this.spare.length < this.filling.length && bytes.bytes.length <= 2 * this.record_bytes_max) this.spare.push(bytes);
  }
}

/** Resolves when all did; rejects, once all are settled, with the first failure. */
async function allOf(pieces: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(pieces)) if (result.status === 'rejected') throw result.reason;
}
