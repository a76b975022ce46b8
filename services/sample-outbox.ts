import type { Clock } from '../pipelines/base/clock.ts';
import { StageCounters } from '../pipelines/base/counters.ts';
import { Busy } from '../pipelines/base/errors.ts';
import type { Log } from '../pipelines/base/log.ts';
import { Cutter } from '../pipelines/otlp/cut.ts';
import type { Processor } from '../pipelines/process/processor.ts';
import type { RecordHeaders, Topics } from '../pipelines/topic/topic.ts';

export interface OutboxParts {
  readonly topics: Topics;
  readonly clock: Clock;
  readonly log: Log;
  /** Of OTLP in one record; a larger message is cut. */
  readonly record_bytes_max: number;
}

interface Pending {
  readonly value: Buffer;
  readonly headers: RecordHeaders;
}

/**
 * What one stage appends to one topic, for all partitions: counters in items, and the processors that stand before the log.
 * in = out + dropped{record_too_large, and what the processors drop as `processed`} + held (not yet durable).
 */
export class Outlet {
  readonly topic: string;
  readonly counters: StageCounters;
  private readonly processors: readonly Processor[];
  private readonly cutter = new Cutter();
  private readonly parts: OutboxParts;

  constructor(topic: string, processors: readonly Processor[], parts: OutboxParts) {
    this.topic = topic;
    this.counters = new StageCounters(`sample.${topic}`);
    this.processors = processors;
    this.parts = parts;
  }

  /**
   * Takes a Data message of `items` items, borrowed, and adds its records to `to`: after the processors, cut to the size of
   * a record. `sequence` says what it was made from, `part` how many records of that sequence went before.
   */
  prepare(bytes: Buffer, items: number, sequence: number, part: number, to: Pending[]): void {
    const { counters } = this;
    counters.in += items;
    let message = bytes;
    for (const processor of this.processors) {
      if (message.length > 0) message = processor.process(message);
    }
    let left = items;
    let next = part;
    const add = (value: Buffer, count: number): void => {
      left -= count;
      counters.held += count;
      const cut = next > 0 ? { part: next } : {};
      next++;
      to.push({
        value: Buffer.from(value),
        headers: { format: 1, codec: 'none', items: count, raw_bytes: value.length, sequence, ...cut },
      });
    };
    if (message === bytes && message.length <= this.parts.record_bytes_max) add(message, items);
    else if (message.length > 0) {
      this.cutter.cut(message, this.parts.record_bytes_max, {
        part: add,
        oversize: (alone) => {
          left--;
          counters.drop('record_too_large', 1);
          this.parts.log.error({ topic: this.topic, bytes: alone.length, sequence }, 'an item is larger than a record may be: it is lost');
        },
      });
    }
    counters.drop('processed', left);
  }
}

/**
 * The records that wait to be appended to one partition of one topic. (sequence, part) must only rise there, and an append that is refused
 * must not be overtaken: a reader would take the one that comes later for a repeat. So nothing is appended behind a refusal
 * until it has been made good.
 */
export class Outbox {
  bytes = 0;
  private readonly outlet: Outlet;
  private readonly partition: number;
  private readonly parts: OutboxParts;
  private readonly pending: Pending[] = [];
  private sequence = -1;
  private partNext = 0;

  constructor(outlet: Outlet, partition: number, parts: OutboxParts) {
    this.outlet = outlet;
    this.partition = partition;
    this.parts = parts;
  }

  /** Takes a Data message, borrowed. Messages of one sequence follow each other. */
  add(bytes: Buffer, items: number, sequence: number): void {
    const before = this.pending.length;
    if (sequence !== this.sequence) this.partNext = 0;
    this.sequence = sequence;
    this.outlet.prepare(bytes, items, sequence, this.partNext, this.pending);
    this.partNext += this.pending.length - before;
    for (let at = before; at < this.pending.length; at++) this.bytes += this.pending[at]!.value.length;
  }

  /** Resolves when all is durable, however long the log is busy; false where `stop` was aborted before: then what is left was not appended. */
  async flush(stop: AbortSignal): Promise<boolean> {
    let warned = false;
    while (this.pending.length > 0) {
      const busy = await this.appendAll();
      if (busy === undefined) continue;
      if (!warned) this.parts.log.warn({ topic: this.outlet.topic, reason: busy.reason }, `cannot append for now: ${busy.message}`);
      warned = true;
      if (stop.aborted) return false;
      await this.parts.clock.sleep(busy.retryAfter_ms, stop);
      if (stop.aborted) return false;
    }
    return true;
  }

  /** Forgets what is left: the log brings it again. */
  discard(): void {
    for (const { headers } of this.pending) {
      this.outlet.counters.held -= headers.items;
      this.outlet.counters.in -= headers.items;
    }
    this.pending.length = this.bytes = 0;
  }

  /** Appends in order and keeps what was not appended. Returns why it stopped. */
  private async appendAll(): Promise<Busy | undefined> {
    const { outlet, partition, pending } = this;
    const { topics } = this.parts;
    let failure: unknown;
    const results: Promise<boolean>[] = [];
    for (const { value, headers } of pending) {
      results.push(
        topics.append(outlet.topic, partition, value, headers).then(
          () => true,
          (error: unknown) => {
            failure ??= error;
            return false;
          },
        ),
      );
      // A refusal is known within a few turns of the microtask queue; only then may the next one be called.
      for (let turn = 0; turn < 4; turn++) await Promise.resolve();
      if (failure !== undefined) break;
    }
    const durable = await Promise.all(results);
    const done = durable.includes(false) ? durable.indexOf(false) : durable.length;
    for (const { value, headers } of pending.splice(0, done)) {
      this.bytes -= value.length;
      outlet.counters.held -= headers.items;
      outlet.counters.out += headers.items;
    }
    if (failure === undefined) return undefined;
    if (!(failure instanceof Busy)) throw failure;
    // The log broke its word; going on would make readers skip what was refused.
    if (durable.includes(true, done)) throw new Error(`${outlet.topic}/${partition}: an append was taken behind one that was refused`);
    return failure;
  }
}
