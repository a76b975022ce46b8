import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSources } from './source.ts';

// facts/style.md: what is banned, and what to write instead.
const banned: readonly (readonly [RegExp, string])[] = [
  [/^export default/m, 'a named export'],
  [/^\s*(?:export )?(?:const )?enum /m, 'a union of literals or constants'],
  [/^\s*(?:export )?namespace /m, 'a module'],
  [/: any\b|<any>|as any\b/, 'unknown, or the type'],
  [/console\.(?:log|error|warn)\(/, 'the log, or process.stdout in a command'],
  [/\bclass \w*(?:Manager|Helper|Utils?)\b/, 'a name that says what it does'],
];
/** Banned in comments too: that is where these stand. */
const bannedAnywhere: readonly (readonly [RegExp, string])[] = [
  [/@ts-(?:ignore|nocheck|expect-error)/, 'a type that is right'],
  [/\b(?:TODO|FIXME|XXX)\b/, 'an issue'],
];
const bannedFiles = /(?:^|\/)(?:utils?|helpers?|common|types|manager|index|misc)\.ts$/;
const LINES_MAX = 300;
const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|(?:^|\s)\/\/ .*$/gm, '');

function offences(text: string): string[] {
  const code = withoutComments(text);
  return [...banned.filter(([word]) => word.test(code)), ...bannedAnywhere.filter(([word]) => word.test(text))].map(
    ([word, instead]) => `${String(word)} → ${instead}`,
  );
}

const product = readSources(['pipelines', 'services', 'config']);
const tests = readSources(['test']);

test('style: no banned words in product code', () => {
  assert.ok(product.length > 40, `only ${product.length} files seen`);
  const found = product.flatMap((file) => offences(file.text).map((offence) => `${file.path}: ${offence}`));
  assert.deepEqual(found, []);
});

test('style: the check finds each kind of banned word, and leaves prose alone', () => {
  for (const text of [
    'let x: any;',
    'f(y as any);',
    '// @ts-ignore',
    '/* TODO later */',
    'f(); // FIXME',
    'export default f;',
    'class LogManager {}',
  ]) {
    assert.equal(offences(text).length, 1, text);
  }
  assert.deepEqual(offences('const SKIP = 0; // unknown field: any wire type\n// as any reader knows\nconst todo = 1;'), []);
});

test('style: file names say what is in them', () => {
  assert.deepEqual(
    [...product, ...tests]
      .filter((file) => bannedFiles.test(file.path) || /[A-Z_]/.test(file.path.replace(/.*\//, '')))
      .map((file) => file.path),
    [],
  );
});

test(`style: no file of product code over ${LINES_MAX} lines`, () => {
  assert.deepEqual(
    product.map((file) => [file.path, file.text.split('\n').length] as const).filter(([, lines]) => lines > LINES_MAX),
    [],
  );
});

test('style: no test sleeps for luck or is left out', () => {
  const luck = /(?:await )?(?:sleep|delay|setTimeout)\(\s*\d{3,}\s*\)|\.only\(|\b(?:test|it|describe)\.skip\(|\bskip: true/;
  assert.ok(tests.length > 20, `only ${tests.length} files seen`);
  assert.deepEqual(
    tests.filter((file) => luck.test(file.text) && !file.path.startsWith('test/tidy/')).map((file) => file.path),
    [],
  );
});
