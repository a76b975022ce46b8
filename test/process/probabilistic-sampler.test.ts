import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { OperatorError } from '../../pipelines/base/errors.ts';
import { ThresholdView } from '../../pipelines/otlp/trace-state.ts';
import { createProbabilisticSampler } from '../../pipelines/process/probabilistic-sampler.ts';
import type { ProbabilisticSamplerSettings } from '../../pipelines/process/sampler-settings.ts';
import { fnv14Randomness, fnv14Threshold } from '../../pipelines/process/sampling-hash.ts';
import { logs, traces, type SpanSpec } from '../kit/otlp.ts';
import { decode } from '../kit/proto.ts';

const defaults: ProbabilisticSamplerSettings = {
  mode: 'proportional',
  samplingPercentage: 25,
  hashSeed: 0,
  failClosed: true,
  samplingPrecision: 4,
};

interface PlainSpan {
  traceId: Buffer;
  name: string;
  traceState?: string;
}
function sample(spans: SpanSpec[], settings: Partial<ProbabilisticSamplerSettings> = {}): PlainSpan[] {
  const sampler = createProbabilisticSampler({ ...defaults, ...settings }, 'traces');
  const out = sampler.process(traces(spans));
  assert.deepEqual([sampler.counters.in, sampler.counters.imbalance()], [spans.length, 0]);
  const data = decode('TracesData', out) as { resourceSpans?: { scopeSpans: { spans: PlainSpan[] }[] }[] };
  const kept = (data.resourceSpans ?? []).flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans));
  assert.equal(sampler.counters.out, kept.length);
  return kept;
}
/** The trace state of the one span that is kept; undefined when it is dropped. */
function state(span: SpanSpec, settings: Partial<ProbabilisticSamplerSettings> = {}): string | undefined {
  const kept = sample([span], settings)[0];
  return kept === undefined ? undefined : (kept.traceState ?? '');
}

const HIGH = 'ffffffffffffffffffc0000000000000'; // R = c0000000000000
const LOW = 'ffffffffffffffffffbfffffffffffff'; // R = bfffffffffffff

test('proportional keeps a span exactly when R >= T, and writes T', () => {
  assert.equal(state({ trace: HIGH }), 'ot=th:c');
  assert.equal(state({ trace: LOW }), undefined);
  assert.equal(state({ trace: LOW, traceState: 'ot=rv:c0000000000000' }), 'ot=th:c;rv:c0000000000000');
  assert.equal(state({ trace: HIGH, traceState: 'ot=rv:bfffffffffffff' }), undefined);
  assert.equal(state({ trace: HIGH, traceState: 'a=1,ot=x:y' }), 'ot=th:c;x:y,a=1');
});

test('proportional multiplies with the probability that arrives, equalizing brings it down to its own', () => {
  const top = 'fffffffffffffffffff0000000000000';
  assert.equal(state({ trace: top, traceState: 'ot=th:8' }), 'ot=th:e'); // 1/2 of 1/4 is 1/8
  assert.equal(state({ trace: top, traceState: 'ot=th:8' }, { mode: 'equalizing' }), 'ot=th:c');
  assert.equal(state({ trace: top, traceState: 'ot=th:f' }, { mode: 'equalizing' }), 'ot=th:f'); // th only rises
});

test('100 keeps all and says so, 0 keeps nothing', () => {
  assert.equal(state({ trace: LOW }, { samplingPercentage: 100 }), 'ot=th:0');
  assert.equal(state({ trace: LOW }, { samplingPercentage: 400 }), 'ot=th:0');
  assert.equal(state({ trace: 'f'.repeat(32) }, { samplingPercentage: 0 }), undefined);
});

test('without randomness, or with a threshold that contradicts it, fail_closed decides', () => {
  assert.equal(state({ trace: '0' }), undefined);
  assert.equal(state({ trace: '0' }, { failClosed: false }), '');
  assert.equal(state({ trace: LOW, traceState: 'ot=th:f' }), undefined);
  assert.equal(state({ trace: LOW, traceState: 'b=1,ot=th:f;k:v' }, { failClosed: false }), 'ot=k:v,b=1');
});

test('sampling.priority overrides chance', () => {
  assert.equal(state({ trace: LOW, attributes: { 'sampling.priority': 1 } }), 'ot=th:0');
  assert.equal(state({ trace: LOW, attributes: { 'sampling.priority': '2.5' } }), 'ot=th:0');
  assert.equal(state({ trace: HIGH, attributes: { 'sampling.priority': 0 } }), undefined);
  assert.equal(state({ trace: HIGH, attributes: { 'sampling.priority': 'often' } }), 'ot=th:c');
});

/** FNV-1a and the layout of 56 bits in BigInt, from the Collector's sampler_mode.go. */
function hashSeedRandomness(id: Buffer, seed: number): bigint {
  let h = 0x811c9dc5n;
  const seedBytes = Buffer.alloc(4);
  seedBytes.writeUInt32LE(seed);
  for (const byte of [...seedBytes, ...id]) h = ((h ^ BigInt(byte)) * 0x01000193n) & 0xffff_ffffn;
  const low = h & 0x3fffn;
  const unused = h >> 18n;
  return ((0x3fffn - low) << 42n) | (((unused ^ (unused << 10n)) & 0xfff_ffffn) << 14n) | low;
}

