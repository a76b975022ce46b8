import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OperatorError } from '../../pipelines/base/errors.ts';
import { PolicyProgram } from '../../pipelines/sample/policies/compile.ts';
import { decimal } from '../../pipelines/sample/policies/attribute.ts';
import { Sampler } from '../../pipelines/sample/sampler.ts';
import type { PolicySettings } from '../../pipelines/sample/settings.ts';
import { decompress } from '../../pipelines/topic/record.ts';
import { BASE_NS, traces, type AttributeValue, type SpanSpec } from '../kit/otlp.ts';
import { traceId } from './random-log.ts';

type Unnamed<P> = P extends PolicySettings ? Omit<P, 'name'> : never;

/** The spans (of one trace, unless they say otherwise) through a sampler with these policies: is the first trace kept. */
function keeps(policy: Unnamed<PolicySettings>, spans: SpanSpec[], resource: Record<string, AttributeValue> = {}): boolean {
  return sampled([{ name: 'p', ...policy }], spans, resource) > 0;
}

function sampled(policies: PolicySettings[], spans: SpanSpec[], resource: Record<string, AttributeValue> = {}): number {
  let items = 0;
  const sampler = new Sampler({
    settings: { decisionWait_ms: 0, lateWait_ms: 0, heldBytes_max: 1e9, traces_max: 1e9, policies },
    sink: (_bytes, count) => (items += count),
    unpack: decompress,
  });
  const raw = traces(spans, 'shop', resource);
  sampler.push(
    {
      offset: 0,
      time_ms: 1_780_000_000_000,
      value: raw,
      headers: { format: 1, codec: 'none', items: spans.length, raw_bytes: raw.length },
    },
    raw,
  );
  sampler.tick(1e13);
  return items;
}

const lasting = (ms: number): SpanSpec => ({ duration_ns: BigInt(Math.round(ms * 1e6)) });
const withAttribute = (value: AttributeValue, key = 'k'): SpanSpec => ({ attributes: { other: 'x', [key]: value } });

test('always_sample keeps every trace', () => {
  assert.equal(keeps({ type: 'always_sample' }, [{}]), true);
});

test('latency looks at latest end − earliest start over the whole trace, in whole milliseconds', () => {
  const cases: [spans: SpanSpec[], threshold: number, upper: number | undefined, kept: boolean][] = [
    [[lasting(100)], 100, undefined, true],
    [[lasting(99.9)], 100, undefined, false],
    [[lasting(10), { start_ns: BASE_NS + 95_000_000n, duration_ns: 5_000_000n }], 100, undefined, true],
    [[{ start_ns: BASE_NS + 95_000_000n, duration_ns: 5_000_000n }, lasting(10)], 100, undefined, true],
    [[lasting(100)], 100, 200, false], // with an upper bound: above the threshold …
    [[lasting(101)], 100, 200, true],
    [[lasting(200.9)], 100, 200, true], // … and at most the upper one, in whole milliseconds
    [[lasting(201)], 100, 200, false],
    [[lasting(5000)], 100, 0, true],
  ];
  for (const [spans, threshold_ms, upper, kept] of cases)
    assert.equal(
      keeps({ type: 'latency', threshold_ms, ...(upper === undefined ? {} : { upperThreshold_ms: upper }) }, spans),
      kept,
      JSON.stringify([threshold_ms, upper]),
    );
});

test('status_code: one span with one of the codes is enough; a span without a status is UNSET', () => {
  assert.equal(keeps({ type: 'status_code', statusCodes: ['ERROR'] }, [{}, { status: 2 }]), true);
  assert.equal(keeps({ type: 'status_code', statusCodes: ['ERROR'] }, [{}, { status: 1 }]), false);
  assert.equal(keeps({ type: 'status_code', statusCodes: ['OK', 'ERROR'] }, [{ status: 1 }]), true);
  assert.equal(keeps({ type: 'status_code', statusCodes: ['UNSET'] }, [{}]), true);
  assert.equal(keeps({ type: 'status_code', statusCodes: ['UNSET'] }, [{ status: 2 }]), false);
  assert.equal(keeps({ type: 'status_code', statusCodes: ['OK', 'ERROR', 'UNSET'] }, [{ status: 34 }]), false);
});

