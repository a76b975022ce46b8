import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Kafka as KafkaClient, logLevel } from 'kafkajs';
import { freePorts, start, temporaryFolder, until, type Running } from './process.ts';

const VERSION = '4.3.1';
const root = new URL('../../', import.meta.url).pathname;

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>t</groupId><artifactId>kafka</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${VERSION}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.4</version><scope>runtime</scope></dependency>
</dependencies></project>
`;

/** @throws Error where the program is not there */
function need(program: string, ask: string): void {
  try {
    execFileSync(program, [ask], { stdio: 'ignore' });
  } catch (error) {
    throw new Error(`tests with a real Kafka need ${program}: apt-get install openjdk-17-jre-headless maven`, { cause: error });
  }
}

/** The folder with Kafka's jars, by Maven; fetched once into .cache. */
function kafkaJars(): string {
  const folder = join(root, '.cache', `kafka-${VERSION}`);
  const lib = join(folder, 'lib');
  if (existsSync(lib)) return lib;
  const part = join(folder, 'lib.part');
  mkdirSync(part, { recursive: true });
  writeFileSync(join(folder, 'pom.xml'), POM);
  const goal = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
  need('mvn', '--version');
  execFileSync('mvn', ['-q', '-B', '-ntp', '-f', join(folder, 'pom.xml'), goal, `-DoutputDirectory=${part}`, '-DincludeScope=runtime'], {
    stdio: 'inherit',
  });
  if (globSync(join(part, 'kafka_2.13-*.jar')).length === 0) throw new Error('Maven brought no Kafka');
  renameSync(part, lib);
  return lib;
}

export interface Kafka {
  readonly brokers: string[];
  /** kill -9. */
  kill(): Promise<void>;
  /** SIGTERM, and waits for the end. */
  stop(): Promise<void>;
  /** On the same port and data. */
  restart(): Promise<void>;
}

/** Starts a real broker: one node, KRaft, on loopback. About five seconds once the jars are there. */
export async function startKafka(): Promise<Kafka> {
  need('java', '-version');
  const lib = kafkaJars();
  const [port, controller] = (await freePorts(2)) as [number, number];
  const folder = temporaryFolder('kafka');
  const properties = join(folder, 'server.properties');
  writeFileSync(
    properties,
    `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controller}
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}
controller.listener.names=CONTROLLER
log.dirs=${join(folder, 'data')}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
message.max.bytes=8388608
log.cleaner.dedupe.buffer.size=8388608
`,
  );
  const java = (args: readonly string[]): string =>
    execFileSync('java', ['-cp', `${lib}/*`, ...args], { stdio: ['ignore', 'pipe', 'pipe'] }).toString();
  java(['kafka.tools.StorageTool', 'format', '-t', 'dGFpbHJhY2UtdGVzdC1sb2c', '-c', properties]);
  let broker: Running;
  const begin = async (): Promise<void> => {
    broker = start('java', ['-Xms128m', '-Xmx384m', '-XX:+UseSerialGC', '-cp', `${lib}/*`, 'kafka.Kafka', properties], { cwd: folder });
    let ended: number | string | undefined;
    void broker.ended.then((how) => {
      ended = how;
    });
    await until('Kafka to listen', () => ended !== undefined || answers(port), 60_000, 100);
    await until('Kafka to serve', async () => ended !== undefined || (await serves(`127.0.0.1:${port}`)), 60_000, 100);
    if (ended !== undefined) throw new Error(`Kafka ended with ${ended}:\n${broker.output().slice(-3000)}`);
  };
  await begin();
  return {
    brokers: [`127.0.0.1:${port}`],
    kill: async () => void (await broker.end('SIGKILL')),
    stop: async () => void (await broker.end('SIGTERM')),
    restart: begin,
  };
}

async function serves(broker: string): Promise<boolean> {
  const admin = new KafkaClient({ brokers: [broker], logLevel: logLevel.NOTHING, retry: { retries: 0 }, connectionTimeout: 1_000 }).admin();
  try {
    await admin.connect();
    const { brokers } = await admin.describeCluster();
    return brokers.length > 0;
  } finally {
    await admin.disconnect();
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
