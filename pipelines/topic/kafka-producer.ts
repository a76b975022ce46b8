import type { Kafka, Producer } from 'kafkajs';
import { Busy, Reject } from '../base/errors.ts';
import { errorType, type BrokerHealth, type KafkaSettings } from './kafka-client.ts';
import { toTextHeaders } from './kafka-headers.ts';
import type { RecordHeaders } from './topic.ts';

const MIB = 2 ** 20;
const LINGER_MS = 4;
// A record's own frame and headers, and that of the batch: far less than this.
const OVERHEAD_BYTES = 1024;
const BATCH_BYTES_MAX = MIB;
const BATCH_RECORDS_MAX = 500;
// Brokers that do not answer for this long are away: nothing more is taken.
const AWAY_MS = 1000;
const AWAY_RETRY_MS = 2000;
const STUCK_MS = 5000;
const BACKOFF_FIRST_MS = 200;
const BACKOFF_MAX_MS = 1000;
const CLOSE_MAX_MS = 10_000;
// The producer's state is gone on the broker, or was never there: only a new producer id helps.
const RENEW = new Set([
  'UNKNOWN_PRODUCER_ID',
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'DUPLICATE_SEQUENCE_NUMBER',
]);

interface Pending {
  readonly value: Buffer;
  readonly headers: RecordHeaders;
  readonly done: PromiseWithResolvers<number>;
}

interface Lane {
  readonly topic: string;
  readonly partition: number;
  readonly queue: Pending[];
  running: boolean;
  /** When what is in flight was first sent. */
  sent_ms: number | undefined;
}

/**
 * Appends. Every partition is a lane with one request in flight: its records keep the order of the calls, and what comes meanwhile
 * goes together into the next.
 *
 * A request carries one partition. kafkajs could send several in one, but where one of two brokers fails it sends the other's part
 * again under new sequence numbers, so records would be stored twice; and where one of two partitions fails it forgets that the other was stored.
 *
 * What was sent is repeated, byte for byte and under the same sequence numbers, until the broker answers: it may have been
 * stored the first time, and the broker then only tells the offset. What was not yet sent when the brokers went is refused.
 */
export class KafkaProducer {
  /** Bytes of values taken and not yet durable. */
  pending_bytes = 0;
  private readonly settings: KafkaSettings;
  private readonly kafka: Kafka;
  private readonly health: BrokerHealth;
  private readonly lanes = new Map<string, Lane>();
  private readonly value_bytes_max: number;
  private readonly pendingBytes_max: number;
  private producer: Producer;
  private renewing: Promise<void> | undefined;
  private active = 0;
  private drained: PromiseWithResolvers<void> | undefined;
  private closing = false;
  private gaveUp = false;

  constructor(kafka: Kafka, settings: KafkaSettings, health: BrokerHealth) {
    this.kafka = kafka;
    this.settings = settings;
    this.health = health;
    this.value_bytes_max = settings.messageBytes_max - OVERHEAD_BYTES;
    this.pendingBytes_max = settings.pendingBytes_max ?? 64 * MIB;
    this.producer = this.create();
  }

  connect(): Promise<void> {
    return this.producer.connect();
  }

  /** Why nothing can be appended now. */
  whyBusy(): Busy | undefined {
    if (this.closing) return new Busy('log_closing', 'the log is closing', 1000);
    if (this.health.away_ms() > AWAY_MS) return new Busy('log_away', 'Kafka does not answer', AWAY_RETRY_MS);
    const now_ms = this.settings.clock.now_ms();
    for (const lane of this.lanes.values())
      if (lane.sent_ms !== undefined && now_ms - lane.sent_ms > STUCK_MS)
        return new Busy('log_away', `Kafka has not answered for ${now_ms - lane.sent_ms} ms`, AWAY_RETRY_MS);
    return undefined;
  }

  /** `topic` with the prefix. */
  append(topic: string, partition: number, value: Buffer, headers: RecordHeaders): Promise<number> {
    const busy = this.whyBusy();
    if (busy !== undefined) return Promise.reject(busy);
    if (value.length > this.value_bytes_max)
      return Promise.reject(
        new Reject('record_too_large', `a record of ${value.length} bytes for ${topic}; the log takes ${this.value_bytes_max}`),
      );
    // What is made from records has space of its own: were it refused like new data, the log could not be read empty.
    const limit = headers.sequence === undefined ? this.pendingBytes_max : this.pendingBytes_max * 2;
    if (this.pending_bytes > 0 && this.pending_bytes + value.length > limit)
      return Promise.reject(new Busy('log_backlog', `${this.pending_bytes} bytes wait to be written`, 1000));
    const key = `${topic} ${partition}`;
    let lane = this.lanes.get(key);
    if (lane === undefined) {
      lane = { topic, partition, queue: [], running: false, sent_ms: undefined };
      this.lanes.set(key, lane);
    }
    const done = Promise.withResolvers<number>();
    lane.queue.push({ value, headers, done });
    this.pending_bytes += value.length;
    if (!lane.running) void this.run(lane);
    return done.promise;
  }