test('span_count: from min to max spans, duplicates counted', () => {
  const spans = (n: number): SpanSpec[] => Array.from({ length: n }, () => ({}));
  for (const [n, minSpans, maxSpans, kept] of [
    [2, 3, 0, false],
    [3, 3, 0, true],
    [9, 3, 0, true],
    [5, 3, 5, true],
    [6, 3, 5, false],
  ] as const)
    assert.equal(keeps({ type: 'span_count', minSpans, maxSpans }, spans(n)), kept, `${n} of ${minSpans}..${maxSpans}`);
});

test('string_attribute: exact values of a span or its resource', () => {
  const policy = { type: 'string_attribute', key: 'k', values: ['a', 'b', ''] } as const;
  assert.equal(keeps(policy, [{}, withAttribute('b')]), true);
  assert.equal(keeps(policy, [withAttribute('c')]), false);
  assert.equal(keeps(policy, [withAttribute('')]), false);
  assert.equal(keeps(policy, [withAttribute(7)]), false);
  assert.equal(keeps(policy, [withAttribute('a', 'K')]), false);
  assert.equal(keeps(policy, [{}], { k: 'a' }), true);
  assert.equal(keeps(policy, [withAttribute('c')], { k: 'a' }), true);
});

test('string_attribute with regular expressions searches anywhere in the value, with RE2 flags', () => {
  const policy = {
    type: 'string_attribute',
    key: 'k',
    values: ['^/api/', '(?i)HEALTH'],
    enabledRegexMatching: true,
    cacheMaxSize: 2,
  } as const;
  for (const [value, kept] of [
    ['/api/x', true],
    ['x/api/', false],
    ['/healthz', true],
    ['', false],
    ['/api/x', true],
    ['/other', false],
  ] as const)
    assert.equal(keeps(policy, [withAttribute(value)]), kept, value);
  assert.throws(() => new PolicyProgram([{ ...policy, name: 'p', values: ['('] }]), OperatorError);
});

test('invert_match keeps a trace in which no span and no resource matches, also one without the attribute', () => {
  const text = { type: 'string_attribute', key: 'k', values: ['a'], invertMatch: true } as const;
  assert.equal(keeps(text, [withAttribute('b')]), true);
  assert.equal(keeps(text, [{}]), true);
  assert.equal(keeps(text, [withAttribute('b'), withAttribute('a')]), false);
  assert.equal(keeps(text, [withAttribute('b')], { k: 'a' }), false);
  const numeric = { type: 'numeric_attribute', key: 'k', minValue: 500, maxValue: 599, invertMatch: true } as const;
  assert.equal(keeps(numeric, [withAttribute(200)]), true);
  assert.equal(keeps(numeric, [withAttribute(200), withAttribute('503')]), false);
});

test('numeric_attribute: ints, doubles and decimal strings within the bounds, ends included', () => {
  const policy = { type: 'numeric_attribute', key: 'k', minValue: 400, maxValue: 599 } as const;
  for (const [value, kept] of [
    [400, true],
    [599, true],
    [399, false],
    [600, false],
    [450.5, true],
    ['404', true],
    ['200', false],
    ['404x', false],
    ['', false],
    [-500, false],
    ['-500', false],
    [true, false],
    [500n, true],
  ] as const)
    assert.equal(keeps(policy, [withAttribute(value)]), kept, String(value));
  assert.equal(keeps({ type: 'numeric_attribute', key: 'k', minValue: -10 }, [withAttribute(-5n)]), true);
  assert.equal(keeps({ type: 'numeric_attribute', key: 'k', maxValue: -10 }, [withAttribute(-5n)]), false);
  assert.equal(keeps(policy, [{}], { k: 404 }), true);
});

test('decimal() reads what a number would be written as, and nothing else', () => {
  const read = (text: string): number => decimal(Buffer.from(text), 0, Buffer.byteLength(text));
  for (const text of ['0', '7', '-12', '+3', '503', '0.25', '-0.5', '12.', '.5']) assert.equal(read(text), Number(text), text);
  for (const text of ['', '-', '.', '1e3', '0x10', ' 1', '1 ', '1.2.3', '--1', 'NaN', '١']) assert.ok(Number.isNaN(read(text)), text);
});

