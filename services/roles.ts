import { OperatorError } from '../pipelines/base/errors.ts';
import { createStore, storeDefaults } from '../pipelines/store/client.ts';
import { openKafkaTopics } from '../pipelines/topic/kafka.ts';
import type { Topics } from '../pipelines/topic/topic.ts';
import { formatEndpoint, parseEndpoint } from './endpoint.ts';
import { startJobs } from './jobs.ts';
import { migrateStage, serverOf } from './migrate.ts';
import { connectRedis } from './redis.ts';
import { queryDefaults, startQuery } from './query.ts';
import { runRole } from './role.ts';
import type { Running } from './running.ts';
import { kafkaClientSettings } from './settings.ts';

/** The roles of a line over many machines: one process each, as many replicas as there is work, Kafka between them. */

const usage = (role: string, does: string, needs: string): string => `${does}

Usage: tailrace ${role} --config FILE

${needs} SIGTERM stops: what was taken is finished, the rest stays in the log. SIGHUP or a changed file changes over.
`;

export function runIngest(argv: string[]): Promise<number> {
  return runRole(argv, {
    usage: usage(
      'ingest',
      'Receives OTLP, runs the stateless processors and answers when the data is in Kafka.',
      'Needs tailrace.kafka in the file, and the topics (tailrace topics).',
    ),
    start: async (running) => {
      await running.startReceivers(await openLog(running));
      return ready(
        'ingest',
        [...running.addresses.grpc.map((at) => `OTLP gRPC ${at}`), ...running.addresses.http.map((at) => `OTLP HTTP http://${at}`)],
        running,
      );
    },
  });
}

export function runSample(argv: string[]): Promise<number> {
  return runRole(argv, {
    usage: usage(
      'sample',
      'Samples whole traces by their tail and makes metrics from all spans.',
      'Needs tailrace.kafka in the file, and the topics (tailrace topics).',
    ),
    start: async (running) => {
      const topics = await openLog(running);
      if (running.plan.sample.length === 0)
        throw new OperatorError('no pipeline of this file samples or makes span metrics', 'This role is not needed for it.');
      const { redis: redisConfig } = running.config.tailrace;
      const redis =
        redisConfig === undefined ? undefined : connectRedis({ url: redisConfig.url, keyPrefix: redisConfig.key_prefix, log: running.log });
      if (redis !== undefined) {
        running.add(() => redis.close());
        running.metrics.push(() => redis.metrics());
      }
      await running.startSamplers(topics, redis);
      for (const { name, topic } of running.plan.sample) running.groups.push({ group: name, topic });
      return ready(
        'sample',
        running.plan.sample.map((stage) => `reads ${stage.topic} as ${stage.name}`),
        running,
      );
    },
  });
}

export function runWrite(argv: string[]): Promise<number> {
  return runRole(argv, {
    usage: usage(
      'write',
      'Stores what was sampled, metrics and logs in ClickHouse, each row once.',
      'Needs tailrace.kafka and a ClickHouse server in the file; jobs or tailrace migrate makes the tables.',
    ),
    start: async (running) => {
      const topics = await openLog(running);
      await running.startStores(topics, serverOf, false);
      for (const stage of running.plan.write) for (const { topic } of stage.topics) running.groups.push({ group: stage.name, topic });
      return ready(
        'write',
        running.plan.write.map((stage) => `${stage.topics.map(({ topic }) => topic).join(', ')} to ${stage.config.endpoint}`),
        running,
      );
    },
  });
}

export function runQuery(argv: string[]): Promise<number> {
  return runRole(argv, {
    usage: usage(
      'query',
      "ClickHouse's HTTP interface for people and dashboards, read-only and without an account of their own.",
      'Needs a ClickHouse server in the file.',
    ),
    start: async (running) => {
      const [stage] = running.plan.write;
      if (stage === undefined) throw new OperatorError('no pipeline of this file stores anything', 'Add an exporter to a pipeline.');
      const endpoint = parseEndpoint(running.config.tailrace.sql.endpoint, 'tailrace.sql.endpoint');
      const { username, password, database } = stage.config;
      const query = await startQuery({ ...queryDefaults, endpoint, url: serverOf(stage), username, password, database }, running.log);
      running.add(() => query.stop());
      return ready('query', [`SQL http://${formatEndpoint(endpoint.host, query.port)}`], running);
    },
  });
}

export function runJobs(argv: string[]): Promise<number> {
  return runRole(argv, {
    usage: usage(
      'jobs',
      'Keeps tables and retention up to date and evaluates alert rules; of several replicas one does each job.',
      'Needs tailrace.redis and a ClickHouse server in the file.',
    ),
    start: async (running) => {
      const { redis, alerts } = running.config.tailrace;
      if (redis === undefined)
        throw new OperatorError(
          `${running.config.path} names no Redis: tailrace.redis is missing`,
          'Add tailrace: { redis: { url: "redis://host:6379" } }.',
        );
      const [stage] = running.plan.write;
      if (stage === undefined) throw new OperatorError('no pipeline of this file stores anything', 'Add an exporter to a pipeline.');
      const { username, password, database } = stage.config;
      const store = createStore({ ...storeDefaults, url: serverOf(stage), username, password, database });
      running.add(() => store.close());
      const migrate = async (): Promise<void> => {
        for (const one of running.plan.write) if (one.config.create_schema) await migrateStage(one, 0, running.log);
      };
      const jobs = await startJobs({
        redisUrl: redis.url,
        keyPrefix: redis.key_prefix,
        migrate,
        alerts,
        store,
        log: running.log,
        clock: running.clock,
      });
      running.metrics.push(() => jobs.metrics());
      running.add(() => jobs.stop());
      return ready('jobs', [`${alerts.rules.length} alert rules`], running);
    },
  });
}

/** The log over Kafka. @throws OperatorError where the file has no brokers or the topics are not as they must be */
async function openLog(running: Running): Promise<Topics> {
  const { kafka } = running.config.tailrace;
  if (kafka === undefined) {
    throw new OperatorError(
      `${running.config.path} names no Kafka: tailrace.kafka is missing`,
      'Add tailrace: { kafka: { brokers: [host:9092] } }, or run tailrace standalone.',
    );
  }
  const topics = await openKafkaTopics({
    ...kafkaClientSettings(kafka),
    topicPrefix: kafka.topic_prefix,
    messageBytes_max: kafka.message_bytes_max,
    topics: running.plan.topics,
    log: running.log,
    clock: running.clock,
  });
  running.topics = topics;
  running.checks.push(() => topics.whyBusy()?.message);
  running.add(() => topics.close());
  return topics;
}

function ready(role: string, lines: readonly string[], running: Running): string {
  return [
    `Tailrace ${role} is ready.`,
    ...lines.map((line) => `  ${line}`),
    `  metrics, health ${running.observer}/metrics, /healthz, /readyz`,
    '',
  ].join('\n');
}
