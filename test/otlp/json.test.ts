import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import * as fc from 'fast-check';
import { Reject } from '../../pipelines/base/errors.ts';
import { checkJsonBounds } from '../../pipelines/otlp/json-bounds.ts';
import { jsonToProtobuf } from '../../pipelines/otlp/json.ts';
import { rootOf, schema } from '../../pipelines/otlp/schema.ts';
import type { Signal } from '../../pipelines/otlp/walk.ts';
import { decode, encode } from '../kit/proto.ts';
import { message } from './arbitrary.ts';

interface Spelling {
  /** 64-bit integers as JSON numbers where a double holds them. */
  readonly numbers: boolean;
  readonly upperHex: boolean;
  /** Unknown and null members beside the known ones. */
  readonly noise: boolean;
}

/** A plain object of the kit as OTLP/JSON. Written for the test alone, by the specification. */
function toJson(name: string, value: Record<string, unknown>, spelling: Spelling): object {
  const json: Record<string, unknown> = spelling.noise ? { unknown_field: { deep: [1] }, dropped_attributes_count: 'x' } : {};
  for (const [field, [, type, rule]] of Object.entries(schema[name]!)) {
    const inner = value[field];
    if (inner === undefined) {
      if (spelling.noise) json[field] = null;
      continue;
    }
    const one = (item: unknown): unknown =>
      schema[type] === undefined ? scalarToJson(type, item, spelling) : toJson(type, item as Record<string, unknown>, spelling);
    json[field] = rule === 'repeated' ? (inner as unknown[]).map(one) : one(inner);
  }
  return json;
}

function scalarToJson(type: string, value: unknown, { numbers, upperHex }: Spelling): unknown {
  if (type === 'id') return upperHex ? (value as Buffer).toString('hex').toUpperCase() : (value as Buffer).toString('hex');
  if (type === 'bytes') return (value as Buffer).toString(upperHex ? 'base64' : 'base64url');
  // JSON.stringify would make 0 of −0.
  if (type === 'double') return Number.isFinite(value) && !Object.is(value, -0) ? value : Object.is(value, -0) ? '-0' : String(value);
  if (numbers && typeof value === 'string' && type.endsWith('64') && Number.isSafeInteger(Number(value))) return Number(value);
  return value;
}

const spelling = fc.record({ numbers: fc.boolean(), upperHex: fc.boolean(), noise: fc.boolean() });
const bodyOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const refuses = (signal: Signal, body: unknown, expected: string | RegExp): void => {
  assert.throws(
    () => jsonToProtobuf(signal, Buffer.isBuffer(body) ? body : bodyOf(body)),
    (error) => {
      assert.ok(error instanceof Reject && error.reason === 'json', String(error));
      if (typeof expected === 'string') assert.equal(error.message, expected);
      else assert.match(error.message, expected);
      return true;
    },
  );
};

for (const signal of ['traces', 'metrics', 'logs'] as const) {
  const root = rootOf[signal];
  test(`${signal}: JSON of any message becomes the bytes that say the same, in every spelling that OTLP allows`, () => {
    fc.assert(
      fc.property(message(root, 2), spelling, (value, how) => {
        assert.deepEqual(decode(root, jsonToProtobuf(signal, bodyOf(toJson(root, value, how)))), decode(root, encode(root, value)));
      }),
    );
  });

  test(`${signal}: what Envoy sent in protobuf comes out alike by way of JSON`, () => {
    const folder = new URL('../fixtures/envoy/', import.meta.url);
    const names = readdirSync(folder).filter((file) => file.endsWith('.bin') && file.startsWith(signal === 'traces' ? 'trace' : signal));
    assert.ok(names.length >= 4);
    for (const file of names) {
      const want = decode(root, readFileSync(new URL(file, folder)));
      const json = bodyOf(toJson(root, want, { numbers: false, upperHex: false, noise: false }));
      assert.deepEqual(decode(root, jsonToProtobuf(signal, json)), want);
    }
  });
}