test('probabilistic keeps by the last 7 bytes of the trace id, by rv where a span has one, and the same traces however often', () => {
  const half = { type: 'probabilistic', samplingPercentage: 50 } as const;
  const id = (randomness: string): string => 'f'.repeat(18) + randomness;
  assert.equal(keeps(half, [{ trace: id('80000000000000') }]), true);
  assert.equal(keeps(half, [{ trace: id('7fffffffffffff') }]), false);
  assert.equal(keeps(half, [{ trace: id('00000000000000'), traceState: 'ot=rv:ffffffffffffff' }]), true);
  assert.equal(keeps(half, [{ trace: id('ffffffffffffff') }, { trace: id('ffffffffffffff'), traceState: 'ot=rv:00000000000001' }]), false);
  assert.equal(keeps({ ...half, samplingPercentage: 0 }, [{ trace: id('ffffffffffffff') }]), false);
  assert.equal(keeps({ ...half, samplingPercentage: 100 }, [{ trace: id('00000000000000') }]), true);
});

test('probabilistic with a salt draws as the Collector does: FNV-1a of salt and id', () => {
  let kept = 0;
  for (let n = 1; n <= 400; n++)
    if (keeps({ type: 'probabilistic', samplingPercentage: 25, hashSalt: 's' }, [{ trace: traceId(n) }])) kept++;
  assert.ok(kept > 60 && kept < 140, String(kept));
  // The very draw is held against BigInt arithmetic by the naive sampler (sampler.test.ts).
});

test('and keeps what all keep; drop wins over every keeping policy, wherever it stands', () => {
  const errors: PolicySettings = { name: 'e', type: 'status_code', statusCodes: ['ERROR'] };
  const two: PolicySettings = { name: 't', type: 'span_count', minSpans: 2 };
  assert.equal(keeps({ type: 'and', subPolicies: [errors, two] }, [{ status: 2 }, {}]), true);
  assert.equal(keeps({ type: 'and', subPolicies: [errors, two] }, [{ status: 2 }]), false);
  const all: PolicySettings = { name: 'all', type: 'always_sample' };
  assert.equal(sampled([all, { name: 'd', type: 'drop', subPolicies: [two] }], [{}, {}]), 0);
  assert.equal(sampled([all, { name: 'd', type: 'drop', subPolicies: [two] }], [{}]), 1);
  assert.equal(
    sampled([{ name: 'd', type: 'drop', subPolicies: [{ name: 'n', type: 'and', subPolicies: [errors, two] }] }, all], [{ status: 2 }, {}]),
    0,
  );
  assert.equal(sampled([{ name: 'd', type: 'drop', subPolicies: [two] }], [{}]), 0, 'nothing keeps it');
  assert.throws(
    () => new PolicyProgram([{ name: 'a', type: 'and', subPolicies: [{ name: 'd', type: 'drop', subPolicies: [two] }] }]),
    OperatorError,
  );
  assert.throws(() => new PolicyProgram([{ name: 'a', type: 'and', subPolicies: [] }]), OperatorError);
});

test('rate_limiting takes traces in order while they fit in the second, refuses one that alone is too large, and closes at the first that does not fit', () => {
  const rate: PolicySettings = { name: 'r', type: 'rate_limiting', spansPerSecond: 4 };
  const trace = (n: number, spans: number): SpanSpec[] => Array.from({ length: spans }, () => ({ trace: n.toString(16) }));
  assert.equal(sampled([rate], [...trace(1, 2), ...trace(2, 2)]), 4);
  assert.equal(sampled([rate], [...trace(1, 5), ...trace(2, 2)]), 2, 'the one of 5 leaves the second open');
  assert.equal(
    sampled([rate], [...trace(1, 2), ...trace(2, 3), ...trace(3, 1)]),
    2,
    'the one of 3 closes it, so the last, which would fit, goes too',
  );
});

test('more than 32 policies that need a bit, and two of the same kind, do not get in each other’s way', () => {
  const policies: PolicySettings[] = Array.from({ length: 70 }, (_, n) => ({
    name: `p${n}`,
    type: 'string_attribute',
    key: `k${n}`,
    values: ['x'],
  }));
  for (const n of [0, 31, 32, 69]) {
    assert.equal(sampled(policies, [{ attributes: { [`k${n}`]: 'x' } }]), 1);
    assert.equal(
      sampled(
        policies.filter((_, index) => index !== n),
        [{ attributes: { [`k${n}`]: 'x' } }],
      ),
      0,
    );
  }
});
