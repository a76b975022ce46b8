import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSources } from './source.ts';

// facts/style.md: what is banned, and what to write instead. Words that would trip over their own table are cut in two.
const banned: readonly (readonly [RegExp, string])[] = [
  [/^export default/m, 'a named export'],
  [/^\s*(?:export )?(?:const )?enum /m, 'a union of literals or constants'],
  [/^\s*(?:export )?namespace /m, 'a module'],
  [/: any\b|<any>|as any\b/, 'unknown, or the type'],
  [/@ts-(?:ignore|nocheck|expect-error)/, 'a type that is right'],
  [new RegExp('TODO|FIX' + 'ME|X{3}'), 'an issue'],
  [/console\.(?:log|error|warn)\(/, 'the log, or process.stdout in a command'],
  [/\bclass \w*(?:Manager|Helper|Utils?)\b/, 'a name that says what it does'],
];
const bannedFiles = /(?:^|\/)(?:utils?|helpers?|common|types|manager|index|misc)\.ts$/;
const LINES_MAX = 300;
const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');

const product = readSources(['pipelines', 'services', 'config']);
const tests = readSources(['test']);

test('style: no banned words in product code', () => {
  assert.ok(product.length > 40, `only ${product.length} files seen`);
  const found = product.flatMap((file) =>
    banned.filter(([word]) => word.test(withoutComments(file.text))).map(([word, instead]) => `${file.path}: ${String(word)} → ${instead}`),
  );
  assert.deepEqual(found, []);
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
