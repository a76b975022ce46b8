import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Malformed } from '../../pipelines/base/errors.ts';
import type { EncodedBlock } from '../../pipelines/encode/block.ts';
import { BLOCKS_MAX, DAY_MAX, dayOf } from '../../pipelines/encode/days.ts';
import { createEncoder, type BlockEncoder } from '../../pipelines/encode/encoder.ts';
import { keyValues, span, traces } from '../kit/otlp.ts';
import { nativeRows } from '../kit/native.ts';
import { encode } from '../kit/proto.ts';
import { storedRows } from '../kit/stored-rows.ts';

const DAY_NS = 86_400_000_000_000n;
const dropped = (encoder: BlockEncoder): object => Object.fromEntries(encoder.counters.dropped);

function finish(encoder: BlockEncoder): EncodedBlock[] {
  const blocks: EncodedBlock[] = [];
  encoder.finish((block) => blocks.push(block));
  assert.equal(encoder.counters.imbalance(), 0);
  assert.equal(encoder.rowCounters.imbalance(), 0);
  assert.equal(encoder.counters.held, 0);
  return blocks;
}

/** TracesData of spans given as bytes, so that they may be broken. */
function raw(spans: Buffer[], resource = encode('Resource', { attributes: keyValues({ 'service.name': 'shop' }) })): Buffer {
  const field = (number: number, bytes: Buffer): Buffer => {
    const size = [];
    for (let rest = bytes.length; ; rest >>>= 7) {
      size.push(rest > 127 ? (rest & 127) | 128 : rest);
      if (rest < 128) break;
    }
    return Buffer.concat([Buffer.from([number * 8 + 2, ...size]), bytes]);
  };
  return field(1, Buffer.concat([field(1, resource), field(2, Buffer.concat(spans.map((s) => field(2, s))))]));
}

test('an encoder is deterministic, also when it is used again', () => {
  const inputs = ['trace-01.bin', 'trace-02.bin', 'trace-05.bin'].map((name) =>
    readFileSync(new URL(`../fixtures/envoy/${name}`, import.meta.url)),
  );
  const again = createEncoder('traces');
  again.add(traces([{ name: 'another', attributes: { other: 'x' }, events: [{ name: 'e' }] }]));
  finish(again);
  const [first, second] = [createEncoder('traces'), again].map((encoder) => {
    for (const bytes of inputs) encoder.add(bytes);
    return finish(encoder);
  });
  assert.ok(first!.length > 0);
  assert.deepEqual(second, first);
});

test('an encoder with nothing in it hands out nothing', () => {
  for (const signal of ['traces', 'logs', 'metrics'] as const) {
    const encoder = createEncoder(signal);
    assert.equal(encoder.add(Buffer.alloc(0)), 0);
    assert.equal(encoder.bytes, 0);
    assert.deepEqual(finish(encoder), []);
  }
});

test('a block keeps to one UTC day, days from the oldest', () => {
  const encoder = createEncoder('traces');
  const day = 20_000n;
  for (const [d, ns] of [
    [1n, 0n],
    [0n, DAY_NS - 1n],
    [2n, 5n],
    [0n, 0n],
  ] as const)
    encoder.add(traces([{ start_ns: (day + d) * DAY_NS + ns, name: `${d} ${ns}` }]));
  const seen = finish(encoder).map((block) => [block.day, nativeRows(block.native).map((row) => row['SpanName'])]);
  assert.deepEqual(seen, [
    [20_000, [`0 ${DAY_NS - 1n}`, '0 0']],
    [20_001, ['1 0']],
    [20_002, ['2 5']],
  ]);
});

test('dayOf() is exact at every midnight', () => {
  for (let day = 0n; day < 213_503n; day += 1n) {
    for (const ns of [day * DAY_NS - 1n, day * DAY_NS]) {
      if (ns < 0n) continue;
      const got = dayOf(Number(ns & 0xffff_ffffn), Number(ns >> 32n));
      if (got !== Number(ns / DAY_NS)) assert.fail(`${ns} is in day ${ns / DAY_NS}, not ${got}`);
    }
  }
});

test('spans after the last day of DateTime are dropped as timestamp; other times beyond 2262 are held there', () => {
  const encoder = createEncoder('traces');
  const last = BigInt(DAY_MAX + 1) * DAY_NS - 1n;
  assert.equal(encoder.add(traces([{ start_ns: last + 1n }, { start_ns: 2n ** 64n - 1n, duration_ns: 0n }])), 0);
  encoder.add(
    traces([
      { start_ns: last, duration_ns: 0n, events: [{ time_ns: 2n ** 64n - 1n }] },
      { start_ns: 0n, duration_ns: 2n ** 64n - 1n },
    ]),
  );
  assert.deepEqual(dropped(encoder), { timestamp: 2 });
  const blocks = finish(encoder);
  assert.deepEqual(
    blocks.map((block) => block.day),
    [0, DAY_MAX],
  );
  assert.equal(nativeRows(blocks[0]!.native)[0]!['Duration'], (2n ** 64n - 1n).toString());
  assert.deepEqual(nativeRows(blocks[1]!.native)[0]!['Events.Timestamp'], [(2n ** 63n - 1n).toString()]);
});

test('days beyond the limit of blocks are dropped as days_full, and there is room again after finish', () => {
  const encoder = createEncoder('logs');
  const log = (day: number): Buffer =>
    encode('LogsData', { resourceLogs: [{ scopeLogs: [{ logRecords: [{ timeUnixNano: (BigInt(day) * DAY_NS).toString() }] }] }] });
  for (let day = 0; day <= BLOCKS_MAX + 1; day++) encoder.add(log(day));
  assert.equal(encoder.add(log(0)), 1);
  assert.deepEqual(dropped(encoder), { days_full: 2 });
  assert.equal(finish(encoder).length, BLOCKS_MAX);
  assert.equal(encoder.add(log(BLOCKS_MAX + 1)), 1);
  assert.equal(finish(encoder).length, 1);
});