test('the JSON and the protobuf of the OpenTelemetry SDK’s own serializers say the same', () => {
  const span = {
    name: 'GET /',
    kind: 1,
    spanContext: () => ({ traceId: '5b8efff798038103d269b633813fc60c', spanId: 'eee19b7ec3c1b174', traceFlags: 1 }),
    startTime: [1_780_000_000, 123_456_789],
    endTime: [1_780_000_001, 1],
    status: { code: 2, message: 'no' },
    attributes: { text: 'a', whole: 1, part: 0.5, yes: true, list: ['a', 'b'] },
    events: [{ name: 'e', time: [1_780_000_000, 5], attributes: { k: 'v' } }],
    links: [{ context: { traceId: '00000000000000000000000000000001', spanId: '0000000000000002', traceFlags: 0 }, attributes: {} }],
    resource: { attributes: { 'service.name': 'shop' }, schemaUrl: 'u' },
    instrumentationScope: { name: 'test', version: '1' },
    droppedAttributesCount: 1,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
  type Spans = Parameters<typeof JsonTraceSerializer.serializeRequest>[0];
  const spans = [span] as unknown as Spans;
  const json = Buffer.from(JsonTraceSerializer.serializeRequest(spans)!);
  const bytes = ProtobufTraceSerializer.serializeRequest(spans)!;
  const got = decode('TracesData', jsonToProtobuf('traces', json));
  assert.equal(got.resourceSpans[0].scopeSpans[0].spans[0].traceId.toString('hex'), '5b8efff798038103d269b633813fc60c');
  assert.deepEqual(got, decode('TracesData', Buffer.from(bytes)));
});

test('a 64-bit integer in a string is exact', () => {
  const time = '1795501179269534321';
  const got = decode(
    'LogsData',
    jsonToProtobuf(
      'logs',
      bodyOf({ resourceLogs: [{ scopeLogs: [{ logRecords: [{ timeUnixNano: time, body: { intValue: '-9223372036854775808' } }] }] }] }),
    ),
  );
  assert.deepEqual(got.resourceLogs[0].scopeLogs[0].logRecords[0], { timeUnixNano: time, body: { intValue: '-9223372036854775808' } });
});

test('what is wrong is named with its place', () => {
  const span = (fields: object): object => ({ resourceSpans: [{ scopeSpans: [{ spans: [{}, {}, fields] }] }] });
  const at = 'resourceSpans[0].scopeSpans[0].spans[2]';
  refuses('traces', span({ traceId: 'xyz' }), `${at}.traceId: not a string of hexadecimal digits`);
  refuses('traces', span({ traceId: 'abc' }), `${at}.traceId: not a string of hexadecimal digits`);
  refuses('traces', span({ kind: 'SPAN_KIND_SERVER' }), `${at}.kind: not a number (OTLP/JSON has no enum names)`);
  refuses('traces', span({ name: 5 }), `${at}.name: not a string`);
  refuses('traces', span({ startTimeUnixNano: '-1' }), `${at}.startTimeUnixNano: outside 0 … 18446744073709551615`);
  refuses('traces', span({ startTimeUnixNano: '1e9' }), `${at}.startTimeUnixNano: not an integer, or a decimal string of one`);
  refuses('traces', span({ startTimeUnixNano: 0.5 }), `${at}.startTimeUnixNano: not an integer, or a decimal string of one`);
  refuses('traces', span({ flags: 2 ** 32 }), `${at}.flags: outside 0 … 4294967295`);
  refuses('traces', span({ attributes: {} }), `${at}.attributes: not an array`);
  refuses('traces', span({ status: [] }), `${at}.status: not an object`);
  refuses(
    'traces',
    span({ attributes: [{ key: 'k', value: { bytesValue: '?' } }] }),
    `${at}.attributes[0].value.bytesValue: not a base64 string`,
  );
  refuses(
    'traces',
    span({ attributes: [{ key: 'k', value: { doubleValue: 'nan' } }] }),
    /attributes\[0\]\.value\.doubleValue: not a number/,
  );
  refuses('traces', span({ attributes: [{ key: 'k', value: { boolValue: 1 } }] }), /boolValue: not true or false/);
  refuses('traces', span({ events: [null] }), `${at}.events[0]: not an object`);
  const buckets = { resourceMetrics: [{ scopeMetrics: [{ metrics: [{ histogram: { dataPoints: [{ bucketCounts: ['1', 'x'] }] } }] }] }] };
  refuses('metrics', buckets, /dataPoints\[0\]\.bucketCounts\[1\]: not an integer/);
});

test('a body that is not JSON, not an object, not UTF-8, or nested without end is refused', () => {
  refuses('traces', Buffer.from('{"resourceSpans":'), /the body is not JSON/);
  refuses('traces', Buffer.from('[]'), 'the body: not an object');
  refuses('traces', Buffer.from('null'), 'the body: not an object');
  refuses('traces', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'the body is not UTF-8');
  const deep = (levels: number): Buffer =>
    Buffer.from(
      `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":${'{"arrayValue":{"values":['.repeat(levels)}${']}}'.repeat(levels)}}]}]}]}`,
    );
  refuses('logs', deep(1000), /^.{1,1000}…: nested deeper than 1000 messages$/);
  refuses('logs', deep(100_000), 'the body is nested deeper than 4096 brackets');
  // 100 levels are for the validator to judge: it refuses that record alone.
  assert.ok(jsonToProtobuf('logs', deep(100)).length > 100);
});

test('a body of brackets alone is refused before it is parsed, whatever its strings hold', () => {
  for (const unit of ['[', '{"a":', '{},', '[],']) {
    const body = Buffer.alloc(20_000_000, unit);
    assert.throws(
      () => jsonToProtobuf('traces', body),
      (error) => error instanceof Reject && /(objects and arrays|4096 brackets)$/.test(error.message),
    );
  }
  const two = Buffer.from(String.raw`{"resourceSpans":[],"a":"[[{{\"[[\\","b":"]]"}`);
  checkJsonBounds(two, 2);
  assert.throws(() => checkJsonBounds(two, 1), { message: 'the body holds more than 1 objects and arrays' });
  assert.equal(jsonToProtobuf('traces', two).length, 0);
});

test('an empty object is an empty request', () => {
  assert.equal(jsonToProtobuf('metrics', Buffer.from('{}')).length, 0);
});
