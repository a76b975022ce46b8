import assert from 'node:assert/strict';
import { defaultValidateSettings } from '../../pipelines/otlp/validate-item.ts';
import { Validator, type Verdict } from '../../pipelines/otlp/validate.ts';
import type { Signal } from '../../pipelines/otlp/walk.ts';
import { BASE_NS, anyValue, keyValues, span, type SpanSpec } from '../kit/otlp.ts';
import { encode } from '../kit/proto.ts';

export const NOW_MS = Number(BASE_NS / 1_000_000n) + 5_000;

export function check(signal: Signal, bytes: Buffer, settings = defaultValidateSettings): Verdict {
  return new Validator(signal, settings).check(bytes, NOW_MS);
}

/** TracesData of raw Span objects, between two good spans. */
export function around(fault: object): Buffer {
  const spans = [span({ name: 'good 1' }), fault, span({ name: 'good 2' })];
  return encode('TracesData', {
    resourceSpans: [{ resource: { attributes: keyValues({ a: 1 }) }, scopeSpans: [{ scope: { name: 's' }, spans }], schemaUrl: 'u' }],
  });
}

export const with_ = (fields: object, spec: SpanSpec = {}): object => ({ ...span(spec), ...fields });

/** encode() would mend what is not UTF-8, so the bytes are put in afterwards. */
export function spoil(bytes: Buffer, word: string, by = Buffer.from([0xc3, 0x28])): Buffer {
  const at = bytes.indexOf(word);
  assert.notEqual(at, -1, word);
  const spoilt = Buffer.from(bytes);
  by.copy(spoilt, at);
  return spoilt;
}

/** A value of this many levels, lists and maps in turn. */
export const deep = (levels: number): object => {
  let value: object = anyValue('x');
  for (let level = 1; level < levels; level++)
    value = level % 2 === 0 ? { arrayValue: { values: [value] } } : { kvlistValue: { values: [{ key: 'k', value }] } };
  return value;
};
