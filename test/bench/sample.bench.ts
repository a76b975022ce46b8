import { createHash } from 'node:crypto';
import { Sampler } from '../../pipelines/sample/sampler.ts';
import type { PolicySettings, SamplerSettings } from '../../pipelines/sample/settings.ts';
import { TraceTable } from '../../pipelines/sample/trace-table.ts';
import type { SourceRecord } from '../../pipelines/sample/source-record.ts';
import { compress, decompress } from '../../pipelines/topic/record.ts';
import { traces, type SpanSpec } from '../kit/otlp.ts';
import type { Bench, Scale } from './bench.ts';

/** Seeded mesh traffic: traces of 10 spans with 20 string attributes, in records of 200 spans. */
const SPANS_PER_TRACE = 10;
const TRACES_PER_RECORD = 20;
const RECORDS = 50;
const SPANS = RECORDS * TRACES_PER_RECORD * SPANS_PER_TRACE;

const policies: PolicySettings[] = [
  { name: 'errors', type: 'status_code', statusCodes: ['ERROR'] },
  { name: 'slow', type: 'latency', threshold_ms: 900 },
  { name: '5xx', type: 'numeric_attribute', key: 'http.status_code', minValue: 500 },
  { name: 'checkout', type: 'string_attribute', key: 'istio.attribute.3', values: ['checkout'] },
  { name: 'some', type: 'probabilistic', samplingPercentage: 5 },
];

interface Input {
  readonly raw: readonly Buffer[];
  readonly values: readonly Buffer[];
}
let input: Input | undefined;

function build(): Input {
  let state = 11;
  const next = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const word = (): string =>
    next(2 ** 24)
      .toString(16)
      .padStart(6, '0');
  const raw = Array.from({ length: RECORDS }, () => {
    const spans: SpanSpec[] = [];
    for (let n = 0; n < TRACES_PER_RECORD; n++) {
      const trace = word() + word() + word() + word() + word() + '01';
      const error = next(50) === 0;
      for (let s = 0; s < SPANS_PER_TRACE; s++) {
        const attributes: Record<string, string> = { 'http.method': 'GET', 'http.status_code': error ? '503' : '200' };
        for (let i = 0; i < 18; i++) attributes[`istio.attribute.${i}`] = `value ${next(1000)} of some length`;
        spans.push({
          trace,
          span: (next(2 ** 24) + 1).toString(16),
          name: `route/${next(12)}`,
          status: error ? 2 : 0,
          duration_ns: BigInt(next(2 ** 24)) * 50n,
          attributes,
        });
      }
    }
    return traces(spans);
  });
  return { raw, values: raw.map((bytes) => compress(bytes, 'zstd')) };
}

function sampling(name: string, chosen: readonly PolicySettings[], decisionWait_ms: number): Bench {
  return {
    name: `sample: ${name}`,
    unit: 'span',
    prepare: () => {
      input ??= build();
    },
    run(scale: Scale) {
      const { raw, values } = (input ??= build());
      const rounds = scale === 'smoke' ? 1 : 60;
      const hash = createHash('sha256');
      const settings: SamplerSettings = {
        decisionWait_ms,
        lateWait_ms: 60_000,
        heldBytes_max: 2 ** 30,
        traces_max: 2 ** 24,
        policies: chosen,
      };
      const sampler = new Sampler({
        settings,
        unpack: decompress,
        sink: (bytes, items, offset) => {
          hash.update(`${offset} ${items} ${bytes.length}`);
          if (scale === 'smoke') hash.update(bytes);
        },
      });
      let time_ms = 1_780_000_000_000;
      for (let round = 0; round < rounds; round++) {
        for (let n = 0; n < RECORDS; n++) {
          const record: SourceRecord = {
            offset: round * RECORDS + n,
            time_ms: (time_ms += 100),
            value: values[n]!,
            headers: { format: 1, codec: 'zstd', items: TRACES_PER_RECORD * SPANS_PER_TRACE, raw_bytes: raw[n]!.length },
          };
          sampler.push(record, raw[n]);
        }
      }
      sampler.tick(time_ms + decisionWait_ms);
      const { stage } = sampler.metrics;
      const items = rounds * SPANS;
      if (stage.in !== items || stage.held !== 0 || stage.imbalance() !== 0)
        throw new Error(`${stage.in} spans in, ${stage.held} held, ${stage.imbalance()} lost`);
      hash.update(`${stage.out} ${sampler.metrics.tracesKept}`);
      return { items, hash: hash.digest('hex').slice(0, 16) };
    },
  };
}

/** Begin, find, fold and release of a million traces' worth of ids: what the table alone costs. */
const table: Bench = {
  name: 'sample: trace table alone',
  unit: 'span',
  run(scale: Scale) {
    const count = scale === 'smoke' ? 2_000 : 200_000;
    const one = new TraceTable(2);
    const ids = Buffer.alloc(count * 16);
    for (let n = 0; n < count; n++) {
      ids.writeUInt32LE(Math.imul(n + 1, 0x9e3779b1) >>> 0, n * 16);
      ids.writeUInt32LE(n, n * 16 + 12);
    }
    let found = 0;
    for (let round = 0; round < 10; round++) {
      for (let n = 0; n < count; n++) {
        let slot = one.find(ids, n * 16);
        if (slot < 0) slot = one.begin(ids, n * 16, round);
        else found++;
        one.addSpan(slot, 1, n, 2, n + round, 900);
      }
    }
    if (found !== 9 * count || one.size !== count) throw new Error(`${found} found, ${one.size} in the table`);
    return { items: 10 * count, hash: (found + one.duration_ns(count - 1)).toString(16) };
  },
};

export const benches: Bench[] = [
  table,
  sampling(
    'judge: fold and decide, keep nothing',
    [
      { name: 'never', type: 'span_count', minSpans: 1_000_000 },
      ...policies.slice(2, 4).map((one): PolicySettings => ({
        name: one.name,
        type: 'and',
        subPolicies: [one, { name: 'never', type: 'span_count', minSpans: 1_000_000 }],
      })),
    ],
    30_000,
  ),
  sampling('judge and gate: five policies', policies, 30_000),
  sampling('judge and gate: keep all', [{ name: 'all', type: 'always_sample' }], 30_000),
];
