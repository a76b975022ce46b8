import type { Consumer as KafkaConsumer, EachBatchPayload, Kafka } from 'kafkajs';
import { stickyAssigner } from './kafka-assigner.ts';
import { errorType, type BrokerHealth, type KafkaSettings } from './kafka-client.ts';
import { fromTextHeaders } from './kafka-headers.ts';
import { HeldPartition } from './kafka-held.ts';
import type { KafkaOffsets } from './kafka-offsets.ts';
import type { LogRecord, Reader, ReaderOptions, StartAt } from './topic.ts';

// A rebalance takes as long as the outstanding fetch and the next heartbeat: with these, well under a second.
const FETCH_WAIT_MS = 300;
const HEARTBEAT_MS = 300;
const SESSION_MS = 10_000;
const FETCH_BYTES_MAX = 4 * 2 ** 20;
const IDLE_EVERY_MS = 500;
/** The broker's clock may be behind ours, and an append under way may have its time already: what idle promises stays this far back. */
const IDLE_MARGIN_MS = 5_000;
const RETRY_MS = 500;
// The group goes on without this member's generation: who owns the partition now is known after the next join.
const FENCED = new Set(['ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID', 'REBALANCE_IN_PROGRESS']);

/** What a call is told when its partition is another member's by now. */
class Lost extends Error {
  override readonly name = 'Lost';
}

/**
 * A member of a consumer group. kafkajs tells of a rebalance only when it is over, so an old owner may still be at work while the new one
 * begins. What it appends then are repeats of what the new one appends, which readers know by their `sequence`; what it commits is refused by
 * the broker, because commits carry the member's generation, wait while a rebalance is under way, and are not sent for a partition
 * that is gone. So a batch that `write` announced before the hand-over is read by the new owner, and one announced after it is not inserted.
 */
export class KafkaReader implements Reader {
  readonly failed: Promise<never>;
  private readonly fail: (error: unknown) => void;
  private readonly options: ReaderOptions;
  private readonly settings: KafkaSettings;
  private readonly health: BrokerHealth;
  private readonly offsets: KafkaOffsets;
  private readonly consumer: KafkaConsumer;
  private readonly groupId: string;
  /** By full topic and partition. */
  private readonly held = new Map<string, HeldPartition>();
  private readonly ending = new Set<Promise<void>>();
  private memberId = '';
  /** Resolves when the join under way is over. */
  private joining: PromiseWithResolvers<void> | undefined = Promise.withResolvers();
  private readonly stopping = new AbortController();
  private idling: Promise<void> = Promise.resolve();

