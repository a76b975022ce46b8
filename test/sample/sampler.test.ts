import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Sampler } from '../../pipelines/sample/sampler.ts';
import type { PolicySettings, SamplerSettings } from '../../pipelines/sample/settings.ts';
import { decompress } from '../../pipelines/topic/record.ts';
import { traces, type SpanSpec } from '../kit/otlp.ts';
import { decode } from '../kit/proto.ts';
import { seeded } from '../kit/random.ts';
import { naiveSample } from './naive-sampler.ts';
import { randomLog, randomSettings, record, type TestRecord, type TestSpan } from './random-log.ts';

const T0 = 1_780_000_000_000;
const AFTER_ALL_MS = 1e9;
const ERRORS: PolicySettings = { name: 'errors', type: 'status_code', statusCodes: ['ERROR'] };

interface Span {
  id: string;
  policy: string;
  rate: number;
  traceState: string;
}
interface Output {
  offset: number;
  items: number;
  spans: Span[];
}

function sampling(settings: Partial<SamplerSettings>): { sampler: Sampler; outputs: Output[] } {
  const outputs: Output[] = [];
  const sampler = new Sampler({
    settings: { decisionWait_ms: 1000, lateWait_ms: 2000, heldBytes_max: 1e9, traces_max: 1e9, policies: [ERRORS], ...settings },
    sink: (bytes, items, offset) => outputs.push({ offset, items, spans: spansOf(bytes) }),
    unpack: decompress,
  });
  return { sampler, outputs };
}

function spansOf(bytes: Buffer): Span[] {
  return decode('TracesData', bytes)
    .resourceSpans.flatMap((r: any) => r.scopeSpans.flatMap((s: any) => s.spans)) // oxlint-disable-line typescript/no-explicit-any
    .map(
      (span: {
        spanId: Buffer;
        traceState: string;
        attributes: { key: string; value: { stringValue?: string; intValue?: string } }[];
      }) => ({
        id: span.spanId.toString('hex'),
        traceState: span.traceState,
        policy: span.attributes.find((a) => a.key === 'tailsampling.policy')?.value.stringValue,
        rate: Number(span.attributes.find((a) => a.key === 'SampleRate')?.value.intValue),
      }),
    );
}

const push = (sampler: Sampler, one: TestRecord): void => sampler.push(one, decompress(one));
const ok = (trace: number): TestSpan => ({ trace, error: false, slow: false });
const bad = (trace: number): TestSpan => ({ trace, error: true, slow: false });
const balanced = (sampler: Sampler): void => assert.equal(sampler.metrics.stage.imbalance(), 0);

test('a trace is decided when decision_wait of log time has passed since its first record, and all its spans follow, record by record', () => {
  const { sampler, outputs } = sampling({});
  push(sampler, record(0, T0, [ok(1), ok(2)]));
  push(sampler, record(1, T0 + 600, [bad(1)]));
  sampler.tick(T0 + 999);
  assert.equal(outputs.length, 0);
  assert.equal(sampler.position(), 0);
  sampler.tick(T0 + 1000);
  assert.deepEqual(
    outputs.map(({ offset, items, spans }) => [offset, items, spans[0]!.policy]),
    [[0, 1, 'errors']],
  );
  assert.equal(sampler.position(), 1);
  sampler.tick(T0 + 1600);
  assert.deepEqual(
    outputs.map(({ offset }) => offset),
    [0, 1],
  );
  assert.equal(sampler.position(), 2);
  const { stage } = sampler.metrics;
  assert.deepEqual([stage.in, stage.out, stage.held, stage.dropped.get('sampled_out')], [3, 2, 0, 1]);
  assert.deepEqual([sampler.metrics.tracesNew, sampler.metrics.tracesKept, sampler.metrics.tracesDropped], [2, 1, 1]);
  balanced(sampler);
});

test('a record at exactly the end of the wait comes too late to change the decision', () => {
  const { sampler, outputs } = sampling({});
  push(sampler, record(0, T0, [ok(1)]));
  push(sampler, record(1, T0 + 1000, [bad(1)]));
  sampler.tick(T0 + AFTER_ALL_MS);
  assert.deepEqual(outputs, []);
  assert.equal(sampler.metrics.lateDropped, 1);
});

