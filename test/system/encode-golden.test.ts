import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Session } from 'chdb';
import fc from 'fast-check';
import type { EncodedBlock } from '../../pipelines/encode/block.ts';
import { createEncoder } from '../../pipelines/encode/encoder.ts';
import type { Signal } from '../../pipelines/otlp/walk.ts';
import { messages } from '../kit/messages.ts';
import { encode } from '../kit/proto.ts';
import { storedRows } from '../kit/stored-rows.ts';

/*
 * The golden test of encode: its blocks go into the real engine, into tables with the Collector exporter's columns, and come back as the rows that
 * protobufjs sees in the same bytes; and the engine, writing those rows as Native itself, gives the very bytes of the block.
 */
const FIXTURES = new URL('../fixtures/envoy/', import.meta.url);
const PREFIX = { traces: 'trace-', logs: 'logs-', metrics: 'metrics-' } as const;
const RANDOM_MESSAGES = 150;

const MAP = 'Map(LowCardinality(String), String)';
const LC = 'LowCardinality(String)';
const TIME = 'DateTime64(9)';
const EXEMPLARS = `Exemplars Nested(FilteredAttributes ${MAP}, TimeUnix ${TIME}, Value Float64, SpanId String, TraceId String)`;
const POINT = `ResourceAttributes ${MAP}, ResourceSchemaUrl String, ScopeName String, ScopeVersion String, ScopeAttributes ${MAP}, ScopeDroppedAttrCount UInt32,
  ScopeSchemaUrl String, ServiceName ${LC}, MetricName ${LC}, MetricDescription String, MetricUnit String, Attributes ${MAP}, StartTimeUnix ${TIME}, TimeUnix ${TIME}, Flags UInt32`;
/** As the exporter creates them (sql_templates/*_table.sql), without codecs and indexes. */
const TABLES: Record<string, string> = {
  otel_traces: `Timestamp ${TIME}, TraceId String, SpanId String, ParentSpanId String, TraceState String, SpanName ${LC}, SpanKind ${LC}, ServiceName ${LC},
    ResourceAttributes ${MAP}, ScopeName String, ScopeVersion String, SpanAttributes ${MAP}, Duration UInt64, StatusCode ${LC}, StatusMessage String,
    Events Nested(Timestamp ${TIME}, Name ${LC}, Attributes ${MAP}), Links Nested(TraceId String, SpanId String, TraceState String, Attributes ${MAP})`,
  otel_logs: `Timestamp ${TIME}, TraceId String, SpanId String, TraceFlags UInt8, SeverityText ${LC}, SeverityNumber UInt8, ServiceName ${LC}, Body String,
    ResourceSchemaUrl ${LC}, ResourceAttributes ${MAP}, ScopeSchemaUrl ${LC}, ScopeName String, ScopeVersion ${LC}, ScopeAttributes ${MAP}, LogAttributes ${MAP}, EventName String`,
  otel_metrics_gauge: `${POINT}, Value Float64, ${EXEMPLARS}`,
  otel_metrics_sum: `${POINT}, Value Float64, AggregationTemporality Int32, IsMonotonic Boolean, ${EXEMPLARS}`,
  otel_metrics_histogram: `${POINT}, Count UInt64, Sum Float64, BucketCounts Array(UInt64), ExplicitBounds Array(Float64), Min Float64, Max Float64, AggregationTemporality Int32, ${EXEMPLARS}`,
  otel_metrics_exponential_histogram: `${POINT}, Count UInt64, Sum Float64, Scale Int32, ZeroCount UInt64, PositiveOffset Int32, PositiveBucketCounts Array(UInt64), NegativeOffset Int32,
    NegativeBucketCounts Array(UInt64), Min Float64, Max Float64, AggregationTemporality Int32, ${EXEMPLARS}`,
  otel_metrics_summary: `${POINT}, Count UInt64, Sum Float64, ValueAtQuantiles Nested(Quantile Float64, Value Float64)`,
};
/** So that JSON tells everything apart: maps as pairs in their order, 64-bit numbers and NaN as text, times as seconds with nine digits. */
const READ = `SETTINGS output_format_json_quote_64bit_integers = 1, output_format_json_quote_denormals = 1, output_format_json_map_as_array_of_tuples = 1,
  output_format_json_named_tuples_as_objects = 0, date_time_output_format = 'unix_timestamp', max_threads = 1, max_block_size = 1000000`;

const folder = mkdtempSync(join(tmpdir(), 'tailrace-golden-'));
const session = new Session(join(folder, 'engine'));
after(() => {
  session.close();
  rmSync(folder, { recursive: true, force: true });
});

