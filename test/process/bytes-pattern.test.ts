import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { BytesPattern } from '../../pipelines/process/bytes-pattern.ts';
import { PatternError } from '../../pipelines/process/pattern-parser.ts';

function matches(pattern: string, text: string): boolean {
  const bytes = Buffer.from(`<${text}>`);
  return new BytesPattern(pattern).matches(bytes, 1, bytes.length - 1);
}

/** Where RE2 and JavaScript differ, RE2 is right. */
const table: readonly (readonly [string, string, boolean])[] = [
  ['', '', true],
  ['^$', '', true],
  ['^$', 'a', false],
  ['ell', 'hello', true],
  ['^ell', 'hello', false],
  ['^.$', 'é', true],
  ['^.$', '😀', true],
  ['^[^a]$', '😀', true],
  ['a.b', 'a\nb', false],
  ['(?s)a.b', 'a\nb', true],
  ['a.b', 'a\rb', true],
  ['(?m)^b$', 'a\nb\nc', true],
  ['^b$', 'a\nb\nc', false],
  ['\\Ab\\z', 'b', true],
  ['(?i)straße', 'STRAßE', true],
  ['(?i:ÄB)c', 'äbc', true],
  ['(?i:ÄB)c', 'äbC', false],
  ['a(?i)b', 'aB', true],
  ['(?P<year>\\d{4})-(?<month>\\d\\d)', '2026-11', true],
  ['[[:alpha:]]+[[:^digit:]]', 'ab-', true],
  ['^[]a]+$', ']a', true],
  ['a{,2}', 'a{,2}', true],
  ['^a{2,3}$', 'aaaa', false],
  ['^(ab|cd)+?$', 'abcd', true],
  ['\\Qa.b\\E', 'a.b', true],
  ['\\Qa.b\\E', 'axb', false],
  ['\\bfoo\\b', 'a foo b', true],
  ['\\bfoo\\b', 'afoo', false],
  ['\\s', '\u00a0', false],
  ['\\x{1F600}', '😀', true],
  ['^\\p{Greek}+$', 'αβγ', true],
  ['^\\PL$', 'a', false],
  ['\\/api\\/v[0-9]+', '/api/v12', true],
];

for (const [pattern, text, outcome] of table) {
  test(`${JSON.stringify(pattern)} ${outcome ? 'matches' : 'does not match'} ${JSON.stringify(text)}`, () => {
    assert.equal(matches(pattern, text), outcome);
  });
}

test('patterns that RE2 has not, or that are none, are refused with a reason', () => {
  for (const pattern of [
    '(',
    ')',
    '[a',
    'a**',
    'a*+',
    '*a',
    '(?=a)',
    '(?<!a)',
    '\\1',
    '\\k',
    'a{1001}',
    'a{3,2}',
    '[z-a]',
    '[[:foo:]]',
    '\\p{Foo}',
    'a\\',
    '(?x)a',
  ]) {
    assert.throws(() => new BytesPattern(pattern), PatternError, pattern);
  }
  assert.throws(() => new BytesPattern('((a{1000}){1000}){1000}'), /too large/);
  assert.throws(() => new BytesPattern('('.repeat(10_000)), PatternError);
});

test('patterns that make a backtracking engine run for ever run in linear time', () => {
  const text = Buffer.from(`${'a'.repeat(200_000)}!`);
  for (const pattern of ['(a+)+$', '(a|a)*b', '(.*)*=x', '(a|b)*a(a|b){12}$']) {
    assert.equal(new BytesPattern(pattern).matches(text, 0, text.length), false, pattern);
  }
});

test('an automaton that outgrows its limit starts anew and stays right', () => {
  const pattern = new BytesPattern('(a|b)*a(a|b){12}$');
  let seed = 1;
  for (let round = 0; round < 40; round++) {
    const text = Array.from({ length: 200 }, () => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return seed & 0x10000 ? 'a' : 'b';
    }).join('');
    const bytes = Buffer.from(text);
    assert.equal(pattern.matches(bytes, 0, bytes.length), text.at(-13) === 'a');
  }
  assert.ok(pattern.resets > 0);
});

test('patterns equal an independent engine where both speak the same language', () => {
  const { pattern } = fc.letrec<{ pattern: string }>((tie) => ({
    pattern: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom('a', 'b', 'é', '😀', '.', '[^a]', '[a-cé-ø]', '\\w', '\\d', '^', '$', '\\b'),
      fc.tuple(tie('pattern'), tie('pattern')).map(([left, right]) => left + right),
      fc.tuple(tie('pattern'), tie('pattern')).map(([left, right]) => `(?:${left}|${right})`),
      fc
        .tuple(tie('pattern'), fc.constantFrom('*', '+', '?', '{1,3}', '{2}', '*?'))
        .map(([inner, quantifier]) => `(?:${inner})${quantifier}`),
    ),
  }));
  const text = fc
    .array(fc.constantFrom('a', 'b', 'c', 'é', 'ø', '😀', ' ', '\n', '1', 'A'), { maxLength: 8 })
    .map((chars) => chars.join(''));
  fc.assert(
    fc.property(pattern, text, fc.constantFrom('', 'i', 'm', 's'), (source, value, flags) => {
      const want = new RegExp(source, `${flags}u`).test(value);
      assert.equal(matches((flags === '' ? '' : `(?${flags})`) + source, value), want);
    }),
    { numRuns: 1000 },
  );
});