test('late spans follow the decision until decision_wait + late_wait after first-seen; then the id begins a new life', () => {
  const { sampler, outputs } = sampling({});
  push(sampler, record(0, T0, [bad(1)]));
  push(sampler, record(1, T0 + 3000, [ok(1)]));
  push(sampler, record(2, T0 + 3001, [ok(1)]));
  sampler.tick(T0 + AFTER_ALL_MS);
  assert.deepEqual(
    outputs.map(({ offset }) => offset),
    [0, 1],
  );
  assert.deepEqual([sampler.metrics.lateKept, sampler.metrics.lateDropped, sampler.metrics.tracesNew], [1, 0, 2]);
  balanced(sampler);
});

test('more bytes than held_bytes_max: the oldest are decided early, in order, and counted', () => {
  const one = record(0, T0, [bad(1)]);
  const { sampler, outputs } = sampling({ heldBytes_max: 2 * (one.value.length + 4 + 128) });
  for (let n = 0; n < 5; n++) push(sampler, record(n, T0 + n, [bad(n + 1)]));
  assert.deepEqual(
    outputs.map(({ offset }) => offset),
    [0, 1, 2],
  );
  assert.deepEqual([sampler.metrics.earlyRecords, sampler.metrics.earlyTraces], [{ heldBytes_max: 3, traces_max: 0 }, 3]);
  assert.ok(sampler.metrics.heldBytes <= 2 * (one.value.length + 4 + 128));
  balanced(sampler);
});

test('more traces than traces_max: the oldest are decided and forgotten early, so the table stays bounded', () => {
  const { sampler, outputs } = sampling({ traces_max: 10, decisionWait_ms: 1e6, lateWait_ms: 1e6 });
  for (let n = 0; n < 1000; n++) {
    push(sampler, record(n, T0 + n, [bad(n + 1)]));
    assert.ok(sampler.metrics.slots <= 11, String(sampler.metrics.slots));
    assert.ok(sampler.metrics.records <= 32, String(sampler.metrics.records));
  }
  assert.equal(outputs.length, 1000 - 11);
  assert.deepEqual(sampler.metrics.earlyRecords, { heldBytes_max: 0, traces_max: 1000 - 11 });
  assert.ok(sampler.metrics.forgottenEarly > 0);
  balanced(sampler);
});

test('memory: slots and records are given back when their time has passed', () => {
  const { sampler } = sampling({});
  for (let n = 0; n < 5000; n++) push(sampler, record(n, T0 + n * 10, [ok(n), ok(n + 1)]));
  assert.ok(sampler.metrics.slots < 310, String(sampler.metrics.slots));
  assert.ok(sampler.metrics.records < 710, String(sampler.metrics.records));
  sampler.tick(T0 + AFTER_ALL_MS);
  assert.deepEqual([sampler.metrics.slots, sampler.metrics.records, sampler.metrics.heldBytes], [0, 0, 0]);
});

test('one trace of 100,000 spans is one decision', () => {
  let items = 0;
  const sampler = new Sampler({
    settings: {
      decisionWait_ms: 1000,
      lateWait_ms: 0,
      heldBytes_max: 1e9,
      traces_max: 1e9,
      policies: [{ name: 'many', type: 'span_count', minSpans: 100_000 }],
    },
    sink: (_bytes, count) => (items += count),
    unpack: decompress,
  });
  const spans: SpanSpec[] = Array.from({ length: 1000 }, (_, n) => ({ trace: '7', span: (n + 1).toString(16) }));
  const raw = traces(spans);
  for (let n = 0; n < 100; n++)
    sampler.push(
      { offset: n, time_ms: T0 + n, value: raw, headers: { format: 1, codec: 'none', items: 1000, raw_bytes: raw.length } },
      raw,
    );
  sampler.tick(T0 + AFTER_ALL_MS);
  assert.equal(sampler.metrics.tracesKept, 1);
  assert.equal(items, 100_000);
});

test('a record that cannot be read is counted, and its partition goes on', () => {
  const { sampler, outputs } = sampling({});
  const good = record(0, T0, [bad(1), bad(2)]);
  push(sampler, good);
  sampler.push({ ...good, offset: 1 }, undefined);
  const cut = good.value.subarray(0, good.value.length - 3);
  sampler.push({ ...good, offset: 2, value: cut }, cut);
  push(sampler, record(3, T0 + 1, [bad(1)]));
  sampler.tick(T0 + AFTER_ALL_MS);
  assert.deepEqual(
    outputs.map(({ offset }) => offset),
    [0, 3],
  );
  assert.ok(sampler.metrics.stage.dropped.get('malformed')! >= 2);
  assert.equal(sampler.metrics.stage.held, 0);
  balanced(sampler);
});

