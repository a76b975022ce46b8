import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { wallClock } from '../../pipelines/base/clock.ts';
import { createLog } from '../../pipelines/base/log.ts';
import type { Signal } from '../../pipelines/otlp/walk.ts';
import { migrate } from '../../pipelines/store/migrate.ts';
import { writeDefaults } from '../../services/write-settings.ts';
import { startWrite, type Write } from '../../services/write.ts';
import { startTestClickhouse, type TestClickhouse } from '../kit/clickhouse.ts';
import { FakeTopics } from '../kit/fake-topics.ts';
import { BASE_NS, keyValues, traces } from '../kit/otlp.ts';
import { encode } from '../kit/proto.ts';
import { storedRows } from '../kit/stored-rows.ts';

const log = createLog('silent');
const migrateSettings = { database: 'default', ttl_hours: { traces: 0, logs: 0, metrics: 0 } };
const signals: { topic: string; signal: Signal }[] = [
  { topic: 'sampled', signal: 'traces' },
  { topic: 'logs', signal: 'logs' },
  { topic: 'metrics', signal: 'metrics' },
];

let clickhouse: TestClickhouse;
before(async () => {
  clickhouse = await startTestClickhouse();
});
after(() => clickhouse.stop());

function startOn(topics: FakeTopics): Promise<Write> {
  return startWrite({
    settings: {
      ...writeDefaults,
      batchWait_ms: 20,
      retryDelay_ms: [20, 200],
      topics: signals,
    },
    topics,
    store: clickhouse.store,
    log,
    clock: wallClock,
  });
}

function newTopics(): FakeTopics {
  return new FakeTopics({ topics: { sampled: 2, logs: 1, metrics: 1, dead: 1 }, clock: wallClock });
}

async function append(topics: FakeTopics, topic: string, value: Buffer, items: number, partition = 0): Promise<void> {
  await topics.append(topic, partition, value, { format: 1, codec: 'none', items, raw_bytes: value.length });
}

async function untilStored(topics: FakeTopics): Promise<void> {
  const end = performance.now() + 30_000;
  for (const { topic } of signals)
    while ((await topics.lag('write', topic)) > 0) {
      if (performance.now() > end) throw new Error(`lag of ${topic} stays`);
      await wallClock.sleep(5);
    }
}

test('migrate() makes the tables once, also over what a Collector has made, and sets retention', async () => {
  const { store } = clickhouse;
  // The exporter's logs table up to v0.150, and without a window for tokens.
  await store.command({
    query: `CREATE TABLE otel_logs (Timestamp DateTime64(9), TimestampTime DateTime DEFAULT toDateTime(Timestamp), TraceId String, SpanId String, TraceFlags UInt8,
      SeverityText LowCardinality(String), SeverityNumber UInt8, ServiceName LowCardinality(String), Body String, ResourceSchemaUrl LowCardinality(String),
      ResourceAttributes Map(LowCardinality(String), String), ScopeSchemaUrl LowCardinality(String), ScopeName String, ScopeVersion LowCardinality(String),
      ScopeAttributes Map(LowCardinality(String), String), LogAttributes Map(LowCardinality(String), String)
    ) ENGINE = MergeTree PARTITION BY toDate(TimestampTime) PRIMARY KEY (ServiceName, TimestampTime) ORDER BY (ServiceName, TimestampTime, Timestamp)`,
  });
  const applied = await migrate(store, { ...migrateSettings, ttl_hours: { traces: 720, logs: 24, metrics: 0 } }, log);
  assert.ok(applied.length >= 4);
  const ttls = async (): Promise<string[]> =>
    (
      await clickhouse.rows<{ name: string; ttl: string }>(
        "SELECT name, extract(create_table_query, 'TTL (.+) SETTINGS') AS ttl FROM system.tables WHERE database = 'default' AND ttl != '' ORDER BY name",
      )
    ).map(({ name, ttl }) => `${name}: ${ttl}`);
  assert.deepEqual(await ttls(), [
    'otel_logs: toDateTime(Timestamp) + toIntervalHour(24)',
    'otel_traces: toDateTime(Timestamp) + toIntervalHour(720)',
    'otel_traces_trace_id_ts: Start + toIntervalHour(720)',
  ]);
  assert.deepEqual(await migrate(store, migrateSettings, log), [], 'nothing to apply the second time');
  assert.deepEqual(await ttls(), []);
  const columns = await clickhouse.rows<{ name: string }>(
    "SELECT name FROM system.columns WHERE table = 'otel_logs' AND name IN ('EventName', 'TimestampTime')",
  );
  assert.equal(columns.length, 2);
});

