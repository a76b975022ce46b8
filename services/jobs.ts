import { Queue, Worker, type Job } from 'bullmq';
import { Redis } from 'ioredis';
import type { AlertsConfig } from '../config/schema-scale.ts';
import type { Clock } from '../pipelines/base/clock.ts';
import type { Log } from '../pipelines/base/log.ts';
import type { Store } from '../pipelines/store/client.ts';
import { AlertRule, type Alert } from './jobs-alerts.ts';
import type { Sample as Metric } from './observe.ts';

export interface JobsParts {
  /** redis://… of the queue. */
  readonly redisUrl: string;
  readonly keyPrefix: string;
  /** Creates or updates tables and retention. Safe to run again. */
  readonly migrate: () => Promise<unknown>;
  readonly alerts: AlertsConfig;
  /** What alert rules ask. */
  readonly store: Store;
  readonly log: Log;
  readonly clock: Clock;
}

export interface Jobs {
  metrics(): readonly Metric[];
  stop(): Promise<void>;
}

const TABLES_EVERY_MS = 3_600_000;
const TABLES = 'tables';
const DELIVER = 'deliver';
const ATTEMPTS = 10;
const BACKOFF_MS = 1_000;
/** A replica that is gone for this long loses its job to another. */
const LOCK_MS = 30_000;
const STALLED_EVERY_MS = 5_000;
const DELIVER_TIMEOUT_MS = 10_000;

/**
 * The role `jobs`. Every replica has a worker on one queue; a scheduler in Redis (bullmq) makes each job once, and one replica takes it.
 * Jobs: `tables` at every start and every hour; `alert:NAME` by each rule's period; `deliver` to a webhook, repeated with growing delays.
 * Redis down: jobs wait. A job that fails is a warning, and comes again.
 */
export async function startJobs(parts: JobsParts): Promise<Jobs> {
  const { log, alerts } = parts;
  // bullmq's blocking commands must wait for as long as it takes.
  const connect = (): Redis => new Redis(parts.redisUrl, { maxRetriesPerRequest: null });
  const connections = [connect(), connect()] as const;
  let down = false;
  connections[0].on('error', (error: Error) => {
    if (!down) log.warn({ reason: error.message }, 'Redis cannot be reached: jobs wait until it is back');
    down = true;
  });
  connections[1].on('error', () => undefined);
  const options = { prefix: `${parts.keyPrefix}jobs` };
  const queue = new Queue('tailrace', {
    ...options,
    connection: connections[0],
    defaultJobOptions: { removeOnComplete: 100, removeOnFail: 100 },
  });
  const rules = new Map(
    alerts.rules.map((rule) => [`alert:${rule.name}`, new AlertRule(rule, parts.store, connections[0], options.prefix)]),
  );
  const counts = { done: new Map<string, number>(), failed: new Map<string, number>() };
  const count = (job: string, result: keyof typeof counts): void => void counts[result].set(job, (counts[result].get(job) ?? 0) + 1);

  const work = async (job: Job<{ webhook: string; alerts: Alert[] } | Record<string, never>>): Promise<void> => {
    if (job.name === TABLES) return void (await parts.migrate());
    if (job.name === DELIVER) return deliver(job.data as { webhook: string; alerts: Alert[] });
    const rule = rules.get(job.name);
    // A rule that is not in this replica's file any more: its scheduler goes with the next start.
    if (rule === undefined) return;
    const changed = await rule.evaluate(parts.clock.now_ms());
    if (changed.length === 0) return;
    for (const webhook of alerts.webhooks)
      await queue.add(DELIVER, { webhook, alerts: changed }, { attempts: ATTEMPTS, backoff: { type: 'exponential', delay: BACKOFF_MS } });
  };
  const worker = new Worker('tailrace', work, {
    ...options,
    connection: connections[1],
    concurrency: 4,
    lockDuration: LOCK_MS,
    stalledInterval: STALLED_EVERY_MS,
  });
  worker.on('completed', (job) => count(job.name, 'done'));
  worker.on('failed', (job, error) => {
    count(job?.name ?? 'unknown', 'failed');
    const last = (job?.attemptsMade ?? 0) >= (job?.opts.attempts ?? 1);
    log.warn(
      { job: job?.name, attempt: job?.attemptsMade, reason: error.message },
      last ? 'a job failed' : 'a job failed and is tried again',
    );
  });
  worker.on('error', () => undefined);
  queue.on('error', () => undefined);
  // At every connection: a Redis that comes back empty knows of no jobs. Not awaited: with Redis away the process is healthy, and its jobs wait.
  let scheduled = Promise.resolve();
  const plan = (): void => {
    if (down) log.info('Redis is back');
    down = false;
    scheduled = schedule(queue, rules, alerts).catch((error: unknown) => log.warn({ err: error }, 'cannot schedule the jobs'));
  };
  connections[0].on('ready', plan);
  if (connections[0].status === 'ready') plan();
  return {
    metrics: () => [
      { name: 'tailrace_redis_up', help: 'Whether Redis can be reached.', kind: 'gauge', value: connections[0].status === 'ready' ? 1 : 0 },
      ...(['done', 'failed'] as const).flatMap((result) =>
        [...counts[result]].map(([job, value]): Metric => ({
          name: 'tailrace_jobs_total',
          help: 'Jobs that this replica did.',
          kind: 'counter',
          labels: { job, result },
          value,
        })),
      ),
    ],
    async stop() {
      // With Redis away there is nobody to tell: what is under way is taken up by another replica.
      const polite = connections[0].status === 'ready';
      await worker.close(!polite);
      for (const connection of connections) if (!polite) connection.disconnect();
      if (polite) await scheduled;
      await queue.close();
      for (const connection of connections) connection.disconnect();
    },
  };
}

/** Every replica says the same of the file it has; saying it again changes nothing. */
async function schedule(queue: Queue, rules: ReadonlyMap<string, AlertRule>, alerts: AlertsConfig): Promise<void> {
  await queue.upsertJobScheduler(TABLES, { every: TABLES_EVERY_MS }, { name: TABLES });
  // Beside the hourly one: a new version of the program brings its tables along. The same id while one waits is one job.
  await queue.add(
    TABLES,
    {},
    {
      jobId: `${TABLES}-start`,
      removeOnComplete: true,
      removeOnFail: true,
      attempts: ATTEMPTS,
      backoff: { type: 'exponential', delay: BACKOFF_MS },
    },
  );
  for (const rule of alerts.rules)
    await queue.upsertJobScheduler(`alert:${rule.name}`, { every: rule.every }, { name: `alert:${rule.name}` });
  for (const { key } of await queue.getJobSchedulers()) if (key !== TABLES && !rules.has(key)) await queue.removeJobScheduler(key);
}

async function deliver({ webhook, alerts }: { webhook: string; alerts: Alert[] }): Promise<void> {
  const response = await fetch(webhook, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(alerts),
    signal: AbortSignal.timeout(DELIVER_TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`${webhook} answered ${response.status}: ${(await response.text()).slice(0, 200)}`);
}