test('a malformed span is dropped and leaves no trace in the rows around it', () => {
  const rich = span({
    name: 'good',
    attributes: { a: 'x', b: 1, z: [1] },
    events: [{ name: 'e', attributes: { k: 'v' } }],
    links: [{ trace: '2', span: '3' }],
  });
  const good = encode('Span', rich);
  const badLink = Buffer.concat([good, Buffer.from([0x6a, 0x03, 0x0a, 0x7f, 0x00])]);
  const badValue = Buffer.concat([good, Buffer.from([0x4a, 0x07, 0x0a, 0x01, 0x71, 0x12, 0x02, 0x0a, 0x7f])]);
  const badTag = Buffer.concat([good, Buffer.from([0x07])]);
  for (const bad of [badLink, badValue, badTag]) {
    for (const spans of [[bad, good], [good, bad], [good, bad, good, bad, bad, good], [bad]]) {
      const encoder = createEncoder('traces');
      const kept = spans.filter((s) => s === good);
      assert.equal(encoder.add(raw(spans)), kept.length);
      assert.deepEqual(dropped(encoder), spans.length > kept.length ? { malformed: spans.length - kept.length } : {});
      const rows = finish(encoder).flatMap((block) => nativeRows(block.native));
      assert.deepEqual(
        rows,
        storedRows('traces', raw(kept)).map((e) => e.row),
      );
    }
  }
});

test('a malformed resource takes its own spans along, and no others', () => {
  const good = encode('Span', span({ name: 'good' }));
  const badResource = Buffer.from([0x0a, 0x7f, 0x01]);
  const badService = Buffer.concat([
    Buffer.from([0x0a, 0x12, 0x0a, 0x0c]),
    Buffer.from('service.name'),
    Buffer.from([0x12, 0x02, 0x0a, 0x7f]),
  ]);
  for (const bad of [badResource, badService]) {
    const encoder = createEncoder('traces');
    assert.equal(encoder.add(Buffer.concat([raw([good, good], bad), raw([good])])), 1);
    assert.deepEqual(dropped(encoder), { malformed: 2 });
    assert.equal(finish(encoder)[0]!.rows, 1);
  }
});

test('a message whose frame is broken is refused whole', () => {
  const encoder = createEncoder('traces');
  const message = traces([{ name: 'a' }, { name: 'b' }]);
  assert.throws(() => encoder.add(message.subarray(0, message.length - 1)), Malformed);
  assert.throws(() => encoder.add(Buffer.concat([message, Buffer.from([0x0a, 0x05])])), Malformed);
  assert.equal(encoder.rows, 0);
  assert.deepEqual(finish(encoder), []);
});

test('bytes handed in are not kept: changing them later changes no row', () => {
  const message = traces([{ name: 'before', attributes: { k: 'value' } }]);
  const expected = storedRows('traces', message).map((e) => e.row);
  const encoder = createEncoder('traces');
  encoder.add(message);
  message.fill(0xff);
  assert.deepEqual(nativeRows(finish(encoder)[0]!.native), expected);
});

test('a thousand attributes come out sorted by bytes, equal keys in their order', () => {
  const attributes = Array.from({ length: 1000 }, (_, i) => ({ key: `k${(i * 7919) % 500}`, value: { stringValue: `${i}` } }));
  const message = encode('TracesData', { resourceSpans: [{ scopeSpans: [{ spans: [{ attributes }] }] }] });
  const encoder = createEncoder('traces');
  encoder.add(message);
  const rows = finish(encoder).flatMap((block) => nativeRows(block.native));
  assert.deepEqual(
    rows,
    storedRows('traces', message).map((e) => e.row),
  );
});

// Around 65,536 keys: test/system/encode-golden.test.ts.
for (const keys of [254, 255, 256, 257]) {
  test(`a dictionary of ${keys} names and the empty one is read back`, () => {
    const encoder = createEncoder('traces');
    const names = Array.from({ length: keys }, (_, i) => `n${i}`);
    encoder.add(encode('TracesData', { resourceSpans: [{ scopeSpans: [{ spans: names.map((name) => ({ name })) }] }] }));
    const [block] = finish(encoder);
    assert.deepEqual(
      nativeRows(block!.native).map((row) => row['SpanName']),
      names,
    );
  });
}

test('metrics: what has no data or no points is dropped, points are counted apart', () => {
  const encoder = createEncoder('metrics');
  const late = (BigInt(DAY_MAX + 1) * DAY_NS).toString();
  const metrics = [
    { name: 'nothing' },
    { name: 'empty', gauge: {} },
    { name: 'late', gauge: { dataPoints: [{ timeUnixNano: late }] } },
    { name: 'half', sum: { dataPoints: [{ timeUnixNano: late }, { timeUnixNano: '1' }] } },
  ];
  assert.equal(encoder.add(encode('MetricsData', { resourceMetrics: [{ scopeMetrics: [{ metrics }] }] })), 1);
  assert.equal(encoder.counters.held, 1);
  assert.deepEqual(dropped(encoder), { no_data: 1, no_points: 1, timestamp: 1 });
  assert.deepEqual(Object.fromEntries(encoder.rowCounters.dropped), { timestamp: 2 });
  assert.equal(encoder.rowCounters.in, 3);
  finish(encoder);
  assert.equal(encoder.counters.out, 1);
  assert.equal(encoder.rowCounters.out, 1);
});
