import kafkajs, { Kafka, logLevel, type KafkaConfig, type SASLOptions } from 'kafkajs';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';

export interface KafkaSettings {
  /** host:port of some brokers. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** Before every topic and consumer group. */
  readonly topicPrefix: string;
  /** PEM texts; {} encrypts with the system's authorities. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string } | undefined;
  readonly sasl?:
    | { readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'; readonly username: string; readonly password: string }
    | undefined;
  /** The topics' max.message.bytes: no batch of records is larger. */
  readonly messageBytes_max: number;
  /** Plain names, without the prefix. */
  readonly topics: readonly string[];
  readonly log: Log;
  readonly clock: Clock;
  /** Bytes taken and not yet durable before `append` answers Busy. Default 64 MiB. */
  readonly pendingBytes_max?: number;
}

/** kafkajs exports the name in a way that ES modules do not see. */
export const TOPIC_RESOURCE = kafkajs.ConfigResourceTypes.TOPIC;

const CONNECT_TIMEOUT_MS = 2000;
const REQUEST_TIMEOUT_MS = 10_000;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 1000;

/** A client whose log lines end as debug: what a person must know is said once, by BrokerHealth. */
export function createClient(settings: Pick<KafkaSettings, 'brokers' | 'clientId' | 'tls' | 'sasl' | 'log'>): Kafka {
  muteNegativeTimeouts();
  const { brokers, clientId, tls, sasl, log } = settings;
  const config: KafkaConfig = {
    brokers: [...brokers],
    clientId,
    connectionTimeout: CONNECT_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    retry: { retries: 2, initialRetryTime: RETRY_FIRST_MS, maxRetryTime: RETRY_MAX_MS },
    logLevel: logLevel.INFO,
    logCreator: () => (entry) => {
      const { message, groupId, memberId, topic, partition, error } = entry.log;
      log.debug({ kafkajs: entry.namespace, groupId, memberId, topic, partition, error }, message);
    },
  };
  if (tls !== undefined) config.ssl = { ...tls };
  if (sasl !== undefined) config.sasl = { ...sasl } as SASLOptions;
  return new Kafka(config);
}

let muted = false;

/** kafkajs arms timers with a negative delay, which newer Node warns of. They fire at once, as meant: the warning says nothing to anybody. */
function muteNegativeTimeouts(): void {
  if (muted) return;
  muted = true;
  const emit = process.emitWarning.bind(process) as (...args: unknown[]) => void;
  process.emitWarning = (...args: unknown[]): void => {
    if (args[1] !== 'TimeoutNegativeWarning') emit(...args);
  };
}

/** Whether the brokers answer: one warning when they go, one line when they are back. */
export class BrokerHealth {
  private readonly log: Log;
  private readonly clock: Clock;
  private since_ms: number | undefined;

  constructor(log: Log, clock: Clock) {
    this.log = log;
    this.clock = clock;
  }

  /** Ms since the first failure that no success has followed; 0 while all is well. */
  away_ms(): number {
    return this.since_ms === undefined ? 0 : Math.max(this.clock.now_ms() - this.since_ms, 1);
  }

  failed(error: unknown): void {
    if (this.since_ms !== undefined) return;
    this.since_ms = this.clock.now_ms();
    this.log.warn({ reason: error instanceof Error ? error.message : String(error) }, 'Kafka does not answer; trying again until it does');
  }

  worked(): void {
    if (this.since_ms === undefined) return;
    this.log.info({ away_ms: this.away_ms() }, 'Kafka answers again');
    this.since_ms = undefined;
  }
}

/** Kafka's name of the error ("MESSAGE_TOO_LARGE") where there is one; kafkajs wraps it where it gave up retrying. */
export function errorType(error: unknown): string | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++)
    if ('type' in at && typeof at.type === 'string') return at.type;
  return undefined;
}
