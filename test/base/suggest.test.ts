import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest } from '../../pipelines/base/suggest.ts';

const known = ['latency', 'status_code', 'and', 'or', 'IsMatch'];

test('nearest() finds what was meant: a letter wrong, missing, too many, two swapped, another case', () => {
  for (const word of ['latancy', 'latncy', 'latenccy', 'latecny', 'LATENCY']) assert.equal(nearest(word, known), 'latency', word);
  assert.equal(nearest('status-code', known), 'status_code');
  assert.equal(nearest('ismatch', new Set(known).keys()), 'IsMatch');
});

test('nearest() takes the nearest, a swap for one mistake, and of two as near the first', () => {
  assert.equal(nearest('form', ['farms', 'from', 'farm']), 'from');
  assert.equal(nearest('b', ['a', 'c']), 'a');
});

test('nearest() does not guess where nothing is near', () => {
  assert.equal(nearest('throughput', known), undefined);
  assert.equal(nearest('latency', []), undefined);
  // Two mistakes at the most in short words, a third of the letters in long ones.
  assert.equal(nearest('abcd', ['wxyd']), undefined);
  assert.equal(nearest('abcdefghi', ['xyzdefghi']), 'xyzdefghi');
  assert.equal(nearest('abcdefghi', ['wxyzefghi']), undefined);
});
