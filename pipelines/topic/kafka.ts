import type { Admin } from 'kafkajs';
import { OperatorError, type Busy } from '../base/errors.ts';
import { BrokerHealth, TOPIC_RESOURCE, createClient, type KafkaSettings } from './kafka-client.ts';
import { KafkaOffsets } from './kafka-offsets.ts';
import { KafkaProducer } from './kafka-producer.ts';
import { KafkaReader } from './kafka-reader.ts';
import type { Reader, ReaderOptions, RecordHeaders, Topics } from './topic.ts';

/** @throws OperatorError where no broker answers, or the topics are not as they must be */
export async function openKafkaTopics(settings: KafkaSettings): Promise<KafkaTopics> {
  const kafka = createClient(settings);
  const admin = kafka.admin();
  try {
    await admin.connect();
  } catch (error) {
    throw new OperatorError(
      `Kafka at ${settings.brokers.join(', ')} does not answer: ${(error as Error).message}`,
      'Start it, or set tailrace.kafka.brokers to brokers that run.',
    );
  }
  try {
    const partitions = await checkTopics(admin, settings);
    const health = new BrokerHealth(settings.log, settings.clock);
    const producer = new KafkaProducer(kafka, settings, health);
    await producer.connect();
    return new KafkaTopics(settings, kafka, admin, partitions, health, producer);
  } catch (error) {
    await admin.disconnect();
    throw error;
  }
}

/** Topic → partitions. @throws OperatorError naming the topic and the command that mends it */
async function checkTopics(admin: Admin, settings: KafkaSettings): Promise<Map<string, number>> {
  const hint = 'Run tailrace topics with this file; it creates what is missing.';
  const there = new Set(await admin.listTopics());
  const full = settings.topics.map((topic) => settings.topicPrefix + topic);
  const missing = full.filter((topic) => !there.has(topic));
  if (missing.length > 0) throw new OperatorError(`Kafka has no topic ${missing.join(', ')}`, hint);
  const { topics } = await admin.fetchTopicMetadata({ topics: full });
  const partitions = new Map(topics.map((topic) => [topic.name.slice(settings.topicPrefix.length), topic.partitions.length]));
  if (new Set(partitions.values()).size > 1) {
    const counts = [...partitions].map(([topic, count]) => `${topic}: ${count}`).join(', ');
    throw new OperatorError(
      `the topics have different numbers of partitions (${counts})`,
      'A trace keeps its partition number from topic to topic: give all of them the same.',
    );
  }
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: full.map((name) => ({ type: TOPIC_RESOURCE, name, configNames: ['message.timestamp.type', 'max.message.bytes'] })),
  });
  for (const resource of resources) {
    const value = (name: string): string | undefined => resource.configEntries.find((entry) => entry.configName === name)?.configValue;
    if (value('message.timestamp.type') !== 'LogAppendTime')
      throw new OperatorError(
        `topic ${resource.resourceName} does not have message.timestamp.type=LogAppendTime: its times would be the senders'`,
        hint,
      );
    if (Number(value('max.message.bytes')) < settings.messageBytes_max)
      throw new OperatorError(
        `topic ${resource.resourceName} takes ${value('max.message.bytes')} bytes, fewer than tailrace.kafka.message_bytes_max`,
        hint,
      );
  }
  return partitions;
}

/** The log between the stages in Kafka. Made by `openKafkaTopics`. */
export class KafkaTopics implements Topics {
  private readonly settings: KafkaSettings;
  private readonly kafka: ReturnType<typeof createClient>;
  private readonly admin: Admin;
  private readonly offsets: KafkaOffsets;
  private readonly counts: ReadonlyMap<string, number>;
  private readonly health: BrokerHealth;
  private readonly producer: KafkaProducer;

  constructor(
    settings: KafkaSettings,
    kafka: ReturnType<typeof createClient>,
    admin: Admin,
    partitions: ReadonlyMap<string, number>,
    health: BrokerHealth,
    producer: KafkaProducer,
  ) {
    this.settings = settings;
    this.kafka = kafka;
    this.admin = admin;
    this.offsets = new KafkaOffsets(admin, settings.clock);
    this.counts = partitions;
    this.health = health;
    this.producer = producer;
  }

  /** Why nothing can be appended now; undefined while all is well. */
  whyBusy(): Busy | undefined {
    return this.producer.whyBusy();
  }

  partitions(topic: string): number {
    const count = this.counts.get(topic);
    if (count === undefined) throw new Error(`topic ${topic} is not one of this log's`);
    return count;
  }

  append(topic: string, partition: number, value: Buffer, headers: RecordHeaders): Promise<number> {
    return this.producer.append(this.settings.topicPrefix + topic, partition, value, headers);
  }

  read(options: ReaderOptions): Promise<Reader> {
    return new KafkaReader(this.kafka, this.settings, this.health, this.offsets, options).start();
  }

  async lag(group: string, topic: string): Promise<number> {
    const full = this.settings.topicPrefix + topic;
    const [ranges, committed] = await Promise.all([
      this.offsets.ranges(full),
      this.offsets.committed(this.settings.topicPrefix + group, [full]),
    ]);
    let lag = 0;
    for (const [partition, { low, high }] of ranges) lag += high - Math.max(committed.get(`${full} ${partition}`)?.offset ?? low, low);
    return lag;
  }

  async close(): Promise<void> {
    await this.producer.close();
    await this.admin.disconnect();
  }
}
