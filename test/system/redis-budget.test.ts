import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { compress } from '../../pipelines/topic/record.ts';
import { connectRedis, type RedisHandle } from '../../services/redis.ts';
import { startSample, type SampleRoleSettings } from '../../services/sample.ts';
import { FakeTopics } from '../kit/fake-topics.ts';
import { HandClock } from '../kit/hand-clock.ts';
import { traces, type SpanSpec } from '../kit/otlp.ts';
import { until } from '../kit/process.ts';
import { startRedis } from '../kit/redis.ts';

const LIMIT = 40;
const PARTITIONS = 4;

const settings: SampleRoleSettings = {
  group: 'sample.traces',
  topic: 'traces',
  tail: {
    sampler: {
      decisionWait_ms: 1000,
      lateWait_ms: 2000,
      heldBytes_max: 1e9,
      traces_max: 1e9,
      policies: [{ name: 'rate', type: 'rate_limiting', spansPerSecond: LIMIT }],
    },
    topic: 'sampled',
    processors: [],
  },
  spanMetrics: [],
  commitEvery_ms: 0,
  record_bytes_max: 1 << 20,
};

test('two roles hold a rate limit together and lend each other what they do not need; Redis may go and come', async () => {
  const server = await startRedis();
  const clock = new HandClock();
  const topics = new FakeTopics({ topics: { traces: PARTITIONS, sampled: PARTITIONS }, clock });
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const redis: RedisHandle[] = [];
  const samples = [];
  for (let role = 0; role < 2; role++) {
    const handle = connectRedis({ url: server.url, keyPrefix: 'test:', log });
    redis.push(handle);
    await until('Redis', () => handle.up(), 5_000);
    samples.push(await startSample({ settings, topics, clock, log, redis: handle }));
  }
  const probe = redis[0]!.client;
  const fields = async (block: number): Promise<Record<string, string>> => {
    const [key] = await probe.keys(`test:budget:*:${block}`);
    return key === undefined ? {} : probe.hgetall(key);
  };
  let trace = 1;
  /** A block of log time in which partition 0 alone has traffic. Returns the spans kept of each second. */
  const block = async (withRedis: boolean): Promise<number[]> => {
    const first = topics.records('traces', 0).length;
    for (let second = 0; second < 10; second++) {
      const spans: SpanSpec[] = Array.from({ length: LIMIT }, () => ({ trace: (trace++).toString(16) }));
      const raw = traces(spans);
      await topics.append('traces', 0, compress(raw, 'zstd'), { format: 1, codec: 'zstd', items: LIMIT, raw_bytes: raw.length });
      const next = Math.floor(clock.time_ms / 10_000) + 1;
      if (withRedis)
        await until(
          'the gifts',
          async () => Object.keys(await fields(next)).filter((name) => name !== 'pool' && name !== '0').length === PARTITIONS - 1,
          10_000,
          5,
        );
      if (withRedis && second >= 6) await until('the taking', async () => '0' in (await fields(next)), 10_000, 5);
      clock.time_ms += 1000;
    }
    const seconds = Array.from({ length: 9 }, (_, second) => first + second);
    await until('the outputs', () => topics.records('sampled', 0).some(({ headers }) => headers.sequence === first + 8), 10_000, 2);
    const kept = topics.records('sampled', 0);
    return seconds.map((offset) => kept.find(({ headers }) => headers.sequence === offset)?.headers.items ?? 0);
  };
  const alike = (spans: number): number[] => Array.from({ length: 9 }, () => spans);
  try {
    assert.deepEqual(await block(false), alike(10), 'nobody knows yet what the others need: the own share');
    // Partitions that moved to the second role begin to look here.
    await block(false);
    await block(true);
    // Each of the three others keeps the last quarter of its 10.
    assert.deepEqual(await block(true), alike(10 + 3 * 7));
    assert.equal(redis[0]!.metrics()[0]!.value, 1);

    await server.kill();
    await until('both to notice', () => redis.every((one) => !one.up()), 5_000, 5);
    await block(false);
    assert.deepEqual(await block(false), alike(10), 'the own share again');
    assert.equal(redis[0]!.metrics()[0]!.value, 0);

    await server.restart();
    await until('both to return', () => redis.every((one) => one.up()), 10_000, 5);
    await block(false);
    await block(true);
    assert.deepEqual(await block(true), alike(10 + 3 * 7));
    assert.equal(lines.filter((line) => line.includes('Redis cannot be reached')).length, 2, 'once for each connection');
    assert.equal(lines.filter((line) => line.includes('Redis is back')).length, 2);
  } finally {
    for (const sample of samples) await sample.stop();
    for (const handle of redis) await handle.close();
    await server.stop();
  }
});
