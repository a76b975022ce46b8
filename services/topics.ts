import { parseArgs } from 'node:util';
import type { Admin } from 'kafkajs';
import { wallClock } from '../pipelines/base/clock.ts';
import { OperatorError } from '../pipelines/base/errors.ts';
import { createLog } from '../pipelines/base/log.ts';
import { TOPIC_RESOURCE, createClient } from '../pipelines/topic/kafka-client.ts';
import { planOrExplain } from './check.ts';
import { kafkaClientSettings } from './settings.ts';

const USAGE = `Creates the topics of a pipeline file in Kafka, and brings those that are there to the file's settings. Safe to run again.

Usage: tailrace topics --config FILE

Partitions are added where the file asks for more, never taken away: traces keep their partition only while the number stays.
`;

const LEADERS_MAX_MS = 30_000;
const LEADERS_EVERY_MS = 200;

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
    const configEntries = [
      { name: 'message.timestamp.type', value: 'LogAppendTime' },
      { name: 'cleanup.policy', value: 'delete' },
      { name: 'retention.ms', value: String(kafka.retention) },
      { name: 'max.message.bytes', value: String(kafka.message_bytes_max) },
    ];
    const there = new Set(await admin.listTopics());
    for (const plain of plan.topics) {
      const topic = kafka.topic_prefix + plain;
      if (!there.has(topic)) {
        await admin.createTopics({
          waitForLeaders: false,
          topics: [{ topic, numPartitions: kafka.partitions, replicationFactor: kafka.replication_factor, configEntries }],
        });
        await untilLed(admin, topic);
        process.stdout.write(`created ${topic}, ${kafka.partitions} partitions\n`);
        continue;
      }
      await admin.alterConfigs({ validateOnly: false, resources: [{ type: TOPIC_RESOURCE, name: topic, configEntries }] });
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      const count = topics[0]?.partitions.length ?? 0;
      if (count < kafka.partitions) await admin.createPartitions({ topicPartitions: [{ topic, count: kafka.partitions }] });
      process.stdout.write(
        `kept ${topic}, ${count < kafka.partitions ? `partitions ${count} → ${kafka.partitions}` : `${count} partitions`}\n`,
      );
    }
  } finally {
    await admin.disconnect();
  }
  return 0;
}

/** A topic that was just made is not known to every broker at once, and asking for it is then an error: asks until each partition has a leader. */
async function untilLed(admin: Admin, topic: string): Promise<void> {
  for (const end_ms = wallClock.now_ms() + LEADERS_MAX_MS; ; await wallClock.sleep(LEADERS_EVERY_MS)) {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      const partitions = topics[0]?.partitions ?? [];
      if (partitions.length > 0 && partitions.every((partition) => partition.leader >= 0)) return;
    } catch (error) {
      if (wallClock.now_ms() > end_ms) throw error;
      continue;
    }
    if (wallClock.now_ms() > end_ms)
      throw new OperatorError(
        `topic ${topic} has partitions without a leader`,
        'See the brokers’ logs; run the command again when they are well.',
      );
  }
}
