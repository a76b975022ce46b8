import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spanMetricsDefaults } from '../../pipelines/aggregate/settings.ts';
import { createLog } from '../../pipelines/base/log.ts';
import { createStore, storeDefaults } from '../../pipelines/store/client.ts';
import { migrate } from '../../pipelines/store/migrate.ts';
import { compress } from '../../pipelines/topic/record.ts';
import { sampleDefaults, startSample, type SampleRoleSettings } from '../../services/sample.ts';
import { startWrite } from '../../services/write.ts';
import { writeDefaults } from '../../services/write-settings.ts';
import { startTestClickhouse, type TestClickhouse } from '../kit/clickhouse.ts';
import { FakeTopics } from '../kit/fake-topics.ts';
import { HandClock } from '../kit/hand-clock.ts';
import { BASE_NS, traces, type SpanSpec } from '../kit/otlp.ts';
import { until } from '../kit/process.ts';
import { seeded } from '../kit/random.ts';

const PARTITIONS = 2;
const TOPICS = { traces: PARTITIONS, sampled: PARTITIONS, spanmetrics: PARTITIONS, dead: PARTITIONS };
const log = createLog('silent');
const settings: SampleRoleSettings = {
  ...sampleDefaults,
  group: 'sample',
  topic: 'traces',
  tail: {
    sampler: {
      decisionWait_ms: 3_000,
      lateWait_ms: 4_000,
      heldBytes_max: 40_000,
      traces_max: 100_000,
      policies: [
        { name: 'errors', type: 'status_code', statusCodes: ['ERROR'] },
        { name: 'some', type: 'probabilistic', samplingPercentage: 30 },
        { name: 'few', type: 'rate_limiting', spansPerSecond: 4 },
      ],
    },
    topic: 'sampled',
    processors: [],
  },
  spanMetrics: [{ settings: { ...spanMetricsDefaults, interval_ms: 2_000 }, topic: 'spanmetrics', processors: [] }],
  commitEvery_ms: 0,
};

interface Pace {
  readonly recordsPerCall: number;
  /** Chance that a crash follows a look at the state. */
  readonly crashes: number;
}

/** The same records at the same times for every run of a seed: traces of several spans, some of them late, some for a long time. */
async function fill(topics: FakeTopics, clock: HandClock, seed: number): Promise<number> {
  const random = seeded(seed);
  let spans = 0;
  for (let n = 0; n < 250; n++) {
    clock.time_ms += Math.floor(random() * 120);
    const batch: SpanSpec[] = Array.from({ length: 1 + Math.floor(random() * 6) }, () => {
      // Ids come again within a few records, some much later: late spans, and second lives.
      const trace = Math.floor(random() * 12) === 0 ? Math.floor(random() * 20) : 100 + n + Math.floor(random() * 6);
      return {
        trace: `${trace.toString(16).padStart(16, '0')}${(trace * 2654435761).toString(16).padStart(16, '0')}`,
        span: `${++spans}`,
        status: random() < 0.05 ? 2 : 0,
        start_ns: BASE_NS + BigInt(n) * 1_000_000n,
      };
    });
    const value = traces(batch);
    await topics.append('traces', n % PARTITIONS, compress(value, 'zstd'), {
      format: 1,
      codec: 'zstd',
      items: batch.length,
      raw_bytes: value.length,
    });
  }
  return spans;
}

async function run(
  clickhouse: TestClickhouse,
  database: string,
  seed: number,
  pace: Pace,
): Promise<{ spans: unknown[]; metrics: unknown[]; crashes: number }> {
  const clock = new HandClock();
  const topics = new FakeTopics({ topics: TOPICS, clock });
  topics.recordsPerCall = pace.recordsPerCall;
  await fill(topics, clock, seed);
  clock.time_ms += 60_000;
  const store = createStore({ ...storeDefaults, url: clickhouse.url, database });
  await migrate(clickhouse.store, { database, ttl_hours: { traces: 0, logs: 0, metrics: 0 } }, log);
  const parts = { topics, clock, log };
  // A crashed role still runs here, as a process does that a broker has given up; what it cannot commit any more is its own affair.
  const forsaken = <T extends { readonly failed: Promise<never> }>(role: T): T => {
    role.failed.catch(() => undefined);
    return role;
  };
  const sample = async () => forsaken(await startSample({ ...parts, settings }));
  const write = async () =>
    forsaken(
      await startWrite({
        ...parts,
        store,
        settings: {
          ...writeDefaults,
          topics: [
            { topic: 'sampled', signal: 'traces' },
            { topic: 'spanmetrics', signal: 'metrics' },
          ],
          batch_rows_max: 40,
          batchWait_ms: 0,
        },
      }),
    );
  let sampling = await sample();
  let writing = await write();
  const random = seeded(seed + 1);
  let crashes = 0;
  const done = async (): Promise<boolean> => {
    if (random() < pace.crashes && crashes < 12) {
      crashes++;
      if (random() < 0.6) {
        topics.crash('sample');
        sampling = await sample();
      } else {
        topics.crash(writeDefaults.group);
        writing = await write();
      }
    }
    for (const [group, topic] of [
      ['sample', 'traces'],
      [writeDefaults.group, 'sampled'],
      [writeDefaults.group, 'spanmetrics'],
    ] as const) {
      if ((await topics.lag(group, topic)) > 0) return false;
    }
    return topics.records('sampled').length > 0;
  };
  await until(`${database} to be stored`, done, 60_000, 5);
  await sampling.stop();
  await writing.drain();
  const spans = await clickhouse.rows(`SELECT * FROM ${database}.otel_traces ORDER BY TraceId, SpanId, cityHash64(SpanAttributes)`);
  const metrics = await clickhouse.rows(
    `SELECT ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Value FROM ${database}.otel_metrics_sum ORDER BY ALL`,
  );
  await store.close();
  return { spans, metrics, crashes };
}

test('determinism: the same log read in one go, record by record, or with crashes at random moments gives the same rows', async () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6));
  console.log(`SEED=${seed}`);
  const clickhouse = await startTestClickhouse();
  try {
    const whole = await run(clickhouse, 'whole', seed, { recordsPerCall: 1_000, crashes: 0 });
    const slow = await run(clickhouse, 'slow', seed, { recordsPerCall: 1, crashes: 0 });
    const crashed = await run(clickhouse, 'crashed', seed, { recordsPerCall: 7, crashes: 0.3 });
    console.log(`${whole.spans.length} spans, ${whole.metrics.length} metric points, ${crashed.crashes} crashes`);
    assert.ok(whole.spans.length > 100 && whole.metrics.length > 20 && crashed.crashes > 0);
    assert.deepEqual(slow.spans, whole.spans);
    assert.deepEqual(slow.metrics, whole.metrics);
    assert.deepEqual(crashed.spans, whole.spans);
    assert.deepEqual(crashed.metrics, whole.metrics);
  } finally {
    await clickhouse.stop();
  }
});
