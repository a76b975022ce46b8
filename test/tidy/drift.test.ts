import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { configurationPage, schemaText } from '../../config/describe.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

test('drift: docs/configuration.md follows from the schema (node config/generate.ts)', () => {
  assert.equal(read('docs/configuration.md'), configurationPage());
});

test('drift: docs/tailrace.schema.json follows from the schema (node config/generate.ts)', () => {
  assert.equal(read('docs/tailrace.schema.json'), schemaText());
});