  /** Resolves when everything taken is durable, or refused because the brokers stay away. */
  async close(): Promise<void> {
    this.closing = true;
    if (this.active > 0) {
      this.drained = Promise.withResolvers<void>();
      const ended = new AbortController();
      await Promise.race([this.drained.promise, this.settings.clock.sleep(CLOSE_MAX_MS, ended.signal)]);
      ended.abort();
      this.gaveUp = true;
    }
    await this.producer.disconnect();
  }

  private create(): Producer {
    return this.kafka.producer({
      idempotent: true,
      // We repeat ourselves; kafkajs wants at least one here.
      retry: { retries: 1, initialRetryTime: 50 },
      createPartitioner:
        () =>
        ({ message }) =>
          message.partition ?? 0,
    });
  }

  private async run(lane: Lane): Promise<void> {
    lane.running = true;
    this.active++;
    await this.settings.clock.sleep(LINGER_MS);
    while (lane.queue.length > 0) await this.send(lane, this.take(lane));
    lane.running = false;
    this.active--;
    if (this.active === 0) this.drained?.resolve();
  }

  private take(lane: Lane): Pending[] {
    const max = Math.min(BATCH_BYTES_MAX, this.value_bytes_max);
    let count = 0;
    let bytes = 0;
    while (count < lane.queue.length && count < BATCH_RECORDS_MAX) {
      const more = lane.queue[count]!.value.length + OVERHEAD_BYTES;
      if (count > 0 && bytes + more > max) break;
      bytes += more;
      count++;
    }
    return lane.queue.splice(0, count);
  }

  /** Until the broker has answered. */
  private async send(lane: Lane, records: readonly Pending[]): Promise<void> {
    const { clock } = this.settings;
    lane.sent_ms = clock.now_ms();
    for (let backoff_ms = BACKOFF_FIRST_MS; ; backoff_ms = Math.min(backoff_ms * 2, BACKOFF_MAX_MS)) {
      const { producer } = this;
      try {
        const base = await produce(producer, lane, records);
        this.health.worked();
        lane.sent_ms = undefined;
        records.forEach((record, index) => record.done.resolve(base + index));
        this.release(records);
        return;
      } catch (error) {
        const type = errorType(error);
        if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE') {
          lane.sent_ms = undefined;
          return this.tooLarge(lane, records);
        }
        if (type !== undefined && RENEW.has(type)) await this.renew(producer, type);
        else this.health.failed(error);
        if (this.gaveUp) {
          lane.sent_ms = undefined;
          return this.refuse(lane, records);
        }
        if (this.health.away_ms() > AWAY_MS) this.refuseQueued();
        await clock.sleep(backoff_ms);
      }
    }
  }

  /** The broker takes less than we were told. Nothing of the batch was stored: halves, down to the record at fault. */
  private async tooLarge(lane: Lane, records: readonly Pending[]): Promise<void> {
    if (records.length > 1) {
      const half = records.length >> 1;
      await this.send(lane, records.slice(0, half));
      await this.send(lane, records.slice(half));
      return;
    }
    const [record] = records;
    record!.done.reject(
      new Reject('record_too_large', `a record of ${record!.value.length} bytes, which the broker does not take for ${lane.topic}`),
    );
    this.release(records);
  }

  /** Not sent yet, on any lane: refused, so that whoever waits can go to another replica. */
  private refuseQueued(): void {
    const busy = new Busy('log_away', 'Kafka does not answer', AWAY_RETRY_MS);
    for (const lane of this.lanes.values()) {
      const records = lane.queue.splice(0);
      for (const record of records) record.done.reject(busy);
      this.release(records);
    }
  }

  private refuse(lane: Lane, records: readonly Pending[]): void {
    const all = [...records, ...lane.queue.splice(0)];
    for (const record of all) record.done.reject(new Busy('log_closing', 'the log closed before Kafka answered', AWAY_RETRY_MS));
    this.release(all);
  }

  private release(records: readonly Pending[]): void {
    for (const record of records) this.pending_bytes -= record.value.length;
  }

  private async renew(failed: Producer, type: string): Promise<void> {
    if (failed !== this.producer) return;
    this.renewing ??= this.replace(failed, type);
    await this.renewing;
  }

  private async replace(failed: Producer, type: string): Promise<void> {
    this.settings.log.warn({ type }, 'the broker has forgotten this producer: going on as a new one');
    try {
      const next = this.create();
      await next.connect();
      this.producer = next;
      await failed.disconnect();
    } catch (error) {
      this.health.failed(error);
    }
    this.renewing = undefined;
  }
}

/** @returns the offset of the first record */
async function produce(producer: Producer, lane: Lane, records: readonly Pending[]): Promise<number> {
  const { topic, partition } = lane;
  const answer = await producer.send({
    topic,
    acks: -1,
    messages: records.map(({ value, headers }) => ({ value, partition, headers: toTextHeaders(headers) })),
  });
  const entry = answer.find((found) => found.partition === partition);
  // Where the leader moved between two tries, kafkajs may come back without having sent anything.
  if (entry?.baseOffset === undefined) throw new Error(`no answer for ${topic}/${partition}`);
  return Number(entry.baseOffset);
}
