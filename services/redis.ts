import { Redis } from 'ioredis';
import type { Log } from '../pipelines/base/log.ts';
import type { Sample } from './observe.ts';

/** A command that has no answer by then has failed; nobody waits for one on the way of a span. */
const COMMAND_TIMEOUT_MS = 500;
const RECONNECT_MS_MAX = 2_000;

export interface RedisHandle {
  /** Commands fail at once while it is down: nothing is queued. */
  readonly client: Redis;
  /** Before every key. */
  readonly keyPrefix: string;
  up(): boolean;
  metrics(): readonly Sample[];
  close(): Promise<void>;
}

export interface RedisOptions {
  /** redis://[user:password@]host:port[/database], or rediss:// */
  readonly url: string;
  readonly keyPrefix: string;
  readonly log: Log;
}

/** Begins to connect and returns at once: Redis is an extra, never a need. Says once when it goes and once when it returns. */
export function connectRedis({ url, keyPrefix, log }: RedisOptions): RedisHandle {
  const client = new Redis(url, {
    enableOfflineQueue: false,
    commandTimeout: COMMAND_TIMEOUT_MS,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (times) => Math.min(RECONNECT_MS_MAX, 50 * 2 ** Math.min(times, 10)),
  });
  let state: 'new' | 'up' | 'down' = 'new';
  let reason = 'the connection was closed';
  let closing = false;
  client.on('error', (error: Error) => {
    reason = error.message === '' ? error.name : error.message;
  });
  client.on('ready', () => {
    if (state === 'down') log.info('Redis is back');
    state = 'up';
  });
  client.on('close', () => {
    if (state === 'down' || closing) return;
    state = 'down';
    log.warn({ reason }, 'Redis cannot be reached: everything goes on, rate limits are split evenly over the partitions until it is back');
  });
  const up = (): boolean => client.status === 'ready';
  return {
    client,
    keyPrefix,
    up,
    metrics: () => [{ name: 'tailrace_redis_up', help: 'Whether Redis can be reached.', kind: 'gauge', value: up() ? 1 : 0 }],
    async close() {
      closing = true;
      if (!up()) return client.disconnect();
      try {
        await client.quit();
      } catch {
        client.disconnect();
      }
    },
  };
}
