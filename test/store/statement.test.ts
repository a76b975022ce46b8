import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readStatement } from '../../pipelines/store/statement.ts';

test('readStatement() finds the format only where it ends a query', () => {
  const cases: [string, string, string | undefined][] = [
    ['SELECT 1', 'SELECT', undefined],
    ['select 1 format JSON', 'SELECT', 'JSON'],
    ['SELECT 1 FORMAT JSON SETTINGS max_threads = 1, x = 2', 'SELECT', 'JSON'],
    ['SELECT 1 FORMAT CSV;', 'SELECT', 'CSV'],
    ['SELECT 1 SETTINGS max_threads = 1 FORMAT TSV', 'SELECT', 'TSV'],
    ["SELECT 'x FORMAT JSON'", 'SELECT', undefined],
    ['SELECT 1 -- FORMAT JSON', 'SELECT', undefined],
    ['SELECT 1 /* FORMAT JSON */', 'SELECT', undefined],
    ['SELECT format FROM t', 'SELECT', undefined],
    ['SELECT 1 AS format, 2', 'SELECT', undefined],
    ["SELECT format('{}', 1)", 'SELECT', undefined],
    ['SELECT * FROM (SELECT 1 FORMAT x)', 'SELECT', undefined],
    ['SELECT `FORMAT` FROM t FORMAT Native', 'SELECT', 'Native'],
    ['-- why\n/* and */ WITH 1 AS x SELECT x', 'WITH', undefined],
    ['(SELECT 1) UNION ALL (SELECT 2) FORMAT CSV', 'SELECT', 'CSV'],
    ["SELECT 'it''s \\' FORMAT A' FORMAT B", 'SELECT', 'B'],
    ['', '', undefined],
    ['  ', '', undefined],
  ];
  for (const [text, kind, format] of cases) {
    const statement = readStatement(text);
    assert.deepEqual([statement.kind, statement.format, statement.insert], [kind, format, undefined], text);
  }
});

test('readStatement() finds where the data of an INSERT begins', () => {
  const cases: [string, string, string, string][] = [
    ['INSERT INTO t FORMAT Native\n\x01\x02', 'INSERT INTO t ', 'Native', '\x01\x02'],
    ['INSERT INTO t FORMAT JSONEachRow {"a":1}', 'INSERT INTO t ', 'JSONEachRow', '{"a":1}'],
    ['INSERT INTO t FORMAT CSV\r\n1\n', 'INSERT INTO t ', 'CSV', '1\n'],
    ['INSERT INTO t FORMAT TSV \n\n1', 'INSERT INTO t ', 'TSV', '\n1'],
    ['insert into t values (1)', 'insert into t ', 'Values', ' (1)'],
    ['INSERT INTO t (a, `values`) SETTINGS x = 1 VALUES(1)', 'INSERT INTO t (a, `values`) SETTINGS x = 1 ', 'Values', '(1)'],
    ['INSERT INTO t FORMAT Values (1)', 'INSERT INTO t ', 'Values', ' (1)'],
    ['INSERT INTO db.values FORMAT CSV\n1', 'INSERT INTO db.values ', 'CSV', '1'],
    ['INSERT INTO format FORMAT CSV\n1', 'INSERT INTO format ', 'CSV', '1'],
    ['INSERT INTO t (format) FORMAT CSV\n1', 'INSERT INTO t (format) ', 'CSV', '1'],
    ["INSERT INTO FUNCTION file('x FORMAT y') FORMAT CSV\n1", "INSERT INTO FUNCTION file('x FORMAT y') ", 'CSV', '1'],
  ];
  for (const [text, head, format, data] of cases) {
    const { insert } = readStatement(text);
    assert.ok(insert !== undefined, text);
    assert.deepEqual([insert.head, insert.format, text.slice(insert.dataStart)], [head, format, data], text);
  }
});

test('readStatement() leaves an INSERT from a query to the engine', () => {
  for (const text of [
    "INSERT INTO t SELECT 'FORMAT CSV'",
    'INSERT INTO t WITH 1 AS x SELECT x',
    "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
    'INSERT INTO t (a) (SELECT 1)',
  ])
    assert.equal(readStatement(text).insert, undefined, text);
});

test('readStatement() ends on any text', () => {
  const source = "INSERT INTO t (a) /* x */ VALUES ('it''s', \"b\", `c`) -- y\n SELECT format FORMAT CSV;";
  for (let stop = 0; stop <= source.length; stop++) assert.equal(typeof readStatement(source.slice(0, stop)).kind, 'string');
});
