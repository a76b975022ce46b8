import { parseArgs } from 'node:util';
import type { Admin } from 'kafkajs';
import type { KafkaConfig } from '../config/schema-scale.ts';
import { OperatorError } from '../pipelines/base/errors.ts';
import { createLog } from '../pipelines/base/log.ts';
import { OF_TOPIC, TOPIC_RESOURCE, createClient } from '../pipelines/topic/kafka-client.ts';
import { planOrExplain } from './check.ts';
import { kafkaClientSettings } from './settings.ts';

const USAGE = `Creates the topics of a pipeline file in Kafka, and brings those that are there to the file's settings. Safe to run again.

Usage: tailrace topics --config FILE

Partitions are added where the file asks for more, never taken away: traces keep their partition only while the number stays.
What the file says nothing about stays as it is.
`;

/** `tailrace topics`. */
export async function runTopics(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: { help: { type: 'boolean', short: 'h' }, config: { type: 'string' } } });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (values.config === undefined)
    throw new OperatorError('topics needs a file', 'Example: tailrace topics --config config/examples/cluster.yaml');
  const { config, plan } = planOrExplain(values.config);
  const { kafka } = config.tailrace;
  if (kafka === undefined)
    throw new OperatorError(
      `${values.config} names no Kafka: tailrace.kafka is missing`,
      'Add tailrace: { kafka: { brokers: [host:9092] } }.',
    );
  const admin = createClient({ ...kafkaClientSettings(kafka), log: createLog('warn') }).admin();
  try {
    await admin.connect();
  } catch (error) {
    throw new OperatorError(
      `Kafka at ${kafka.brokers.join(', ')} does not answer: ${(error as Error).message}`,
      'Start it, or set tailrace.kafka.brokers.',
    );
  }
  try {
    for (const plain of plan.topics) process.stdout.write(`${await bringTopic(admin, kafka, kafka.topic_prefix + plain)}\n`);
  } finally {
    await admin.disconnect();
  }
  return 0;
}

/** @returns what was done */
async function bringTopic(admin: Admin, kafka: KafkaConfig, topic: string): Promise<string> {
  const wanted = new Map([
    ['message.timestamp.type', 'LogAppendTime'],
    ['cleanup.policy', 'delete'],
    ['retention.ms', String(kafka.retention)],
    ['max.message.bytes', String(kafka.message_bytes_max)],
  ]);
  const entries = (map: ReadonlyMap<string, string>): { name: string; value: string }[] =>
    [...map].map(([name, value]) => ({ name, value }));
  if (!(await admin.listTopics()).includes(topic)) {
    // With the brokers' default of 1, what was acknowledged may be on one broker alone, and go with it.
    if (kafka.replication_factor >= 3) wanted.set('min.insync.replicas', '2');
    await admin.createTopics({
      waitForLeaders: true,
      topics: [{ topic, numPartitions: kafka.partitions, replicationFactor: kafka.replication_factor, configEntries: entries(wanted) }],
    });
    return `created ${topic}, ${kafka.partitions} partitions`;
  }
  const done: string[] = [];
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: TOPIC_RESOURCE, name: topic }] });
  const now = resources[0]!.configEntries;
  for (const [name, value] of wanted) {
    const old = now.find((entry) => entry.configName === name)?.configValue;
    if (old !== value) done.push(`${name} ${old} → ${value}`);
  }
  if (done.length > 0) {
    // AlterConfigs takes away what it does not name.
    const own = now.filter((entry) => entry.configSource === OF_TOPIC).map((entry) => [entry.configName, entry.configValue] as const);
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: TOPIC_RESOURCE, name: topic, configEntries: entries(new Map([...own, ...wanted])) }],
    });
  }
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const count = topics[0]?.partitions.length ?? 0;
  if (count < kafka.partitions) {
    await admin.createPartitions({ topicPartitions: [{ topic, count: kafka.partitions }] });
    done.push(`partitions ${count} → ${kafka.partitions}`);
  } else if (count > kafka.partitions) done.push(`${count} partitions, more than the file's ${kafka.partitions}`);
  return done.length === 0 ? `kept ${topic}, ${count} partitions` : `changed ${topic}: ${done.join(', ')}`;
}
