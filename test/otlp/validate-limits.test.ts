import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Malformed, Reject } from '../../pipelines/base/errors.ts';
import { defaultValidateSettings } from '../../pipelines/otlp/validate-item.ts';
import { Validator } from '../../pipelines/otlp/validate.ts';
import { BASE_NS } from '../kit/otlp.ts';

const NOW_MS = Number(BASE_NS / 1_000_000n);

/** A LEN field by hand: what protobufjs would never write can stand in it. */
function len(field: number, payload: Buffer): Buffer {
  const size: number[] = [];
  let rest = payload.length;
  for (; rest >= 0x80; rest >>>= 7) size.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...size, rest]), payload]);
}

function histogram(point: Buffer): Buffer {
  const time = Buffer.alloc(9);
  time[0] = (3 << 3) | 1;
  time.writeBigUInt64LE(BASE_NS, 1);
  const metric = Buffer.concat([len(1, Buffer.from('m')), len(9, len(1, Buffer.concat([time, point])))]);
  return len(1, len(2, len(2, metric)));
}

test('validate: packed numbers that end halfway refuse the request, whole ones do not', () => {
  const validator = new Validator('metrics', defaultValidateSettings);
  for (const field of [6, 7]) {
    assert.equal(validator.check(histogram(len(field, Buffer.alloc(16))), NOW_MS).accepted, 1);
    assert.throws(() => validator.check(histogram(len(field, Buffer.alloc(7))), NOW_MS), Malformed);
  }
});

test('validate: a request of millions of empty spans is refused after the first half million', () => {
  const spans = Buffer.alloc(2 * 3_000_000);
  for (let at = 0; at < spans.length; at += 2) spans[at] = 0x12;
  const bytes = len(1, len(2, spans));
  assert.throws(
    () => new Validator('traces', defaultValidateSettings).check(bytes, NOW_MS),
    (error) => error instanceof Reject && error.reason === 'items',
  );
});
