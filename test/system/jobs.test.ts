import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import type { AlertsConfig } from '../../config/schema-scale.ts';
import { wallClock } from '../../pipelines/base/clock.ts';
import { createLog } from '../../pipelines/base/log.ts';
import { startJobs, type Jobs } from '../../services/jobs.ts';
import type { Alert } from '../../services/jobs-alerts.ts';
import { startTestClickhouse, type TestClickhouse } from '../kit/clickhouse.ts';
import { until } from '../kit/process.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';

let redis: TestRedis;
let clickhouse: TestClickhouse;
const received: Alert[] = [];
let refuse = 0;
let port = 0;
const webhook = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk: Buffer) => (body += chunk.toString()));
  request.on('end', () => {
    if (refuse > 0) {
      refuse--;
      response.writeHead(503).end('later');
      return;
    }
    received.push(...(JSON.parse(body) as Alert[]));
    response.writeHead(200).end();
  });
});

before(async () => {
  [redis, clickhouse] = await Promise.all([startRedis(), startTestClickhouse()]);
  await new Promise<void>((resolve) => {
    webhook.listen(0, '127.0.0.1', () => resolve());
  });
  const address = webhook.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
  await clickhouse.store.command({ query: 'CREATE TABLE levels (service String, level Float64) ENGINE = MergeTree ORDER BY service' });
});
after(async () => {
  webhook.closeAllConnections();
  webhook.close();
  await clickhouse.stop();
  await redis.stop();
});

const rules = (name: string, extra: Partial<AlertsConfig['rules'][number]> = {}): AlertsConfig => ({
  webhooks: [`http://127.0.0.1:${port}/`],
  rules: [
    {
      name,
      sql: 'SELECT service, max(level) AS value FROM levels GROUP BY service',
      above: 10,
      for: 0,
      every: 500,
      labels: { severity: 'page' },
      annotations: { summary: '{{service}} is at {{value}}' },
      ...extra,
    },
  ],
});

let migrations = 0;
function start(alerts: AlertsConfig, prefix: string): Promise<Jobs> {
  const migrate = async (): Promise<void> => void migrations++;
  return startJobs({
    redisUrl: redis.url,
    keyPrefix: prefix,
    migrate,
    alerts,
    store: clickhouse.store,
    log: createLog('silent'),
    clock: wallClock,
  });
}
function done(jobs: Jobs, job: string, result = 'done'): number {
  return jobs.metrics().find((metric) => metric.labels?.['job'] === job && metric.labels['result'] === result)?.value ?? 0;
}
const of = (name: string): Alert[] => received.filter((alert) => alert.labels['alertname'] === name);

test('jobs: two replicas share the work; an alert fires with its labels, is said again, and ends once', async () => {
  migrations = 0;
  const both = [await start(rules('High'), 'share:'), await start(rules('High'), 'share:')];
  await until('the tables to be made', () => migrations >= 1);
  await clickhouse.store.command({ query: "INSERT INTO levels VALUES ('cart', 42), ('search', 3)" });
  await until('the alert, twice', () => of('High').length >= 2);
  const [alert] = of('High');
  assert.deepEqual(alert!.labels, { service: 'cart', severity: 'page', alertname: 'High' });
  assert.equal(alert!.annotations['summary'], 'cart is at 42');
  assert.ok(new Date(alert!.endsAt) > new Date(), 'an alert that fires ends in the future');
  // The period is 500 ms: were each replica to evaluate it, there would be twice as many.
  const began = performance.now();
  const turnsBefore = both.reduce((sum, jobs) => sum + done(jobs, 'alert:High'), 0);
  await until('ten more turns', () => both.reduce((sum, jobs) => sum + done(jobs, 'alert:High'), 0) > turnsBefore + 9);
  const turns = (performance.now() - began) / 500;
  assert.ok(turns > 7, `10 evaluations in ${turns.toFixed(1)} periods`);
  await clickhouse.store.command({ query: 'TRUNCATE TABLE levels' });
  await until('the end of the alert', () => of('High').some((one) => new Date(one.endsAt) <= new Date()));
  assert.ok(migrations <= 3, `${migrations} migrations for two starts`);
  await Promise.all(both.map((jobs) => jobs.stop()));
});

test('jobs: one replica is stopped, the other goes on; a webhook that refuses is tried again; Redis may go and come', async () => {
  await clickhouse.store.command({ query: "INSERT INTO levels VALUES ('cart', 42)" });
  const first = await start(rules('Over'), 'over:');
  const second = await start(rules('Over'), 'over:');
  refuse = 2;
  await until('the alert, although the webhook refused at first', () => of('Over').length >= 1);
  await first.stop();
  const seen = of('Over').length;
  await until('the alert from the other replica', () => of('Over').length > seen);
  await redis.kill();
  await redis.restart();
  const again = of('Over').length;
  await until('the alert after Redis came back empty', () => of('Over').length > again + 1, 60_000);
  await second.stop();
});

test('jobs: a rule waits for its time, and broken SQL fails its own job alone', async () => {
  const alerts = rules('Slow', { for: 1_500 });
  const broken = { ...alerts.rules[0]!, name: 'Broken', sql: 'SELECT nothing FROM nowhere', for: 0 };
  const jobs = await start({ ...alerts, rules: [...alerts.rules, broken] }, 'slow:');
  await until('some turns', () => done(jobs, 'alert:Slow') >= 2);
  assert.equal(of('Slow').length, 0, 'not before its time');
  await until('the alert', () => of('Slow').length > 0);
  const [alert] = of('Slow');
  assert.ok(Date.now() - new Date(alert!.startsAt).getTime() >= 1_500);
  await until('the broken rule to have failed', () => done(jobs, 'alert:Broken', 'failed') > 0);
  await jobs.stop();
});
