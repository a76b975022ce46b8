import { StageCounters } from '../base/counters.ts';
import { Malformed } from '../base/errors.ts';
import { Walker, type ItemVisitor, type Signal } from '../otlp/walk.ts';
import type { EncodedBlock, RowWriter } from './block.ts';
import { Context } from './context.ts';
import { LogRows } from './logs.ts';
import { MetricRows } from './metrics.ts';
import { TraceRows } from './traces.ts';

/** Encodes the records of one batch. The same bytes in the same order give the same blocks, byte for byte: the deduplication token relies on it. */
export interface BlockEncoder {
  readonly signal: Signal;
  /** Items: spans, log records, Metric messages. Held = in blocks that are not finished. Reasons: malformed, timestamp, days_full; for metrics also no_data, no_points. */
  readonly counters: StageCounters;
  /** Rows: for metrics the data points; for the other signals the same object as `counters`. */
  readonly rowCounters: StageCounters;
  /** Rows held. */
  readonly rows: number;
  /** Bytes of the blocks held. */
  readonly bytes: number;
  /**
   * Adds a Data message and returns how many rows came of it. An item that is malformed inside is dropped and counted.
   * @throws Malformed where resources, scopes or items cannot be told apart; nothing was added then
   */
  add(bytes: Buffer): number;
  /** Hands out what is held, tables in the order of their names and days from the oldest, and starts afresh. */
  finish(sink: (block: EncodedBlock) => void): void;
}

export function createEncoder(signal: Signal): BlockEncoder {
  switch (signal) {
    case 'traces':
      return new Encoder(signal, new TraceRows());
    case 'logs':
      return new Encoder(signal, new LogRows());
    case 'metrics':
      return new Encoder(signal, new MetricRows());
  }
}

/** Walks a message before it is encoded, so that a broken one is refused as a whole. */
const countOnly: ItemVisitor = { resource() {}, scope() {}, item() {} };

class Encoder implements BlockEncoder, ItemVisitor {
  readonly signal: Signal;
  readonly counters: StageCounters;
  readonly rowCounters: StageCounters;
  rows = 0;
  private readonly writer: RowWriter;
  private readonly walker = new Walker();
  private readonly context = new Context();

  constructor(signal: Signal, writer: RowWriter) {
    this.signal = signal;
    this.writer = writer;
    this.counters = new StageCounters(`encode_${signal}`);
    this.rowCounters = writer.rowCounters ?? this.counters;
  }

  get bytes(): number {
    return this.rows === 0 ? 0 : this.writer.size();
  }

  add(bytes: Buffer): number {
    this.walker.walk(bytes, 0, bytes.length, countOnly);
    const before = this.rows;
    this.context.bytes = bytes;
    this.walker.walk(bytes, 0, bytes.length, this);
    return this.rows - before;
  }

  finish(sink: (block: EncodedBlock) => void): void {
    this.writer.drain(sink);
    this.rows = 0;
    release(this.counters);
    if (this.rowCounters !== this.counters) release(this.rowCounters);
  }

  resource(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.context.resource(start, stop, urlStart, urlStop);
  }

  scope(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.context.scope(start, stop, urlStart, urlStop);
  }

  item(start: number, stop: number): void {
    const { counters, writer } = this;
    counters.in++;
    if (this.context.malformed) {
      counters.drop('malformed', 1);
      return;
    }
    let rows = 0;
    let reason = 'malformed';
    try {
      rows = writer.item(this.context, start, stop);
      reason = writer.dropped;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
    }
    if (rows === 0) {
      counters.drop(reason, 1);
    } else {
      counters.held++;
      this.rows += rows;
    }
  }
}

function release(counters: StageCounters): void {
  counters.out += counters.held;
  counters.held = 0;
}