test('every fixture of a real Envoy becomes the rows it must become', async () => {
  const topics = newTopics();
  const folder = new URL('../fixtures/envoy/', import.meta.url).pathname;
  const expected = new Map<string, number>();
  let files = 0;
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.bin'))) {
    const { topic, signal } = signals.find((each) =>
      name.startsWith({ traces: 'trace-', logs: 'logs-', metrics: 'metrics-' }[each.signal]),
    )!;
    const value = readFileSync(join(folder, name));
    const rows = storedRows(signal, value);
    for (const { table } of rows) expected.set(table, (expected.get(table) ?? 0) + 1);
    await append(topics, topic, value, rows.length);
    files++;
  }
  assert.ok(files > 20 && expected.size >= 3);
  const write = await startOn(topics);
  await untilStored(topics);
  for (const [table, rows] of expected) assert.deepEqual(await clickhouse.rows(`SELECT count() AS rows FROM ${table}`), [{ rows }], table);
  const [ids] = await clickhouse.rows<{ a: number; b: number }>(
    'SELECT (SELECT uniqExact(TraceId) FROM otel_traces) AS a, (SELECT uniqExact(TraceId) FROM otel_traces_trace_id_ts) AS b',
  );
  assert.ok(ids!.a > 0);
  assert.equal(ids!.a, ids!.b);
  for (const counters of write.counters) assert.equal(counters.imbalance(), 0, counters.stage);
  await write.drain();
});

test('rows are stored once while ClickHouse and write are killed again and again', async () => {
  await clickhouse.store.command({ query: 'TRUNCATE TABLE otel_traces' });
  await clickhouse.store.command({ query: 'TRUNCATE TABLE otel_traces_trace_id_ts' });
  const topics = newTopics();
  // Offsets begin at 0 again, as for a topic made anew: the tokens must not be those of the test before.
  for (let i = 0; i < 400; i++) await append(topics, 'sampled', traces([{ name: 'warm', trace: 'f' }]), 1, i % 2);
  let write = await startOn(topics);
  await untilStored(topics);
  const warm = (await clickhouse.rows<{ rows: number }>('SELECT count() AS rows FROM otel_traces'))[0]!.rows;
  let spans = 0;
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 40; i++) {
      const names = Array.from({ length: 10 }, () => ({ name: `span-${spans}`, trace: (++spans).toString(16), start_ns: BASE_NS }));
      await append(topics, 'sampled', traces(names), 10, i % 2);
    }
    if (round % 2 === 0) {
      const up = performance.now() + 20_000;
      while (clickhouse.engine.pid() === undefined && performance.now() < up) await wallClock.sleep(5);
      process.kill(clickhouse.engine.pid()!, 'SIGKILL');
    }
    await wallClock.sleep(30);
    topics.crash('write');
    write.failed.catch(() => {});
    write = await startOn(topics);
  }
  await untilStored(topics);
  const [row] = await clickhouse.rows<{ rows: number; names: number; lookups: number }>(
    "SELECT (SELECT count() FROM otel_traces WHERE SpanName != 'warm') AS rows, (SELECT uniqExact(SpanName) FROM otel_traces WHERE SpanName != 'warm') AS names, (SELECT count() FROM otel_traces_trace_id_ts WHERE TraceId NOT LIKE '%f') AS lookups",
  );
  assert.equal(warm, 400);
  assert.equal(row!.rows, spans);
  assert.equal(row!.names, spans);
  await write.drain();
});

