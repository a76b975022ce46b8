import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConditionContext } from '../../pipelines/process/ottl-value.ts';
import { compileSpanCondition } from '../../pipelines/process/condition.ts';
import { logs, traces } from '../kit/otlp.ts';
import { encode } from '../kit/proto.ts';
import { firstItem, holds } from './matching.ts';

const span = traces(
  [
    {
      trace: '0102030405060708090a0b0c0d0e0f10',
      span: '1112131415161718',
      parent: '2122232425262728',
      name: 'GET /orders',
      kind: 2,
      status: 2,
      statusMessage: 'boom',
      traceState: 'ot=th:8, vendor=a=b ,x=',
      start_ns: 1_000n,
      duration_ns: 500n,
      attributes: {
        text: 'value',
        empty: '',
        int: 42,
        negative: -7,
        big: 9_007_199_254_740_993n,
        double: 1.5,
        yes: true,
        no: false,
        code: '503',
        bytes: Buffer.from('cafe', 'hex'),
        list: ['a', 2, false],
        map: { inner: { deep: 'down' }, n: 3 },
      },
      events: [{ name: 'exception', time_ns: 5n, attributes: { type: 'io' } }],
    },
  ],
  'shop',
  { host: 'h1' },
);
const root = traces([{ name: 'root', kind: 1 }]);
const record = logs([{ body: 'disk is full', severity: 17, trace: '1', attributes: { a: 1 } }]);
const metric = encode('MetricsData', {
  resourceMetrics: [
    {
      scopeMetrics: [{ metrics: [{ name: 'requests', unit: '1', sum: { aggregationTemporality: 1, isMonotonic: true, dataPoints: [] } }] }],
    },
  ],
});

