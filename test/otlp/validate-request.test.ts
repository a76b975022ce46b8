import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Malformed } from '../../pipelines/base/errors.ts';
import { defaultValidateSettings } from '../../pipelines/otlp/validate-item.ts';
import { Validator } from '../../pipelines/otlp/validate.ts';
import { BASE_NS, keyValues, span, traces } from '../kit/otlp.ts';
import { decode, encode } from '../kit/proto.ts';
import { NOW_MS, around, check, deep, spoil, with_ } from './faulty.ts';

test('a fault of a resource or scope is a fault of all items under it, and of no others', () => {
  const scopes = (name: string): object[] => [{ scope: { name }, spans: [span(), span()] }];
  const bytes = encode('TracesData', {
    resourceSpans: [
      { resource: { attributes: keyValues({ k: 'word-resource' }) }, scopeSpans: [...scopes('a'), ...scopes('b')] },
      { resource: {}, scopeSpans: [...scopes('word-scope'), ...scopes('c')], schemaUrl: 'word-url' },
    ],
  });
  const rejectedBy = (word: string): number => check('traces', spoil(bytes, word)).rejected;
  assert.deepEqual(['word-resource', 'word-scope', 'word-url'].map(rejectedBy), [4, 2, 4]);
  const nested = encode('TracesData', {
    resourceSpans: [{ resource: { attributes: [{ key: 'k', value: deep(33) }] }, scopeSpans: scopes('a') }],
  });
  const verdict = check('traces', nested);
  assert.deepEqual([...verdict.reasons], [['nesting', 2]]);
  assert.equal(verdict.bytes.length, 0);
});

test('damage anywhere in an item refuses the whole request, also where the item is at fault already', () => {
  const bytes = around(with_({ traceId: Buffer.alloc(3), attributes: [{ key: 'here', value: { intValue: 5 } }] }));
  const at = bytes.indexOf('here') + 6;
  assert.equal(bytes[at], 0x18);
  // int_value as LEN; a group; bool_value as I32.
  for (const tag of [0x1a, 0x1b, 0x15]) {
    const damaged = Buffer.from(bytes);
    damaged[at] = tag;
    assert.throws(() => check('traces', damaged), Malformed);
  }
  const wrongWire = Buffer.concat([bytes, Buffer.from([0x08, 0x01])]);
  assert.throws(() => check('traces', wrongWire), Malformed);
});

test('a verdict is reused: the next check of good bytes shows nothing of the last one', () => {
  const validator = new Validator('traces', defaultValidateSettings);
  const first = validator.check(around(with_({ traceId: Buffer.alloc(3) })), NOW_MS);
  assert.equal(first.rejected, 1);
  const good = traces([{}]);
  const second = validator.check(good, NOW_MS);
  assert.equal(second, first);
  assert.deepEqual(
    { ...second, bytes: second.bytes === good },
    { bytes: true, accepted: 1, rejectedItems: 0, itemReasons: new Map(), units: 1, rejected: 0, reasons: new Map(), message: '' },
  );
});

test('log records: times may be 0, ids may be absent, wrong ones are refused', () => {
  const verdictOf = (record: object): [string, number][] => [
    ...check('logs', encode('LogsData', { resourceLogs: [{ scopeLogs: [{ logRecords: [{}, record] }] }] })).reasons,
  ];
  assert.deepEqual(verdictOf({ timeUnixNano: '0', observedTimeUnixNano: '0' }), []);
  assert.deepEqual(verdictOf({ timeUnixNano: BASE_NS.toString(), traceId: Buffer.alloc(16), spanId: Buffer.alloc(8) }), []);
  assert.deepEqual(verdictOf({ traceId: Buffer.alloc(0), spanId: Buffer.alloc(0) }), []);
  assert.deepEqual(verdictOf({ timeUnixNano: '5' }), [['timestamp', 1]]);
  assert.deepEqual(verdictOf({ observedTimeUnixNano: '5' }), [['timestamp', 1]]);
  assert.deepEqual(verdictOf({ traceId: Buffer.alloc(15) }), [['trace_id', 1]]);
  assert.deepEqual(verdictOf({ spanId: Buffer.alloc(16) }), [['span_id', 1]]);
  assert.deepEqual(verdictOf({ body: deep(33) }), [['nesting', 1]]);
});

test('metrics: a data point at fault goes, its metric stays with the others; counts are in points and in metrics', () => {
  const time = BASE_NS.toString();
  const point = { timeUnixNano: time, asInt: '1', attributes: keyValues({ a: 'b' }) };
  const metrics = [
    {
      name: 'half',
      sum: { dataPoints: [point, { ...point, timeUnixNano: '7' }, point], aggregationTemporality: 2, isMonotonic: true },
      unit: '1',
    },
    { name: 'none', gauge: { dataPoints: [{ asInt: '1' }, { ...point, attributes: [{ key: 'k', value: deep(33) }] }] } },
    {
      name: 'all',
      histogram: {
        dataPoints: [{ timeUnixNano: time, count: '2', bucketCounts: ['1', '1'], explicitBounds: [5] }],
        aggregationTemporality: 1,
      },
    },
    { name: 'empty' },
    { name: 'exemplar', exponentialHistogram: { dataPoints: [{ timeUnixNano: time, exemplars: [{ traceId: Buffer.alloc(3) }] }] } },
    { name: 'word-name', summary: { dataPoints: [{ timeUnixNano: time }, { timeUnixNano: time }] } },
  ];
  const bytes = spoil(encode('MetricsData', { resourceMetrics: [{ scopeMetrics: [{ metrics }] }] }), 'word-name');
  const verdict = check('metrics', bytes);
  assert.deepEqual(Object.fromEntries(verdict.reasons), { timestamp: 2, nesting: 1, exemplar_id: 1, utf8: 2 });
  assert.deepEqual(Object.fromEntries(verdict.itemReasons), { nesting: 1, exemplar_id: 1, utf8: 1 });
  assert.deepEqual([verdict.accepted, verdict.rejectedItems, verdict.units, verdict.rejected], [3, 3, 9, 6]);
  assert.match(verdict.message, /^6 of 9 data points refused: 2 utf8 .*, 1 nesting/);
  const want = decode('MetricsData', bytes);
  const [half, , all, empty] = want.resourceMetrics[0].scopeMetrics[0].metrics;
  half.sum.dataPoints.splice(1, 1);
  want.resourceMetrics[0].scopeMetrics[0].metrics = [half, all, empty];
  assert.deepEqual(decode('MetricsData', verdict.bytes), want);
});

test('the start time of a data point is not judged: Envoy’s first export has it in microseconds', () => {
  const dataPoints = [{ startTimeUnixNano: '1795501177271845', timeUnixNano: BASE_NS.toString() }];
  assert.equal(
    check('metrics', encode('MetricsData', { resourceMetrics: [{ scopeMetrics: [{ metrics: [{ sum: { dataPoints } }] }] }] })).rejected,
    0,
  );
});
