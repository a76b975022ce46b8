import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readMigrations, statements } from '../../pipelines/store/migrate.ts';

test('migrations are numbered without gaps, and every statement can be run again', async () => {
  const migrations = await readMigrations();
  assert.ok(migrations.length >= 4);
  let seen = 0;
  for (const { name, sql } of migrations)
    for (const statement of statements(sql, '`d`')) {
      seen++;
      const bare = statement.replace(/^--.*$/gm, '').trim();
      assert.match(
        bare,
        /^(CREATE (TABLE|VIEW|MATERIALIZED VIEW) IF NOT EXISTS|ALTER TABLE \S+ (ADD (COLUMN|INDEX) IF NOT EXISTS|MODIFY SETTING))\s/,
        `${name}: ${bare.slice(0, 60)}`,
      );
      assert.ok(!statement.includes('{{'), name);
    }
  assert.ok(seen > 15);
});

test('statements() cuts at semicolons that end a line, and drops what is only comment', () => {
  assert.deepEqual(statements("-- a; b\nSELECT ';' FROM {{database}}.t;\n\n-- the end\n", '`d`'), ["-- a; b\nSELECT ';' FROM `d`.t"]);
});
