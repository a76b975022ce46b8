import { hashBytes } from '../../pipelines/base/hash.ts';
import { createAttributes } from '../../pipelines/process/attributes.ts';
import { createFilter } from '../../pipelines/process/filter.ts';
import { createProbabilisticSampler } from '../../pipelines/process/probabilistic-sampler.ts';
import type { Processor } from '../../pipelines/process/processor.ts';
import type { Bench, BenchResult, Scale } from './bench.ts';
import { envoyRequest } from './envoy-request.ts';

const ROUNDS: Readonly<Record<Scale, number>> = { smoke: 2, full: 500 };

/** Runs the request through a new processor. `kept` checks how many of its spans come out, so that the bench cannot measure a processor that does nothing. */
function run(processor: Processor, scale: Scale, kept: (out: number, total: number) => boolean): BenchResult {
  const bytes = envoyRequest();
  let out = bytes;
  for (let round = 0; round < ROUNDS[scale]; round++) out = processor.process(bytes);
  const { counters } = processor;
  if (counters.imbalance() !== 0 || !kept(counters.out, counters.in))
    throw new Error(`${processor.name}: ${counters.out} of ${counters.in} spans came out`);
  return { items: counters.in, hash: hashBytes(out, 0, out.length).toString(16).padStart(8, '0') };
}

const some = (out: number, total: number): boolean => out > 0 && out < total;
const all = (out: number, total: number): boolean => out === total && total > 0;

const filtering = (...span: string[]): Processor => createFilter({ errorMode: 'ignore', traces: { span } }, 'traces');
const sampling = (mode: 'proportional' | 'hash_seed'): Processor =>
  createProbabilisticSampler({ mode, samplingPercentage: 25, hashSeed: 22, failClosed: true, samplingPrecision: 4 }, 'traces');

const bench = (name: string, make: () => Processor, kept: (out: number, total: number) => boolean): Bench => ({
  name: `process: ${name}`,
  unit: 'span',
  prepare: envoyRequest,
  run: (scale) => run(make(), scale, kept),
});

export const benches: Bench[] = [
  bench('filter that keeps all, one attribute', () => filtering('attributes["http.method"] == "BREW"'), all),
  bench(
    'filter that drops some, pattern and number',
    () =>
      filtering(
        'IsMatch(attributes["http.url"], "/items/[0-9]+[?]") and Int(attributes["http.status_code"]) >= 500',
        'attributes["response_flags"] == "URX"',
      ),
    some,
  ),
  bench(
    'attributes upsert, delete, hash, convert',
    () =>
      createAttributes(
        {
          actions: [
            { action: 'upsert', key: 'mesh', value: 'envoy' },
            { action: 'delete', pattern: '^guid:' },
            { action: 'hash', key: 'peer.address' },
            { action: 'convert', key: 'http.status_code', convertedType: 'int' },
          ],
        },
        'traces',
      ),
    all,
  ),
  bench('probabilistic sampler, proportional', () => sampling('proportional'), some),
  bench('probabilistic sampler, hash_seed', () => sampling('hash_seed'), some),
];