async function query(sql: string, format = 'CSV'): Promise<Buffer> {
  return Buffer.from((await session.queryAsync(sql, { format })).bytes());
}

const quoted = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ');

/** Our value as `READ` shows it. */
function shown(name: string, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((element) => shown(name, element));
  if (/Time(stamp|Unix)$/.test(name)) return `${(value as string).slice(0, -9) || '0'}.${(value as string).slice(-9).padStart(9, '0')}`;
  if (typeof value !== 'number' || Number.isFinite(value)) return value;
  return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
}

async function readBack(block: EncodedBlock): Promise<unknown[]> {
  const file = join(folder, `${block.table}-${block.day}.native`);
  writeFileSync(file, block.native);
  await query(`CREATE OR REPLACE TABLE ${block.table} (${TABLES[block.table]}) ENGINE = MergeTree ORDER BY tuple()`);
  await query(`INSERT INTO ${block.table} (${quoted(block.columns)}) SELECT ${quoted(block.columns)} FROM file('${file}', 'Native')`);
  const json = await query(`SELECT ${quoted(block.columns)} FROM ${block.table} ${READ}`, 'JSONEachRow');
  const lines = json.toString('utf8').trimEnd().split('\n');
  const again = await query(`SELECT ${quoted(block.columns)} FROM file('${file}', 'Native') ${READ}`, 'Native');
  assert.ok(again.equals(block.native), `the engine writes ${block.table} of day ${block.day} with other bytes than we did`);
  return lines.map((line) => JSON.parse(line) as unknown);
}

async function golden(signal: Signal, inputs: Buffer[]): Promise<number> {
  const encoder = createEncoder(signal);
  const expected = inputs.flatMap((bytes) => storedRows(signal, bytes));
  for (const bytes of inputs) encoder.add(bytes);
  const blocks: EncodedBlock[] = [];
  encoder.finish((block) => blocks.push(block));
  let rows = 0;
  for (const block of blocks) {
    const want = expected
      .filter((e) => e.table === block.table && dayOfRow(e.row) === block.day)
      .map(({ row }) => Object.fromEntries(block.columns.map((name) => [name, shown(name, row[name])])));
    const got = await readBack(block);
    // JSON has no -0 apart from 0 in the engine's output.
    assert.deepEqual(got.map(withoutMinusZero), want.map(withoutMinusZero));
    rows += got.length;
  }
  assert.equal(rows, expected.length);
  return rows;
}

function withoutMinusZero(row: unknown): unknown {
  return JSON.parse(JSON.stringify(row));
}

function dayOfRow(row: Record<string, unknown>): number {
  return Number(BigInt((row['TimeUnix'] ?? row['Timestamp']) as string) / 86_400_000_000_000n);
}

for (const signal of ['traces', 'logs', 'metrics'] as const) {
  test(`the engine stores the ${signal} of a real Envoy as protobufjs reads them`, async () => {
    const names = readdirSync(FIXTURES).filter((name) => name.startsWith(PREFIX[signal]));
    const rows = await golden(
      signal,
      names.map((name) => readFileSync(new URL(name, FIXTURES))),
    );
    assert.ok(rows > names.length && names.length > 0, `${rows} rows`);
  });

  test(`the engine stores random ${signal} as protobufjs reads them`, async () => {
    const seed = Number(process.env['SEED'] ?? process.hrtime.bigint() & 0x7fff_ffffn);
    console.log(`${signal}: SEED=${seed}`);
    const rows = await golden(signal, fc.sample(messages[signal], { seed, numRuns: RANDOM_MESSAGES }));
    assert.ok(rows > RANDOM_MESSAGES / 5, `${rows} rows`);
  });
}

for (const keys of [254, 255, 256, 257, 65_534, 65_535, 65_536]) {
  test(`the engine reads, and writes alike, a dictionary of ${keys} keys and the empty one`, async () => {
    const logRecords = Array.from({ length: keys }, (_, i) => ({ timeUnixNano: '1', severityText: `s${i}` }));
    const encoder = createEncoder('logs');
    encoder.add(encode('LogsData', { resourceLogs: [{ scopeLogs: [{ logRecords }] }] }));
    const blocks: EncodedBlock[] = [];
    encoder.finish((block) => blocks.push(block));
    const rows = (await readBack(blocks[0]!)) as { SeverityText: string }[];
    assert.deepEqual(
      rows.map((row) => row.SeverityText),
      logRecords.map((record) => record.severityText),
    );
  });
}