/** Outcomes worked by hand from the Collector's pkg/ottl/LANGUAGE.md and the contexts' README files. */
const table: readonly (readonly [ConditionContext, Buffer, readonly (readonly [string, boolean])[]])[] = [
  [
    'span',
    span,
    [
      ['name == "GET /orders"', true],
      ['span.name != "GET /orders"', false],
      ['name < "GET /p"', true],
      ['kind == SPAN_KIND_SERVER', true],
      ['kind.string == "Server"', true],
      ['status.code == STATUS_CODE_ERROR and status.message == "boom"', true],
      ['status.code == 2', true],
      ['2 <= status.code', true],
      ['attributes["text"] == "value"', true],
      ['attributes["text"] == "valu"', false],
      ['attributes["missing"] == nil', true],
      ['attributes["missing"] != nil', false],
      ['nil == attributes["text"]', false],
      ['attributes["missing"] == "x"', false],
      ['attributes["missing"] != "x"', true],
      ['attributes["missing"] < 5', false],
      ['attributes["missing"] >= nil', true],
      ['attributes["empty"] == ""', true],
      ['attributes["int"] == 42', true],
      ['attributes["int"] == 42.0', true],
      ['attributes["int"] > 41.5', true],
      ['attributes["int"] == "42"', false],
      ['attributes["int"] != "42"', true],
      ['attributes["negative"] < -6', true],
      ['attributes["negative"] < 0 and attributes["negative"] >= -7', true],
      ['attributes["big"] == 9007199254740993', true],
      ['attributes["big"] > 9007199254740992', true],
      ['attributes["double"] == 1.5', true],
      ['attributes["double"] > 1', true],
      ['attributes["double"] < .5', false],
      ['attributes["yes"] == true', true],
      ['attributes["yes"] > attributes["no"]', true],
      ['attributes["yes"] == 1', false],
      ['attributes["bytes"] == 0xcafe', true],
      ['attributes["bytes"] > 0xca', true],
      ['attributes["bytes"] == "cafe"', false],
      ['attributes["list"][0] == "a" and attributes["list"][1] == 2', true],
      ['attributes["list"][9] == nil', true],
      ['attributes["map"]["inner"]["deep"] == "down"', true],
      ['attributes["map"]["n"] == 3', true],
      ['attributes["map"]["none"]["deep"] == nil', true],
      ['attributes["map"] == attributes["map"]', true],
      ['resource.attributes["service.name"] == "shop"', true],
      ['resource.attributes["host"] == "h1"', true],
      ['instrumentation_scope.name == "test" and scope.version == "1"', true],
      ['trace_id == TraceID(0x0102030405060708090a0b0c0d0e0f10)', true],
      ['trace_id.string == "0102030405060708090a0b0c0d0e0f10"', true],
      ['span_id.string == "1112131415161718"', true],
      ['span_id == SpanID("1112131415161718")', true],
      ['parent_span_id == SpanID(0x2122232425262728)', true],
      ['IsRootSpan()', false],
      ['trace_state == "ot=th:8, vendor=a=b ,x="', true],
      ['trace_state["vendor"] == "a=b"', true],
      ['trace_state["ot"] == "th:8"', true],
      ['trace_state["none"] == ""', true],
      ['start_time_unix_nano == 1000 and end_time_unix_nano == 1500', true],
      ['not name == "x"', true],
      ['not (name == "x" or kind == 2)', false],
      // and binds closer than or, not closer than and.
      ['true or false and false', true],
      ['(true or false) and false', false],
      ['not false and false', false],
      ['true', true],
      ['IsMatch(name, "^GET /o")', true],
      ['IsMatch(attributes["int"], "^4.$")', true],
      ['IsMatch(attributes["bytes"], "^cafe$")', true],
      ['IsMatch(attributes["map"], "deep")', true],
      ['IsMatch(attributes["missing"], ".*")', false],
      ['IsMatch(pattern="ORDERS", target=name)', false],
      ['IsMatch(name, "(?i)ORDERS$")', true],
      ['IsString(attributes["text"]) and not IsString(attributes["int"])', true],
      ['IsInt(attributes["int"]) and IsDouble(attributes["double"]) and IsBool(attributes["no"])', true],
      ['IsMap(attributes["map"]) and IsList(attributes["list"])', true],
      ['IsString(attributes["missing"])', false],
      ['HasPrefix(name, "GET ") and HasSuffix(name, "orders")', true],
      ['HasPrefix(name, "GET /orders and more")', false],
      ['Len(name) == 11', true],
      ['Len(attributes["list"]) == 3 and Len(attributes["map"]) == 2', true],
      ['ContainsValue(attributes["list"], "a")', true],
      ['ContainsValue(attributes["list"], "b")', false],
      ['Int(attributes["code"]) >= 500', true],
      ['Double(attributes["code"]) > 502.5', true],
      ['Int(attributes["text"]) == nil', true],
      ['Int(attributes["double"]) == 1', true],
      ['IsString(attributes["text"]) == true', true],
    ],
  ],
  [
    'span',
    root,
    [
      ['IsRootSpan()', true],
      ['parent_span_id == SpanID(0x0000000000000000)', true],
      ['parent_span_id == nil', false],
      ['parent_span_id.string == "0000000000000000"', true],
      ['status.code == STATUS_CODE_UNSET', true],
      ['status.message == ""', true],
      ['trace_state["ot"] == ""', true],
    ],
  ],
  [
    'spanevent',
    span,
    [
      ['name == "exception"', true],
      ['spanevent.attributes["type"] == "io" and span.name == "GET /orders"', true],
      ['time_unix_nano == 5', true],
      ['span.status.code == STATUS_CODE_OK', false],
    ],
  ],
  [
    'log',
    record,
    [
      ['body == "disk is full"', true],
      ['IsMatch(log.body, "full$")', true],
      ['body.string == "disk is full"', true],
      ['severity_number >= SEVERITY_NUMBER_ERROR', true],
      ['severity_number < SEVERITY_NUMBER_ERROR2', true],
      ['severity_text == "INFO"', true],
      ['attributes["a"] == 1', true],
      ['trace_id != TraceID(0x00000000000000000000000000000000)', true],
      ['event_name == ""', true],
      ['resource.attributes["service.name"] == "shop"', true],
    ],
  ],
  [
    'log',
    logs([{ body: { k: [1, 'x'], b: true } }]),
    [
      ['body.string == "{\\"b\\":true,\\"k\\":[1,\\"x\\"]}"', true],
      ['body["k"][1] == "x"', true],
    ],
  ],
  [
    'metric',
    metric,
    [
      ['name == "requests" and unit == "1"', true],
      ['metric.type == METRIC_DATA_TYPE_SUM', true],
      ['type == METRIC_DATA_TYPE_GAUGE', false],
      ['aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA', true],
      ['is_monotonic == true', true],
    ],
  ],
];

for (const [context, bytes, conditions] of table) {
  for (const [text, outcome] of conditions) {
    void test(`${context}: ${text} is ${outcome}`, () => {
      assert.equal(holds(text, context, bytes), outcome);
    });
  }
}

test('a function that fails makes its whole condition false, and is counted', () => {
  const { span: view, scope } = firstItem('span', span);
  for (const text of [
    'HasPrefix(attributes["missing"], "x")',
    'not HasPrefix(attributes["missing"], "x")',
    'Len(attributes["int"]) != 3',
  ]) {
    const condition = compileSpanCondition(text);
    assert.equal(condition.matches(view, scope), false, text);
    assert.equal(condition.condition.errors, 1);
  }
  const late = compileSpanCondition('name == "GET /orders" or HasPrefix(attributes["missing"], "x")');
  assert.equal(late.matches(view, scope), true);
  assert.equal(late.condition.errors, 0);
});
