import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import v8 from 'node:v8';
import { createAttributes } from '../../pipelines/process/attributes.ts';
import { createFilter } from '../../pipelines/process/filter.ts';
import { createProbabilisticSampler } from '../../pipelines/process/probabilistic-sampler.ts';
import type { Processor } from '../../pipelines/process/processor.ts';

/*
 * No object, string or BigInt per span: measured as in test/otlp/allocation.test.ts, by the bytes that V8 gave out. One small
 * object a span would be 24 bytes.
 */
const BYTES_PER_SPAN_MAX = 4;
const ROUNDS = 5;
const ATTEMPTS_MAX = 60;

const folder = new URL('../fixtures/envoy/', import.meta.url);
const files = readdirSync(folder).filter((file) => file.startsWith('trace'));
const one = Buffer.concat(files.map((file) => readFileSync(new URL(file, folder))));
const bytes = Buffer.concat(Array.from({ length: 20 }, () => one));

const processors: readonly Processor[] = [
  createFilter(
    {
      errorMode: 'ignore',
      traces: {
        span: [
          'attributes["http.method"] == "DELETE" and resource.attributes["service.name"] != nil',
          'IsMatch(attributes["http.url"], "/orders/[0-9]+$") and Int(attributes["http.status_code"]) >= 500',
          'kind == SPAN_KIND_CONSUMER or status.code == 7 or trace_id.string == "x" or end_time_unix_nano < start_time_unix_nano',
          'HasPrefix(name, "zzz") or Len(name) > 1000 or trace_state["ot"] == "x"',
        ],
        spanevent: ['name == "x"'],
      },
    },
    'traces',
    'filter',
  ),
  createAttributes(
    {
      actions: [
        { action: 'upsert', key: 'mesh', value: 'envoy' },
        { action: 'insert', key: 'copy', fromAttribute: 'http.method' },
        { action: 'delete', pattern: '^guid:' },
        { action: 'convert', key: 'http.status_code', convertedType: 'int' },
        { action: 'hash', key: 'http.method' },
      ],
      include: { matchType: 'regexp', spanNames: ['.*'] },
    },
    'traces',
    'attributes',
  ),
  createProbabilisticSampler(
    { mode: 'proportional', samplingPercentage: 30, hashSeed: 0, failClosed: true, samplingPrecision: 4 },
    'traces',
    'proportional',
  ),
  createProbabilisticSampler(
    { mode: 'hash_seed', samplingPercentage: 30, hashSeed: 1, failClosed: true, samplingPrecision: 4 },
    'traces',
    'hash_seed',
  ),
];

for (const processor of processors) {
  test(`${processor.name} allocates less than ${BYTES_PER_SPAN_MAX} bytes a span`, () => {
    processor.process(bytes);
    const spans = processor.counters.in;
    assert.ok(spans > 1000);
    let least = Infinity;
    for (let attempt = 0; attempt < ATTEMPTS_MAX && least >= spans * BYTES_PER_SPAN_MAX; attempt++) {
      const before = v8.getHeapStatistics().total_allocated_bytes;
      for (let round = 0; round < ROUNDS; round++) processor.process(bytes);
      least = Math.min(least, (v8.getHeapStatistics().total_allocated_bytes - before) / ROUNDS);
    }
    assert.ok(least / spans < BYTES_PER_SPAN_MAX, `${(least / spans).toFixed(2)} bytes a span`);
    assert.equal(processor.counters.imbalance(), 0);
  });
}
