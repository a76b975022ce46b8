import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  AttributeList,
  RESOURCE_ATTRIBUTES,
  SCOPE_ATTRIBUTES,
  VALUE_ARRAY,
  VALUE_BOOL,
  VALUE_BYTES,
  VALUE_DOUBLE,
  VALUE_INT,
  VALUE_KVLIST,
  VALUE_STRING,
  ValueView,
  parseAttributes,
} from '../../pipelines/otlp/attributes.ts';
import { LogRecordView } from '../../pipelines/otlp/log-record.ts';
import { SpanView, type RangeList } from '../../pipelines/otlp/span.ts';
import { Walker } from '../../pipelines/otlp/walk.ts';
import { Cursor } from '../../pipelines/wire/cursor.ts';
import { decode, encode } from '../kit/proto.ts';
import { traces } from '../kit/otlp.ts';
import { message, unknownFields, withUnknown } from './arbitrary.ts';

/** What our views see, spelt as kit/proto.ts spells it. */
function valueOf(bytes: Buffer, start: number, stop: number): object {
  const view = new ValueView().parse(bytes, start, stop);
  const inner = (name: string, one: (from: number, to: number) => object): object => {
    const cursor = new Cursor().reset(bytes, view.start, view.stop);
    const values: object[] = [];
    while (cursor.next()) if (cursor.field === 1) values.push(one(cursor.start, cursor.stop));
    return { [name]: values.length === 0 ? {} : { values } };
  };
  switch (view.kind) {
    case VALUE_STRING:
      return { stringValue: bytes.toString('utf8', view.start, view.stop) };
    case VALUE_BOOL:
      return { boolValue: view.lo !== 0 || view.hi !== 0 };
    case VALUE_INT:
      return { intValue: BigInt.asIntN(64, (BigInt(view.hi) << 32n) | BigInt(view.lo)).toString() };
    case VALUE_DOUBLE:
      return { doubleValue: view.double };
    case VALUE_BYTES:
      return { bytesValue: Buffer.from(bytes.subarray(view.start, view.stop)) };
    case VALUE_ARRAY:
      return inner('arrayValue', (from, to) => valueOf(bytes, from, to));
    case VALUE_KVLIST:
      return inner('kvlistValue', (from, to) => {
        const list = new AttributeList();
        list.add(bytes, from, to);
        return attributesOf(bytes, list)[0]!;
      });
    default:
      return {};
  }
}

function attributesOf(bytes: Buffer, list: AttributeList): object[] {
  return Array.from({ length: list.count }, (_, i) => ({
    key: bytes.toString('utf8', list.keyStart(i), list.keyStop(i)),
    value: valueOf(bytes, list.valueStart(i), list.valueStop(i)),
  }));
}

// oxlint-disable-next-line typescript/no-explicit-any
type Any = any;
const nested = (name: string, bytes: Buffer, list: RangeList): object[] =>
  Array.from({ length: list.count }, (_, i) => decode(name, bytes.subarray(list.start(i), list.stop(i))));
const u64 = (lo: number, hi: number): string => ((BigInt(hi) << 32n) | BigInt(lo)).toString();
const slice = (bytes: Buffer, start: number, stop: number): Buffer => Buffer.from(bytes.subarray(start, stop));
/** The kit leaves absent what a view shows as empty. */
const keyValue = ({ key = '', value = {} }: Any): object => ({ key, value: normal(value) });
const normal = (value: Any): object => {
  if (value.arrayValue?.values !== undefined) return { arrayValue: { values: value.arrayValue.values.map(normal) } };
  if (value.kvlistValue?.values !== undefined) return { kvlistValue: { values: value.kvlistValue.values.map(keyValue) } };
  return value;
};

const NONE = Buffer.alloc(0);

test('SpanView sees in a random span with unknown fields what protobufjs sees', () => {
  const view = new SpanView();
  fc.assert(
    fc.property(message('Span'), fc.tuple(unknownFields, unknownFields), (value, around) => {
      const bytes = withUnknown('Span', value, around);
      const want = decode('Span', bytes);
      view.parse(bytes, 0, bytes.length);
      assert.deepEqual(slice(bytes, view.traceIdStart, view.traceIdStop), want.traceId ?? NONE);
      assert.deepEqual(slice(bytes, view.spanIdStart, view.spanIdStop), want.spanId ?? NONE);
      assert.deepEqual(slice(bytes, view.parentIdStart, view.parentIdStop), want.parentSpanId ?? NONE);
      assert.equal(bytes.toString('utf8', view.traceStateStart, view.traceStateStop), want.traceState ?? '');
      assert.equal(bytes.toString('utf8', view.nameStart, view.nameStop), want.name ?? '');
      assert.equal(view.kind, want.kind ?? 0);
      assert.equal(view.flags, want.flags ?? 0);
      assert.equal(u64(view.startLo, view.startHi), want.startTimeUnixNano ?? '0');
      assert.equal(u64(view.endLo, view.endHi), want.endTimeUnixNano ?? '0');
      assert.equal(view.statusCode, want.status?.code ?? 0);
      assert.equal(bytes.toString('utf8', view.statusMessageStart, view.statusMessageStop), want.status?.message ?? '');
      assert.deepEqual(attributesOf(bytes, view.attributes), (want.attributes ?? []).map(keyValue));
      assert.deepEqual(nested('Event', bytes, view.events), want.events ?? []);
      assert.deepEqual(nested('Link', bytes, view.links), want.links ?? []);
    }),
  );
});