  constructor(kafka: Kafka, settings: KafkaSettings, health: BrokerHealth, offsets: KafkaOffsets, options: ReaderOptions) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    this.failed.catch(() => undefined);
    this.fail = reject;
    this.options = options;
    this.settings = settings;
    this.health = health;
    this.offsets = offsets;
    this.groupId = settings.topicPrefix + options.group;
    this.consumer = kafka.consumer({
      groupId: this.groupId,
      partitionAssigners: [stickyAssigner(() => [...new Set([...this.held.values()].map((one) => one.partition))])],
      sessionTimeout: SESSION_MS,
      rebalanceTimeout: SESSION_MS,
      heartbeatInterval: HEARTBEAT_MS,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      maxBytesPerPartition: FETCH_BYTES_MAX,
      retry: { retries: 5, initialRetryTime: 100, maxRetryTime: 1_000, restartOnFailure: async () => true },
    });
    const { GROUP_JOIN, REBALANCING, CRASH } = this.consumer.events;
    this.consumer.on(REBALANCING, () => void (this.joining ??= Promise.withResolvers()));
    this.consumer.on(GROUP_JOIN, ({ payload }) => this.joined(payload.memberId, payload.memberAssignment));
    this.consumer.on(CRASH, ({ payload }) => {
      this.joining ??= Promise.withResolvers();
      if (payload.restart) this.health.failed(payload.error);
      else this.fail(payload.error);
    });
  }

  /** Resolves when this member has its first partitions, and each has been given to the consumer. */
  async start(): Promise<this> {
    await this.consumer.connect();
    await this.consumer.subscribe({ topics: this.options.topics.map((topic) => this.settings.topicPrefix + topic), fromBeginning: true });
    await this.consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: async (payload) => this.take(payload) });
    await this.joining?.promise;
    await Promise.all([...this.held.values()].map((one) => one.tail));
    this.idling = this.idleLoop();
    return this;
  }

  async commit(topic: string, partition: number, offset: number, note: string): Promise<void> {
    const full = this.settings.topicPrefix + topic;
    const one = this.held.get(`${full} ${partition}`);
    for (;;) {
      await this.joining?.promise;
      if (one === undefined || one.lost) throw new Lost(`${full}/${partition} is another member's`);
      try {
        await this.consumer.commitOffsets([{ topic: full, partition, offset: String(offset), metadata: note }]);
        this.health.worked();
        return;
      } catch (error) {
        const type = errorType(error);
        if (type !== undefined && FENCED.has(type)) {
          this.joining ??= Promise.withResolvers();
          // The heartbeat finds out at its next turn; where nothing comes of it, ask again.
          await Promise.race([this.joining.promise, this.settings.clock.sleep(SESSION_MS)]);
        } else {
          this.health.failed(error);
          await this.settings.clock.sleep(RETRY_MS);
        }
      }
    }
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.idling;
    const all = [...this.held.values()];
    for (const one of all) one.enough();
    await Promise.all(all.map((one) => one.end(() => this.options.consumer.revoked(one.topic, one.partition)).catch(this.fail)));
    for (const one of all) one.lost = true;
    this.held.clear();
    await Promise.all(this.ending);
    await this.consumer.disconnect();
  }

  // ---- the group ----

  /** Called when kafkajs knows its assignment and before it fetches: what was decided here holds for the next fetch. */
  private joined(memberId: string, assignment: Readonly<Record<string, readonly number[]>>): void {
    // With another id this member was out of the group, and others may have moved on what it held.
    const anew = memberId !== this.memberId;
    this.memberId = memberId;
    const wanted = new Map<string, { full: string; partition: number }>();
    for (const [full, partitions] of Object.entries(assignment))
      for (const partition of partitions) wanted.set(`${full} ${partition}`, { full, partition });
    for (const [key, one] of this.held) {
      if (!anew && !one.lost && wanted.has(key)) {
        this.consumer.seek({ topic: one.full, partition: one.partition, offset: String(one.next) });
        continue;
      }
      this.held.delete(key);
      one.lost = true;
      this.finish(one);
    }
    for (const [key, { full, partition }] of wanted) {
      if (this.held.has(key) || this.stopping.signal.aborted) continue;
      const one = new HeldPartition(full, full.slice(this.settings.topicPrefix.length), partition);
      this.held.set(key, one);
      this.consumer.pause([{ topic: full, partitions: [partition] }]);
      one.run(() => this.begin(one));
      one.tail.catch((error: unknown) => this.failUnlessLost(one, error));
    }
    this.joining?.resolve();
    this.joining = undefined;
  }

  private async begin(one: HeldPartition): Promise<void> {
    const { full, topic, partition } = one;
    const view = {
      end: async () => (await this.offsets.range(full, partition)).high,
      timeAt: (offset: number) => this.offsets.timeAt(full, partition, offset),
    };
    // The old owner's last call ends by being told that the partition is gone; one consumer never sees both at once.
    await Promise.all(this.ending);
    const start = await this.insist(one, async (): Promise<StartAt> => {
      const committed = await this.offsets.committed(this.groupId, [full]);
      return this.options.consumer.assigned(topic, partition, committed.get(`${full} ${partition}`), view);
    });
    const { low } = await this.insist(one, () => this.offsets.range(full, partition));
    const offset = 'offset' in start ? start.offset : await this.insist(one, () => this.offsets.offsetAt(full, partition, start.time_ms));
    if (one.lost) return;
    one.next = Math.max(offset, low);
    one.ready = true;
    this.consumer.seek({ topic: full, partition, offset: String(one.next) });
    this.consumer.resume([{ topic: full, partitions: [partition] }]);
  }

  /** Asks the brokers until they answer or the partition is gone. Errors of ours pass. */
  private async insist<T>(one: HeldPartition, ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        const ofKafka = error instanceof Error && error.name.startsWith('KafkaJS');
        if (!ofKafka || one.lost || this.stopping.signal.aborted) throw error;
        this.health.failed(error);
        await this.settings.clock.sleep(RETRY_MS, this.stopping.signal);
      }
    }
  }

  private finish(one: HeldPartition): void {
    one.enough();
    const end = one
      .end(() => this.options.consumer.revoked(one.topic, one.partition))
      .catch((error: unknown) => this.failUnlessLost(one, error));
    const tracked = end.finally(() => this.ending.delete(tracked));
    this.ending.add(tracked);
  }

  private failUnlessLost(one: HeldPartition, error: unknown): void {
    if (!one.lost && !(error instanceof Lost)) this.fail(error);
  }

  // ---- records ----

  /** Queues what was fetched and returns at once, so that heartbeats never wait for a stage; a full queue pauses its partition. */
  private take(payload: EachBatchPayload): void {
    const { batch } = payload;
    const one = this.held.get(`${batch.topic} ${batch.partition}`);
    if (one === undefined || !one.ready || one.lost || this.stopping.signal.aborted) return;
    this.health.worked();
    const records: LogRecord[] = [];
    for (const message of batch.messages) {
      const offset = Number(message.offset);
      if (offset < one.next) continue;
      const value = message.value ?? Buffer.alloc(0);
      records.push({
        offset,
        time_ms: one.raise(Number(message.timestamp)),
        value,
        headers: fromTextHeaders(message.headers, value.length),
      });
      one.next = offset + 1;
    }
    payload.resolveOffset(batch.lastOffset());
    if (records.length === 0) return;
    const at = [{ topic: one.full, partitions: [one.partition] }];
    if (one.add(records)) this.consumer.pause(at);
    one.run(async () => {
      if (one.lost) return;
      await this.options.consumer.records(one.topic, one.partition, records);
      if (one.remove(records) && !one.lost && !this.stopping.signal.aborted) this.consumer.resume(at);
    });
    one.tail.catch((error: unknown) => this.failUnlessLost(one, error));
  }

  private async idleLoop(): Promise<void> {
    const { clock } = this.settings;
    while (!this.stopping.signal.aborted) {
      await clock.sleep(IDLE_EVERY_MS, this.stopping.signal);
      try {
        await this.idle();
      } catch (error) {
        this.health.failed(error);
      }
    }
  }

  private async idle(): Promise<void> {
    const quiet = [...this.held.values()].filter((one) => one.isQuiet());
    for (const full of new Set(quiet.map((one) => one.full))) {
      const time_ms = this.settings.clock.now_ms() - IDLE_MARGIN_MS;
      const ranges = await this.offsets.ranges(full);
      for (const one of quiet) {
        if (one.full !== full || !one.isQuiet() || one.next < (ranges.get(one.partition)?.high ?? Infinity)) continue;
        const promised_ms = one.raise(time_ms);
        one.run(() => (one.lost ? Promise.resolve() : this.options.consumer.idle(one.topic, one.partition, promised_ms)));
        one.tail.catch((error: unknown) => this.failUnlessLost(one, error));
      }
    }
  }
}