test('tailrace_red reads rate, errors and percentiles off the span metrics', async () => {
  const topics = newTopics();
  const time = { startTimeUnixNano: BASE_NS.toString(), timeUnixNano: (BASE_NS + 10_000_000_000n).toString() };
  const series = (status: string): object[] =>
    keyValues({ 'span.name': 'GET /cart', 'span.kind': 'SPAN_KIND_SERVER', 'status.code': status });
  const value = encode('MetricsData', {
    resourceMetrics: [
      {
        resource: { attributes: keyValues({ 'service.name': 'red-shop' }) },
        scopeMetrics: [
          {
            metrics: [
              {
                name: 'traces.span.metrics.calls',
                sum: {
                  aggregationTemporality: 1,
                  isMonotonic: true,
                  dataPoints: [
                    { ...time, asInt: 90, attributes: series('STATUS_CODE_UNSET') },
                    { ...time, asInt: 10, attributes: series('STATUS_CODE_ERROR') },
                  ],
                },
              },
              {
                name: 'traces.span.metrics.duration',
                unit: 'ms',
                histogram: {
                  aggregationTemporality: 1,
                  dataPoints: [
                    {
                      ...time,
                      count: 100,
                      sum: 900,
                      explicitBounds: [10, 20],
                      bucketCounts: [80, 20, 0],
                      attributes: series('STATUS_CODE_UNSET'),
                    },
                  ],
                },
              },
            ],
          },
        ],
      },
    ],
  });
  for (let i = 0; i < 50; i++) await append(topics, 'metrics', value, 2);
  const write = await startOn(topics);
  await untilStored(topics);
  const rows = await clickhouse.rows(
    "SELECT SpanName, SpanKind, Calls, Errors, Durations, DurationSum, P50, P95 FROM tailrace_red WHERE ServiceName = 'red-shop'",
  );
  assert.deepEqual(rows, [
    {
      SpanName: 'GET /cart',
      SpanKind: 'SPAN_KIND_SERVER',
      Calls: 5000,
      Errors: 500,
      Durations: 5000,
      DurationSum: 45_000,
      P50: 6.25,
      P95: 17.5,
    },
  ]);
  await write.drain();
});

test('tailrace sql prints a table, reads stdin, and says what ClickHouse says', async () => {
  const sql = (argv: string[], input = ''): Promise<{ status: number; stdout: string; stderr: string }> =>
    new Promise((resolve) => {
      const child = execFile(
        process.execPath,
        [new URL('../../services/tailrace.ts', import.meta.url).pathname, 'sql', ...argv],
        (error, stdout, stderr) => resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr }),
      );
      child.stdin!.end(input);
    });
  const table = await sql(['--url', clickhouse.url, "SELECT 1 AS one, 'x' AS two"]);
  assert.equal(table.status, 0, table.stderr);
  assert.match(table.stdout, /one.*two/);
  assert.match(table.stdout, /│\s+1 │ x/);
  assert.equal((await sql(['--url', clickhouse.url, '--format', 'JSONEachRow', '-'], 'SELECT 1 AS x')).stdout, '{"x":1}\n');
  const wrong = await sql(['--url', clickhouse.url, 'SELECT * FROM nope']);
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /UNKNOWN_TABLE/);
  const nobody = await sql(['--url', 'http://127.0.0.1:1', 'SELECT 1']);
  assert.equal(nobody.status, 1);
  assert.match(nobody.stderr, /no ClickHouse answers at http:\/\/127\.0\.0\.1:1/);
  assert.match(nobody.stderr, /tailrace standalone/);
  assert.match((await sql(['--help'])).stdout, /Examples:/);
});
