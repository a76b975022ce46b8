import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { defaultValidateSettings } from '../../pipelines/otlp/validate-item.ts';
import { BASE_NS, anyValue, span, type AttributeValue } from '../kit/otlp.ts';
import { decode, encode } from '../kit/proto.ts';
import { NOW_MS, around, check, deep, spoil, with_ } from './faulty.ts';

const DAY_NS = 86_400_000_000_000n;
const LATEST_NS = BigInt(NOW_MS) * 1_000_000n + DAY_NS;
const YEAR_2000_NS = 946_684_800_000_000_000n;

/** The fault is refused with this reason and the two good spans are kept as they were. */
function refusesSpan(fault: object, reason: string): void {
  const bytes = around(fault);
  const verdict = check('traces', bytes);
  assert.deepEqual([...verdict.reasons], [[reason, 1]], JSON.stringify(fault));
  assert.deepEqual([...verdict.itemReasons], [[reason, 1]]);
  assert.deepEqual([verdict.accepted, verdict.rejected, verdict.rejectedItems, verdict.units], [2, 1, 1, 3]);
  const want = decode('TracesData', bytes);
  want.resourceSpans[0].scopeSpans[0].spans.splice(1, 1);
  assert.deepEqual(decode('TracesData', Buffer.from(verdict.bytes)), want);
  assert.match(verdict.message, new RegExp(`^1 of 3 spans refused: 1 ${reason} \\(.+\\)$`));
}

function takesSpan(fields: object): void {
  const bytes = around(fields);
  const verdict = check('traces', bytes);
  assert.equal(verdict.message, '', JSON.stringify(fields));
  assert.equal(verdict.bytes, bytes, 'nothing refused: the very buffer');
  assert.equal(verdict.accepted, 3);
}

const without = (field: string): object => Object.fromEntries(Object.entries(span()).filter(([name]) => name !== field));

test('a trace id must be 16 bytes, not all zero, and there', () => {
  for (const length of [0, 8, 15, 17]) refusesSpan(with_({ traceId: Buffer.alloc(length, 1) }), 'trace_id');
  refusesSpan(with_({ traceId: Buffer.alloc(16) }), 'trace_id');
  refusesSpan(without('traceId'), 'trace_id');
});

test('a trace id given twice is refused, because readers differ in which one counts', () => {
  const one = encode('Span', span());
  const twice = Buffer.concat([one, encode('Span', { traceId: Buffer.alloc(16, 2) })]);
  const scope = Buffer.concat([Buffer.from([0x12, twice.length]), twice]);
  const resource = Buffer.concat([Buffer.from([0x12, scope.length]), scope]);
  const verdict = check('traces', Buffer.concat([Buffer.from([0x0a, resource.length]), resource]));
  assert.deepEqual([...verdict.reasons], [['trace_id', 1]]);
});

test('a span id must be 8 bytes, not all zero, and there', () => {
  for (const length of [0, 7, 9, 16]) refusesSpan(with_({ spanId: Buffer.alloc(length, 1) }), 'span_id');
  refusesSpan(with_({ spanId: Buffer.alloc(8) }), 'span_id');
  refusesSpan(without('spanId'), 'span_id');
});

test('a parent id is 8 bytes or absent; eight zeros are absent', () => {
  for (const length of [1, 7, 9, 16]) refusesSpan(with_({ parentSpanId: Buffer.alloc(length, 1) }), 'parent_id');
  for (const parentSpanId of [Buffer.alloc(0), Buffer.alloc(8), Buffer.alloc(8, 1)]) takesSpan(with_({ parentSpanId }));
});

test('the ids of a link have their lengths', () => {
  const link = { traceId: Buffer.alloc(16, 1), spanId: Buffer.alloc(8, 1) };
  takesSpan(with_({ links: [link] }));
  for (const bad of [
    { ...link, traceId: Buffer.alloc(15) },
    { ...link, spanId: Buffer.alloc(0) },
    { traceId: link.traceId },
    { spanId: link.spanId },
    {},
  ]) {
    refusesSpan(with_({ links: [link, bad] }), 'link_id');
  }
});

test('times from 2000 to a day ahead are taken, year 1, 1999 and 2500 are not', () => {
  const at = (start: bigint, end: bigint): object => with_({ startTimeUnixNano: start.toString(), endTimeUnixNano: end.toString() });
  takesSpan(at(YEAR_2000_NS, LATEST_NS));
  takesSpan(at(BASE_NS, BASE_NS - 1n));
  for (const bad of [0n, 1n, YEAR_2000_NS - 1_000n, LATEST_NS + 1_000n, 16_725_225_600_000_000_000n, 2n ** 64n - 1n]) {
    refusesSpan(at(bad, BASE_NS), 'timestamp');
    refusesSpan(at(BASE_NS, bad), 'timestamp');
    if (bad !== 0n) refusesSpan(with_({ events: [{ timeUnixNano: bad.toString() }] }), 'timestamp');
  }
  takesSpan(with_({ events: [{ timeUnixNano: '0' }, {}] }));
  refusesSpan(without('startTimeUnixNano'), 'timestamp');
  refusesSpan(without('endTimeUnixNano'), 'timestamp');
});

