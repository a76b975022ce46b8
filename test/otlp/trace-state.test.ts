import assert from 'node:assert/strict';
import test from 'node:test';
import * as fc from 'fast-check';
import { SpanView } from '../../pipelines/otlp/span.ts';
import {
  ThresholdView,
  adjustedCount,
  atLeast,
  keepsNothing,
  probabilityOf,
  randomnessOf,
  readRandomness,
  readThreshold,
  thresholdFromProbability,
  writeTraceStateField,
} from '../../pipelines/otlp/trace-state.ts';
import { Writer } from '../../pipelines/wire/writer.ts';
import { span } from '../kit/otlp.ts';
import { decode, encode } from '../kit/proto.ts';

const text = (view: ThresholdView): string => view.hi.toString(16).padStart(6, '0') + view.lo.toString(16).padStart(8, '0');

function threshold(state: string): string | undefined {
  const bytes = Buffer.from(`x${state}y`);
  const into = new ThresholdView();
  return readThreshold(bytes, 1, bytes.length - 1, into) ? text(into) : undefined;
}

function randomness(state: string): string | undefined {
  const bytes = Buffer.from(state);
  const into = new ThresholdView();
  return readRandomness(bytes, 0, bytes.length, into) ? text(into) : undefined;
}

function written(state: string, to: string | undefined, rv?: string): string | undefined {
  const bytes = Buffer.from(state);
  const writer = new Writer();
  const hex = (digits: string): ThresholdView =>
    new ThresholdView().set(Number.parseInt(digits.padEnd(14, '0').slice(0, 6), 16), Number.parseInt(digits.padEnd(14, '0').slice(6), 16));
  writeTraceStateField(writer, bytes, 0, bytes.length, to === undefined ? undefined : hex(to), rv === undefined ? undefined : hex(rv));
  return decode('Span', writer.view()).traceState as string | undefined;
}

void test('readThreshold() pads the digits on the right to 56 bits', () => {
  assert.equal(threshold('ot=th:c'), 'c0000000000000');
  assert.equal(threshold('ot=th:0'), '00000000000000');
  assert.equal(threshold('vendor=th:1, ot=rv:12345678901234;th:fe8;x:y ,other=2'), 'fe800000000000');
  assert.equal(threshold('ot=th:123456789abcde'), '123456789abcde');
  assert.equal(threshold('ot=th:FE'), 'fe000000000000');
});

void test('readThreshold() finds nothing in an absent or malformed th', () => {
  for (const state of [
    '',
    'ot=',
    'ot=th:',
    'ot=th:xyz',
    'ot=th:123456789abcdef',
    'got=th:c',
    'ot=ath:c',
    'ot',
    ',,,',
    'ot=rv:12345678901234',
  ]) {
    assert.equal(threshold(state), undefined, state);
  }
});

void test('readRandomness() takes exactly 14 digits', () => {
  assert.equal(randomness('ot=th:8;rv:9b8233f7e3a151'), '9b8233f7e3a151');
  assert.equal(randomness('ot=rv:9b8233f7e3a15'), undefined);
  assert.equal(randomness('ot=rv:9b8233f7e3a1512'), undefined);
});

void test('randomnessOf() prefers rv, else takes the last 7 bytes of the trace id', () => {
  const into = new ThresholdView();
  const read = (spec: Parameters<typeof span>[0]): string | undefined => {
    const bytes = encode('Span', span(spec));
    return randomnessOf(new SpanView().parse(bytes, 0, bytes.length), into) ? text(into) : undefined;
  };
  assert.equal(read({ trace: '000102030405060708090a0b0c0d0e0f' }), '090a0b0c0d0e0f');
  assert.equal(read({ trace: 'ffffffffffffffffffffffffffffffff' }), 'ffffffffffffff');
  assert.equal(read({ trace: '1', traceState: 'ot=rv:9b8233f7e3a151' }), '9b8233f7e3a151');
  assert.equal(read({ trace: '1', traceState: 'ot=rv:bad' }), '00000000000001');
  assert.equal(read({ trace: '0' }), undefined);
});

