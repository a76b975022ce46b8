import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import v8 from 'node:v8';
import { createAttributes } from '../../pipelines/process/attributes.ts';
import { createFilter } from '../../pipelines/process/filter.ts';
import { createProbabilisticSampler } from '../../pipelines/process/probabilistic-sampler.ts';
import type { Processor } from '../../pipelines/process/processor.ts';

/*
 * Run by allocation.test.ts in a process of its own, because what other tests leave behind is compiled for more shapes and
 * boxes numbers for a long while. Prints a line `name bytes` for every processor: the bytes that V8 gave out per span, the least
 * of many attempts, as in test/otlp/allocation.test.ts.
 */
const ENOUGH = 8;
const ROUNDS = 5;
const ATTEMPTS_MAX = 300;

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
  processor.process(bytes);
  const spans = processor.counters.in;
  assert.ok(spans > 1000);
  let least = Infinity;
  for (let attempt = 0; attempt < ATTEMPTS_MAX && least >= spans * ENOUGH; attempt++) {
    const before = v8.getHeapStatistics().total_allocated_bytes;
    for (let round = 0; round < ROUNDS; round++) processor.process(bytes);
    least = Math.min(least, (v8.getHeapStatistics().total_allocated_bytes - before) / ROUNDS);
  }
  assert.equal(processor.counters.imbalance(), 0);
  process.stdout.write(`${processor.name} ${(least / spans).toFixed(2)}\n`);
}