test('LogRecordView sees in a random log record with unknown fields what protobufjs sees', () => {
  const view = new LogRecordView();
  fc.assert(
    fc.property(message('LogRecord'), fc.tuple(unknownFields, unknownFields), (value, around) => {
      const bytes = withUnknown('LogRecord', value, around);
      const want = decode('LogRecord', bytes);
      view.parse(bytes, 0, bytes.length);
      assert.equal(u64(view.timeLo, view.timeHi), want.timeUnixNano ?? '0');
      assert.equal(u64(view.observedLo, view.observedHi), want.observedTimeUnixNano ?? '0');
      assert.equal(view.severityNumber, want.severityNumber ?? 0);
      assert.equal(bytes.toString('utf8', view.severityTextStart, view.severityTextStop), want.severityText ?? '');
      assert.equal(bytes.toString('utf8', view.eventNameStart, view.eventNameStop), want.eventName ?? '');
      assert.deepEqual(valueOf(bytes, view.bodyStart, view.bodyStop), normal(want.body ?? {}));
      assert.deepEqual(slice(bytes, view.traceIdStart, view.traceIdStop), want.traceId ?? NONE);
      assert.deepEqual(slice(bytes, view.spanIdStart, view.spanIdStop), want.spanId ?? NONE);
      assert.equal(view.flags, want.flags ?? 0);
      assert.deepEqual(attributesOf(bytes, view.attributes), (want.attributes ?? []).map(keyValue));
    }),
  );
});

test('parseAttributes() reads those of a resource and of a scope', () => {
  const list = new AttributeList();
  fc.assert(
    fc.property(message('Resource'), message('InstrumentationScope'), fc.tuple(unknownFields, unknownFields), (resource, scope, around) => {
      for (const [name, value, field] of [
        ['Resource', resource, RESOURCE_ATTRIBUTES],
        ['InstrumentationScope', scope, SCOPE_ATTRIBUTES],
      ] as const) {
        const bytes = withUnknown(name, value, around);
        parseAttributes(bytes, 0, bytes.length, field, list);
        assert.deepEqual(attributesOf(bytes, list), (decode(name, bytes).attributes ?? []).map(keyValue));
      }
    }),
  );
});

test('a view that is reused shows nothing of the span before', () => {
  const view = new SpanView();
  const full = encode('Span', {
    traceId: Buffer.alloc(16, 1),
    name: 'a',
    kind: 3,
    flags: 1,
    attributes: [{ key: 'k' }],
    events: [{}],
    links: [{}],
    status: { code: 2, message: 'no' },
  });
  view.parse(full, 0, full.length);
  view.parse(NONE, 0, 0);
  const { traceIdStop, nameStop, kind, flags, statusCode, statusMessageStop } = view;
  assert.deepEqual(
    { traceIdStop, nameStop, kind, flags, statusCode, statusMessageStop },
    { traceIdStop: 0, nameStop: 0, kind: 0, flags: 0, statusCode: 0, statusMessageStop: 0 },
  );
  assert.deepEqual([view.attributes.count, view.events.count, view.links.count], [0, 0, 0]);
});

test('duration_ns() is exact over the border of 32 bits and 0 for an end before the start', () => {
  const view = new SpanView();
  const at = (start: bigint, end: bigint): number => {
    const bytes = encode('Span', { startTimeUnixNano: start.toString(), endTimeUnixNano: end.toString() });
    return view.parse(bytes, 0, bytes.length).duration_ns();
  };
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 63n }), fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }), (start, more) =>
      assert.equal(at(start, start + more), Number(more)),
    ),
  );
  assert.equal(at(5n, 4n), 0);
});

test('AttributeList finds the first attribute of a key, and grows past its first size', () => {
  const bytes = traces([{ attributes: Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`key-${i}`, i])) }]);
  const view = new SpanView();
  new Walker().walk(bytes, 0, bytes.length, {
    resource: () => undefined,
    scope: () => undefined,
    item: (start, stop) => view.parse(bytes, start, stop),
  });
  assert.equal(view.attributes.count, 200);
  assert.equal(view.attributes.find(bytes, Buffer.from('key-199')), 199);
  assert.equal(view.attributes.find(bytes, Buffer.from('key-')), -1);
});

test('Walker: a resource given twice counts as its last, its schema URL may stand anywhere, and an absent one is 0, 0', () => {
  const resource = (name: string): object => ({ resource: { attributes: [{ key: name }] } });
  const spans = encode('ResourceSpans', { scopeSpans: [{ spans: [{ name: 'x' }] }], schemaUrl: 'u' });
  const inner = Buffer.concat([spans, encode('ResourceSpans', resource('first')), encode('ResourceSpans', resource('last'))]);
  const bytes = Buffer.concat([Buffer.from([0x0a, inner.length]), inner]);
  const seen: unknown[] = [];
  const items = new Walker().walk(bytes, 0, bytes.length, {
    resource: (start, stop, urlStart, urlStop) =>
      seen.push(decode('Resource', bytes.subarray(start, stop)), bytes.toString('utf8', urlStart, urlStop)),
    scope: (...range) => seen.push(range),
    item: (start, stop) => seen.push(decode('Span', bytes.subarray(start, stop))),
  });
  assert.equal(items, 1);
  assert.deepEqual(seen, [{ attributes: [{ key: 'last' }] }, 'u', [0, 0, 0, 0], { name: 'x' }]);
});