void test('thresholdFromProbability() gives the thresholds of the specification', () => {
  // Exact: T = (1 − p) 2^56. Rounded: worked by hand from the digits of 1 − p.
  const cases: [number, number, string][] = [
    [1, 4, '00000000000000'],
    [0.5, 4, '80000000000000'],
    [0.25, 4, 'c0000000000000'],
    [1 / 3, 4, 'aaab0000000000'],
    [1 / 3, 1, 'b0000000000000'],
    [2 / 3, 4, '55550000000000'],
    [0.1, 4, 'e6660000000000'],
    [0.01, 4, 'fd70a000000000'], // one leading f does not count
    [0.001, 4, 'ffbe7700000000'], // two leading f
    [0.99, 4, '028f6000000000'],
    [2 ** -56, 14, 'ffffffffffffff'],
    [1 - 2 ** -53, 14, '00000000000008'],
  ];
  for (const [p, precision, want] of cases) assert.equal(text(thresholdFromProbability(p, precision)), want, `p ${p}`);
  assert.ok(keepsNothing(thresholdFromProbability(0)));
  assert.ok(keepsNothing(thresholdFromProbability(Number.NaN)));
  assert.equal(adjustedCount(thresholdFromProbability(0)), Infinity);
  assert.equal(adjustedCount(thresholdFromProbability(0.25)), 4);
});

void test('thresholdFromProbability() equals the rule worked in BigInt', () => {
  fc.assert(
    fc.property(fc.double({ min: 2 ** -56, max: 1, noNaN: true, maxExcluded: true }), fc.integer({ min: 1, max: 14 }), (p, precision) => {
      const scaled = BigInt(Math.round(p * 2 ** 56));
      let t = (1n << 56n) - scaled;
      const extra = (value: bigint): number => Math.floor((56 - value.toString(2).length) / 4);
      const shift = BigInt(4 * (14 - Math.min(14, precision + Math.max(extra(scaled), t === 0n ? 13 : extra(t)))));
      if (shift > 0n) t = ((t + (1n << (shift - 1n))) >> shift) << shift;
      const got = thresholdFromProbability(p, precision);
      assert.equal((BigInt(got.hi) << 32n) | BigInt(got.lo), t);
      assert.ok(Math.abs(probabilityOf(got) - p) <= p * 0.1 || precision < 2 || p < 2 ** -40);
    }),
  );
});

void test('writeTraceStateField() moves ot to the front and keeps every other entry', () => {
  assert.equal(written('', '8'), 'ot=th:8');
  assert.equal(written('a=1,b=2', 'c'), 'ot=th:c,a=1,b=2');
  assert.equal(written('a=1 , ot=zz:1;rv:9b8233f7e3a151;th:4;yy:2 ,\tb=2', 'c'), 'ot=th:c;rv:9b8233f7e3a151;zz:1;yy:2,a=1,b=2');
  assert.equal(written('ot=th:zz', '8'), 'ot=th:8');
  assert.equal(written('a=1', '0'), 'ot=th:0,a=1');
  assert.equal(written('', '8', '00000000000001'), 'ot=th:8;rv:00000000000001');
});

void test('writeTraceStateField() never lowers a threshold', () => {
  assert.equal(written('ot=th:c', '8'), 'ot=th:c');
  assert.equal(written('ot=th:8', 'c'), 'ot=th:c');
});

void test('writeTraceStateField() removes th when handed none, and writes nothing when nothing is left', () => {
  assert.equal(written('ot=th:c', undefined), undefined);
  assert.equal(written('a=1,ot=th:c;k:v', undefined), 'ot=k:v,a=1');
});

void test('writeTraceStateField() keeps within 256 characters and 32 members', () => {
  const long = Array.from({ length: 40 }, (_, i) => `key${i}:vvvvvv`).join(';');
  const value = written(`ot=${long}`, '123456789abcde')!.slice(3);
  assert.ok(value.length <= 256);
  assert.match(value, /^th:123456789abcde;key0:vvvvvv;key1:/);
  const many = Array.from({ length: 32 }, (_, i) => `v${i}=1`).join(',');
  const members = written(many, '8')!.split(',');
  assert.equal(members.length, 32);
  assert.equal(members.at(-1), 'v30=1');
});

void test('written thresholds read back alike', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xff_ffff }), fc.integer({ min: 0, max: 0xffff_ffff }), (hi, lo) => {
      const value = new ThresholdView().set(hi, lo);
      const state = written('v=1', text(value))!;
      assert.equal(threshold(state), text(value));
      assert.ok(atLeast(value, value));
    }),
  );
});