test('hash_seed draws by FNV-1a as the Collector does, and records R and T', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.integer({ min: 0, max: 0xffff_ffff }), (bytes, seed) => {
      const id = Buffer.from(bytes);
      const into = new ThresholdView();
      fnv14Randomness(id, 0, 16, seed, into);
      assert.equal((BigInt(into.hi) << 32n) | BigInt(into.lo), hashSeedRandomness(id, seed));
    }),
  );
  assert.deepEqual([fnv14Threshold(25).hi, fnv14Threshold(25).lo], [0xc00000, 0]);
  const spans = Array.from({ length: 400 }, (_, i) => ({ trace: (i + 1).toString(16) }));
  const kept = sample(spans, { mode: 'hash_seed', hashSeed: 22 });
  const want = spans.filter(({ trace }) => hashSeedRandomness(Buffer.from(trace.padStart(32, '0'), 'hex'), 22) >= 0xcn << 52n);
  assert.equal(kept.length, want.length);
  assert.ok(kept.length > 50 && kept.length < 150);
  for (const span of kept)
    assert.equal(span.traceState, `ot=th:c;rv:${hashSeedRandomness(span.traceId, 22).toString(16).padStart(14, '0')}`);
  // Another sampler by the specification, downstream, decides alike.
  assert.equal(state({ trace: HIGH, traceState: 'ot=th:4' }, { mode: 'hash_seed' }), undefined);
});

test('a smaller percentage keeps a subset: all of a trace decides alike', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.double({ min: 0, max: 100, noNaN: true }),
      fc.double({ min: 0, max: 100, noNaN: true }),
      (id, p, q) => {
        const spans = [{ trace: Buffer.from(id).toString('hex') }];
        const few = sample(spans, { samplingPercentage: Math.min(p, q) }).length;
        const many = sample(spans, { samplingPercentage: Math.max(p, q) }).length;
        assert.ok(few <= many);
      },
    ),
  );
});

test('log records carry threshold and randomness as attributes', () => {
  interface PlainLogs {
    resourceLogs?: {
      scopeLogs: { logRecords: { attributes?: { key: string; value: { stringValue?: string; intValue?: string } }[] }[] }[];
    }[];
  }
  const run = (
    settings: Partial<ProbabilisticSamplerSettings>,
    record: Parameters<typeof logs>[0][0],
  ): Record<string, string | undefined> | undefined => {
    const sampler = createProbabilisticSampler({ ...defaults, ...settings }, 'logs');
    const data = decode('LogsData', sampler.process(logs([record]))) as PlainLogs;
    assert.equal(sampler.counters.imbalance(), 0);
    const kept = data.resourceLogs?.[0]?.scopeLogs[0]?.logRecords[0];
    return kept === undefined
      ? undefined
      : Object.fromEntries((kept.attributes ?? []).map((each) => [each.key, each.value.stringValue ?? each.value.intValue]));
  };
  assert.deepEqual(run({}, { trace: HIGH, attributes: { a: 1 } }), { a: '1', 'sampling.threshold': 'c' });
  assert.equal(run({}, { trace: LOW }), undefined);
  assert.equal(run({}, {}), undefined);
  assert.deepEqual(run({ failClosed: false }, {}), {});
  assert.deepEqual(run({}, { trace: HIGH.replace('c0', 'f0'), attributes: { 'sampling.threshold': '8' } }), { 'sampling.threshold': 'e' });
  assert.deepEqual(run({ samplingPriority: 'priority' }, { trace: LOW, attributes: { priority: 100 } }), {
    priority: '100',
    'sampling.threshold': '0',
  });
  assert.equal(run({ samplingPriority: 'priority' }, { trace: HIGH, attributes: { priority: 0 } }), undefined);
  const id = Array.from({ length: 100 }, (_, i) => `record-${i}`).find((text) => hashSeedRandomness(Buffer.from(text), 7) >= 0xcn << 52n)!;
  const hashed = run(
    { mode: 'hash_seed', hashSeed: 7, attributeSource: 'record', fromAttribute: 'id' },
    { trace: LOW, attributes: { id } },
  );
  assert.deepEqual(hashed, {
    id,
    'sampling.threshold': 'c',
    'sampling.randomness': hashSeedRandomness(Buffer.from(id), 7).toString(16).padStart(14, '0'),
  });
});

test('settings that cannot be are refused', () => {
  for (const settings of [
    { samplingPercentage: -1 },
    { samplingPercentage: Number.NaN },
    { samplingPrecision: 0 },
    { samplingPrecision: 15 },
  ]) {
    assert.throws(() => createProbabilisticSampler({ ...defaults, ...settings }, 'traces'), OperatorError);
  }
  assert.throws(() => createProbabilisticSampler(defaults, 'metrics'), OperatorError);
});
