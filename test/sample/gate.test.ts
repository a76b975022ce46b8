import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Gate } from '../../pipelines/sample/gate.ts';
import { DROPPED, KEPT, NO_SLOT, TraceTable } from '../../pipelines/sample/trace-table.ts';
import { traces, type SpanSpec } from '../kit/otlp.ts';
import { decode, encode } from '../kit/proto.ts';

interface Attribute {
  key: string;
  value: { stringValue?: string; intValue?: string };
}

/** Spans as they leave the gate when the i-th is kept with probabilities[i] (0: dropped). */
// oxlint-disable-next-line typescript/no-explicit-any
function gated(raw: Buffer, probabilities: number[]): { spans: any[]; data: any; items: number } {
  const table = new TraceTable(0);
  const slots = Int32Array.from(probabilities, (probability, n) => {
    if (Number.isNaN(probability)) return NO_SLOT;
    const id = Buffer.alloc(16, n + 1);
    const slot = table.begin(id, 0, 0);
    table.verdict[slot] = probability > 0 ? KEPT : DROPPED;
    table.policy[slot] = n % 2;
    table.probability[slot] = probability;
    return slot;
  });
  const gate = new Gate(table, ['first', 'zweite ✓']);
  const bytes = gate.write(raw, slots);
  const data = decode('TracesData', bytes);
  return { data, items: gate.items, spans: (data.resourceSpans ?? []).flatMap((r: any) => r.scopeSpans.flatMap((s: any) => s.spans)) }; // oxlint-disable-line typescript/no-explicit-any
}

const attribute = (span: { attributes: Attribute[] }, key: string): Attribute['value'][] =>
  span.attributes.filter((one) => one.key === key).map((one) => one.value);

test('only spans of kept traces leave, each under its resource and scope; one that keeps nothing leaves no resource', () => {
  const raw = Buffer.concat([
    traces([{ name: 'a' }, { name: 'b' }], 'one'),
    traces([{ name: 'c' }], 'two'),
    traces([{ name: 'd' }], 'three'),
  ]);
  const { data, items } = gated(raw, [1, 0, Number.NaN, 1]);
  assert.equal(items, 2);
  assert.equal(data.resourceSpans.length, 2);
  for (const [n, [service, name]] of [
    ['one', 'a'],
    ['three', 'd'],
  ].entries()) {
    const { resource, scopeSpans } = data.resourceSpans[n];
    assert.equal(resource.attributes[0].value.stringValue, service);
    assert.equal(scopeSpans.length, 1);
    assert.equal(scopeSpans[0].scope.name, 'test');
    assert.equal(scopeSpans[0].spans.length, 1);
    assert.equal(scopeSpans[0].spans[0].name, name);
  }
});

test('a kept span carries ot=th, SampleRate as int and the policy’s name', () => {
  const { spans } = gated(traces([{}, {}, {}]), [1, 0.25, 1 / 3]);
  assert.deepEqual(
    spans.map((span) => [span.traceState, attribute(span, 'SampleRate'), attribute(span, 'tailsampling.policy')]),
    [
      ['ot=th:0', [{ intValue: '1' }], [{ stringValue: 'first' }]],
      ['ot=th:c', [{ intValue: '4' }], [{ stringValue: 'zweite ✓' }]],
      ['ot=th:aaab', [{ intValue: '3' }], [{ stringValue: 'first' }]],
    ],
  );
});

test('a threshold only rises, and unknown members stay', () => {
  const { spans } = gated(traces([{ traceState: 'a=1,ot=th:fff;rv:ffffffffffffff;zz:9' }, { traceState: 'ot=th:8' }]), [0.5, 0.25]);
  assert.equal(spans[0].traceState, 'ot=th:fff;rv:ffffffffffffff;zz:9,a=1');
  assert.deepEqual(attribute(spans[0], 'SampleRate'), [{ intValue: '4096' }]);
  assert.equal(spans[1].traceState, 'ot=th:c');
  assert.deepEqual(attribute(spans[1], 'SampleRate'), [{ intValue: '4' }]);
});

test('attributes of our names that came with the span are replaced; all others stay in order', () => {
  const { spans } = gated(
    traces([{ attributes: { a: 1, SampleRate: 9, b: 'x', 'tailsampling.policy': 'old', SampleRatf: 1, 'tailsampling.polic': 'y' } }]),
    [0.5],
  );
  assert.deepEqual(
    spans[0].attributes.map((one: Attribute) => one.key),
    ['a', 'b', 'SampleRatf', 'tailsampling.polic', 'SampleRate', 'tailsampling.policy'],
  );
  assert.deepEqual(attribute(spans[0], 'SampleRate'), [{ intValue: '2' }]);
});

test('a key that stands behind its value on the wire is found all the same', () => {
  const value = Buffer.from([0x12, 2, 0x18, 5]);
  const key = Buffer.concat([Buffer.from([0x0a, 10]), Buffer.from('SampleRate')]);
  const pair = Buffer.concat([value, key]);
  const span = Buffer.concat([encode('Span', { name: 'x' }), Buffer.from([0x4a, pair.length]), pair]);
  const scope = Buffer.concat([Buffer.from([0x12, span.length]), span]);
  const resource = Buffer.concat([Buffer.from([0x12, scope.length]), scope]);
  const { spans } = gated(Buffer.concat([Buffer.from([0x0a, resource.length]), resource]), [1]);
  assert.deepEqual(attribute(spans[0], 'SampleRate'), [{ intValue: '1' }]);
});

test('property: apart from trace state and the two attributes a kept span is what it was', () => {
  const specs: fc.Arbitrary<SpanSpec[]> = fc.array(
    fc.record({
      name: fc.string(),
      attributes: fc.dictionary(fc.string({ minLength: 1 }), fc.oneof(fc.string(), fc.integer(), fc.boolean())),
      traceState: fc.constantFrom('', 'a=b', 'ot=th:4', 'x=1,ot=rv:00000000000001'),
      events: fc.array(fc.record({ name: fc.string() }), { maxLength: 2 }),
      status: fc.constantFrom(0, 1, 2),
    }),
    { minLength: 1, maxLength: 5 },
  );
  fc.assert(
    fc.property(specs, fc.constantFrom(1, 0.5, 0.001, 2 ** -40), (spans, probability) => {
      const raw = traces(spans);
      const before = decode('TracesData', raw).resourceSpans[0].scopeSpans[0].spans;
      const after = gated(
        raw,
        spans.map(() => probability),
      ).spans;
      assert.equal(after.length, before.length);
      for (const [n, span] of after.entries()) {
        const rest = span.attributes.slice(0, -2);
        assert.deepEqual(
          span.attributes.slice(-2).map((one: Attribute) => one.key),
          ['SampleRate', 'tailsampling.policy'],
        );
        const { traceState: _before, attributes, ...was } = before[n];
        const { traceState, attributes: _after, ...is } = span;
        assert.match(traceState, /^ot=th:/);
        assert.deepEqual(is, was);
        assert.deepEqual(rest, attributes ?? []);
      }
    }),
    { numRuns: 100 },
  );
});