test('every string of a span is UTF-8, wherever it stands', () => {
  const value = (text: AttributeValue): AttributeValue => ({ deep: [text] });
  const bytes = around(
    with_(
      { traceState: 'word-state', status: { message: 'word-status' } },
      {
        name: 'word-name',
        attributes: { 'word-key': 'word-value', list: value('word-nested'), a: { 'word-nested-key': 1 } },
        events: [{ name: 'word-event', attributes: { 'word-event-key': value('word-event-value') } }],
        links: [{ trace: '1', span: '1', traceState: 'word-link-state', attributes: { k: 'word-link-value' } }],
      },
    ),
  );
  const words = [
    'state',
    'status',
    'name',
    'key',
    'value',
    'nested',
    'nested-key',
    'event',
    'event-key',
    'event-value',
    'link-state',
    'link-value',
  ];
  for (const word of words) assert.deepEqual([...check('traces', spoil(bytes, `word-${word}`)).reasons], [['utf8', 1]], word);
  assert.equal(check('traces', spoil(bytes, 'word-value', Buffer.from('héllo'))).rejected, 0);
  for (const bad of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80]]) {
    assert.equal(check('traces', spoil(bytes, 'word-value', Buffer.from(bad))).rejected, 1, String(bad));
  }
});

test('bytes values need not be UTF-8', () => takesSpan(span({ attributes: { raw: Buffer.from([0xff, 0xfe]) } })));

test('the short cut for plain attributes judges as the long way does', () => {
  const verdictOf = (key: Buffer, text: Buffer, padded: boolean): number => {
    const value = Buffer.concat([Buffer.from([0x0a, text.length]), text]);
    // A padded length keeps the short cut out and says the same.
    const length = padded ? Buffer.from([value.length | 0x80, 0]) : Buffer.from([value.length]);
    const pair = Buffer.concat([Buffer.from([0x0a, key.length]), key, Buffer.from([0x12]), length, value]);
    const item = Buffer.concat([encode('Span', span()), Buffer.from([0x4a, pair.length]), pair]);
    const scope = Buffer.concat([Buffer.from([0x12, item.length | 0x80, item.length >> 7]), item]);
    const resource = Buffer.concat([Buffer.from([0x12, scope.length | 0x80, scope.length >> 7]), scope]);
    return check('traces', Buffer.concat([Buffer.from([0x0a, resource.length | 0x80, resource.length >> 7]), resource])).rejected;
  };
  const short = fc.oneof(
    fc.string({ maxLength: 8, unit: 'grapheme' }).map((s) => Buffer.from(s).subarray(0, 40)),
    fc.uint8Array({ maxLength: 6 }).map((b) => Buffer.from(b)),
  );
  fc.assert(fc.property(short, short, (key, text) => assert.equal(verdictOf(key, text, false), verdictOf(key, text, true))));
});

test('the limit of attributes counts those of events and links and the entries of nested kvlists', () => {
  const many = (n: number): Record<string, AttributeValue> => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, i]));
  takesSpan(span({ attributes: many(1024) }));
  refusesSpan(span({ attributes: many(1025) }), 'attributes');
  takesSpan(span({ attributes: { a: many(1023) } }));
  refusesSpan(span({ attributes: { a: many(1024) } }), 'attributes');
  refusesSpan(span({ attributes: many(1000), events: [{ attributes: many(12) }, { attributes: many(13) }] }), 'attributes');
  refusesSpan(span({ attributes: many(1000), links: [{ trace: '1', span: '1', attributes: many(25) }] }), 'attributes');
  assert.match(check('traces', around(span({ attributes: many(1025) }))).message, /more than 1024 attributes/);
});

test('events and links have a limit of their own', () => {
  const verdict = check('traces', around(span({ events: [{}, {}, {}] })), { ...defaultValidateSettings, eventsMax: 2 });
  assert.deepEqual([...verdict.reasons], [['events', 1]]);
});

/** A field by hand, for what protobufjs will not write. */
function frame(body: Buffer, tag: number): Buffer {
  const length: number[] = [];
  for (let rest = body.length; ; rest >>>= 7) {
    length.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
    if (rest <= 0x7f) break;
  }
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

/** A good span with more fields behind. */
const request = (extra: Buffer): Buffer => frame(frame(frame(Buffer.concat([encode('Span', span()), extra]), 0x12), 0x12), 0x0a);

/** An attribute whose value is an array of an array of … */
function deepAttribute(levels: number): Buffer {
  let value = encode('AnyValue', anyValue('x'));
  for (let level = 1; level < levels; level++) value = frame(frame(value, 0x0a), 0x2a);
  return frame(frame(value, 0x12), 0x4a);
}

test('values nest 32 levels and not 33 or 100', () => {
  takesSpan(with_({ attributes: [{ key: 'k', value: deep(32) }] }));
  refusesSpan(with_({ attributes: [{ key: 'k', value: deep(33) }] }), 'nesting');
  assert.equal(check('traces', request(deepAttribute(32))).rejected, 0);
  for (const levels of [33, 100]) assert.deepEqual([...check('traces', request(deepAttribute(levels))).reasons], [['nesting', 1]]);
});

test('a million attributes and a value nested ten thousand deep are answered quickly', () => {
  const started = process.cpuUsage().user;
  const wide = request(Buffer.alloc(2_000_000, Buffer.from([0x4a, 0x00])));
  assert.deepEqual([...check('traces', wide).reasons], [['attributes', 1]]);
  assert.deepEqual([...check('traces', request(deepAttribute(10_000))).reasons], [['nesting', 1]]);
  assert.ok(process.cpuUsage().user - started < 1_500_000);
});

test('several faults: each is counted with its reason, the most frequent first, and an item once', () => {
  const bad = span({ start_ns: 5n });
  const spans = [...Array.from({ length: 7 }, () => span()), bad, with_({ traceId: Buffer.alloc(3) }, { start_ns: 5n }), bad];
  const verdict = check('traces', encode('TracesData', { resourceSpans: [{ scopeSpans: [{ spans }] }] }));
  assert.equal(
    verdict.message,
    '3 of 10 spans refused: 2 timestamp (start, end or event time outside 2000-01-01 … now + 1 day), 1 trace_id (not 16 bytes, all zero, or given twice)',
  );
  assert.equal(verdict.accepted, 7);
});