test('a span whose trace id is not 16 bytes is dropped with its reason', () => {
  const { sampler } = sampling({ policies: [{ name: 'all', type: 'always_sample' }] });
  const raw = traces([{ trace: '1' }]);
  // Span.trace_id = 1 becomes a field that nobody knows: the span has no id.
  const at = raw.indexOf(Buffer.concat([Buffer.from([0x0a, 16]), Buffer.alloc(15)]));
  assert.ok(at > 0);
  raw[at] = ((100 << 3) & 0x7f) | 2;
  sampler.push({ offset: 0, time_ms: T0, value: raw, headers: { format: 1, codec: 'none', items: 1, raw_bytes: raw.length } }, raw);
  sampler.tick(T0 + AFTER_ALL_MS);
  assert.equal(sampler.metrics.stage.dropped.get('invalid_trace_id'), 1);
  balanced(sampler);
});

test('emitNext() emits one due record at a time, and changes nothing else', () => {
  const { sampler, outputs } = sampling({});
  for (let n = 0; n < 3; n++) push(sampler, record(n, T0 + n, [bad(n)]));
  assert.equal(sampler.emitNext(T0 + 999), false);
  assert.equal(sampler.emitNext(T0 + 1001), true);
  assert.equal(outputs.length, 1);
  assert.equal(sampler.emitNext(T0 + 1001), true);
  assert.equal(sampler.emitNext(T0 + 1001), false);
  assert.equal(outputs.length, 2);
});

test('property: outputs are those of a naive sampler that looks over the whole log', () => {
  let outputsSeen = 0;
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 31 }), (seed) => {
      const random = seeded(seed);
      const settings = randomSettings(random);
      const log = randomLog(random, settings, 10 + Math.floor(random() * 50));
      const { sampler, outputs } = sampling(settings);
      for (const one of log) push(sampler, one);
      sampler.tick(log.at(-1)!.time_ms + AFTER_ALL_MS);
      balanced(sampler);
      const real = outputs.map(({ offset, spans }) => ({ offset, spans: spans.map((span) => `${span.id} ${span.policy} ${span.rate}`) }));
      outputsSeen += real.length;
      assert.deepEqual(real, naiveSample(settings, log));
    }),
    { numRuns: 150 },
  );
  assert.ok(outputsSeen > 150);
});

test('property: which spans are kept depends on the set of spans, not on their order or how they were cut into records', () => {
  const policies: PolicySettings[] = [
    { name: 'errors', type: 'status_code', statusCodes: ['ERROR'] },
    { name: 'slow', type: 'latency', threshold_ms: 200 },
    { name: 'many', type: 'span_count', minSpans: 5 },
  ];
  const spanArbitrary = fc.record({ trace: fc.integer({ min: 1, max: 6 }), error: fc.boolean(), slow: fc.boolean() });
  const keptTraces = (spans: readonly TestSpan[], cuts: readonly number[]): string[] => {
    const kept = new Set<string>();
    const collect = new Sampler({
      settings: { decisionWait_ms: 1000, lateWait_ms: 0, heldBytes_max: 1e9, traces_max: 1e9, policies },
      unpack: decompress,
      sink: (bytes) => {
        for (const r of decode('TracesData', bytes).resourceSpans)
          for (const s of r.scopeSpans) for (const span of s.spans) kept.add(span.traceId.toString('hex'));
      },
    });
    let from = 0;
    let offset = 0;
    for (const cut of [...cuts, spans.length]) {
      const to = Math.min(spans.length, from + cut);
      if (to > from) push(collect, record(offset, T0 + Math.min(offset, 900), spans.slice(from, to)));
      from = to;
      offset++;
    }
    collect.tick(T0 + AFTER_ALL_MS);
    balanced(collect);
    return [...kept].sort();
  };
  fc.assert(
    fc.property(
      fc.array(spanArbitrary, { minLength: 1, maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 5 })),
      fc.integer(),
      (spans, cuts, seed) => {
        const random = seeded(seed);
        const shuffled = spans.map((span) => ({ span, key: random() })).sort((a, b) => a.key - b.key);
        assert.deepEqual(
          keptTraces(
            shuffled.map(({ span }) => span),
            cuts,
          ),
          keptTraces(spans, []),
        );
      },
    ),
    { numRuns: 100 },
  );
});
