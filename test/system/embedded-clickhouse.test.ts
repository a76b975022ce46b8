import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { request } from 'node:http';
import { createLog } from '../../pipelines/base/log.ts';
import { OperatorError } from '../../pipelines/base/errors.ts';
import { startEmbeddedClickhouse } from '../../services/embedded-clickhouse-parent.ts';
import { startTestClickhouse, type TestClickhouse } from '../kit/clickhouse.ts';

let clickhouse: TestClickhouse;
before(async () => {
  clickhouse = await startTestClickhouse();
  await clickhouse.store.command({
    query: "CREATE TABLE t (a UInt64, b String DEFAULT 'none', c UInt64 MATERIALIZED a + 1) ENGINE = MergeTree ORDER BY a",
  });
});
after(() => clickhouse.stop());

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
  readonly text: string;
}

/** Like curl: nothing is decoded, nothing is retried. */
function call(path: string, options: { method?: string; body?: string | Buffer; headers?: Record<string, string> } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const out = request(
      `${clickhouse.url}${path}`,
      { method: options.method ?? (options.body === undefined ? 'GET' : 'POST'), headers: options.headers ?? {} },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const body = Buffer.concat(chunks);
          resolve({ status: response.statusCode!, headers: response.headers, body, text: body.toString() });
        });
      },
    );
    out.on('error', reject);
    out.end(options.body);
  });
}

const q = encodeURIComponent;

test('ping, version, and a path that is not there', async () => {
  for (const path of ['/ping', '/replicas_status', '/'])
    assert.deepEqual((({ status, text }) => ({ status, text }))(await call(path)), { status: 200, text: 'Ok.\n' });
  assert.match((await call(`/?query=${q('SELECT version()')}`)).text, /^\d+\.\d+\.\d+\.\d+\n$/);
  assert.equal((await call('/nowhere')).status, 404);
});

test('a query comes in the URL, in the body, or in both', async () => {
  assert.equal((await call(`/?query=${q('SELECT 1')}`)).text, '1\n');
  assert.equal((await call('/', { body: 'SELECT 2' })).text, '2\n');
  assert.equal((await call(`/?query=${q('SELECT')}`, { body: '3 + 4' })).text, '7\n');
});

test('formats: FORMAT before default_format before TabSeparated, and the headers tell', async () => {
  const plain = await call('/', { body: 'SELECT 1 AS x' });
  assert.equal(plain.headers['x-clickhouse-format'], 'TabSeparated');
  assert.equal((await call('/?default_format=JSONEachRow', { body: 'SELECT 1 AS x' })).text, '{"x":1}\n');
  assert.equal((await call('/', { body: 'SELECT 1 AS x', headers: { 'X-ClickHouse-Format': 'CSV' } })).text, '1\n');
  const json = await call('/?default_format=CSV', { body: 'SELECT 1 AS x FORMAT JSON' });
  assert.equal(json.headers['content-type'], 'application/json; charset=UTF-8');
  assert.deepEqual((JSON.parse(json.text) as { data: unknown }).data, [{ x: 1 }]);
  assert.equal((await call('/', { body: "SELECT 'FORMAT CSV' AS format -- FORMAT JSON" })).text, 'FORMAT CSV\n');
  for (const header of ['x-clickhouse-query-id', 'x-clickhouse-timezone', 'x-clickhouse-server-display-name', 'x-clickhouse-summary'])
    assert.ok(json.headers[header], header);
  assert.equal((await call('/?query_id=mine', { body: 'SELECT 1' })).headers['x-clickhouse-query-id'], 'mine');
});

test('a large answer is whole in every way of sending it', async () => {
  const expected = Array.from({ length: 200_000 }, (_, i) => `${i}\n`).join('');
  assert.equal((await call('/', { body: 'SELECT number FROM numbers(200000)' })).text, expected);
  assert.equal((await call('/?wait_end_of_query=1', { body: 'SELECT number FROM numbers(200000)' })).text, expected);
  const csv = await call('/?default_format=CSVWithNames', { body: 'SELECT number FROM numbers(200000)' });
  assert.equal(csv.text, `"number"\n${expected}`, 'the header comes once');
});

test('parameters and settings go to this query and no further', async () => {
  const answer = await call(`/?param_s=${q("it's\\ta")}&param_n=5&max_threads=1&database=system`, {
    body: "SELECT {s:String}, {n:UInt8} + 1, getSetting('max_threads'), currentDatabase() FORMAT JSONCompactEachRow",
  });
  assert.equal(answer.text, '["it\'s\\ta", 6, 1, "system"]\n');
  for (let i = 0; i < 3; i++) {
    assert.equal((await call('/', { body: 'SELECT {n:UInt8}' })).headers['x-clickhouse-exception-code'], '456');
    assert.equal((await call('/', { body: 'SELECT currentDatabase()' })).text, 'default\n');
    assert.equal((await call('/?max_block_size=7', { body: "SELECT getSetting('max_block_size')" })).text, '7\n');
    assert.notEqual((await call('/', { body: "SELECT getSetting('max_block_size')" })).text, '7\n');
  }
  assert.equal((await call('/?async_insert=1', { body: "SELECT getSetting('async_insert')" })).text, 'false\n');
});

test('errors have the status, the code and the words of ClickHouse', async () => {
  const cases: [string, number, string, RegExp][] = [
    ['SELECT * FROM nope', 404, '60', /^Code: 60\. DB::Exception: .*\(UNKNOWN_TABLE\) \(version 2\d\./],
    ['SELEC 1', 400, '62', /SYNTAX_ERROR/],
    ['SELECT nope(1)', 404, '46', /UNKNOWN_FUNCTION/],
    ["SELECT toUInt8('x')", 400, '6', /CANNOT_PARSE_TEXT/],
    ['SELECT 1 FORMAT Nope', 404, '73', /UNKNOWN_FORMAT/],
    ['SELECT throwIf(number = 3) FROM numbers(10)', 500, '395', /FUNCTION_THROW_IF/],
    ['', 400, '62', /Empty query/],
  ];
  for (const [body, status, code, text] of cases) {
    const answer = await call('/', { body });
    assert.equal(answer.status, status, body);
    assert.equal(answer.headers['x-clickhouse-exception-code'], code, body);
    assert.match(answer.text, text);
  }
  assert.equal((await call('/?nope=1', { body: 'SELECT 1' })).headers['x-clickhouse-exception-code'], '115');
  assert.equal(
    (await call('/?max_execution_time=1', { body: 'SELECT sum(sleepEachRow(0.2)) FROM numbers(100) SETTINGS max_block_size = 1' })).status,
    408,
  );
});

test('an error in the middle of an answer breaks it off instead of ending it well', async () => {
  await assert.rejects(
    call('/', { body: 'SELECT throwIf(number = 3000000) FROM numbers(4000000) SETTINGS max_threads = 1' }),
    /aborted|ECONNRESET/,
  );
});

test('GET only reads; a page of another site does neither', async () => {
  assert.equal((await call(`/?query=${q('INSERT INTO t SELECT 1')}`)).headers['x-clickhouse-exception-code'], '164');
  assert.equal((await call('/', { body: 'SELECT 1', headers: { Origin: 'http://evil.example' } })).status, 403);
  // DNS rebinding: the site's own name points to this machine.
  assert.equal((await call('/', { body: 'SELECT 1', headers: { Origin: 'http://evil.example', Host: 'evil.example' } })).status, 403);
});

test('gzip and zstd, both ways', async () => {
  const zipped = await call('/', {
    body: gzipSync('SELECT 5'),
    headers: { 'Content-Encoding': 'gzip', 'Accept-Encoding': 'gzip, deflate' },
  });
  assert.equal(zipped.headers['content-encoding'], 'gzip');
  assert.equal(gunzipSync(zipped.body).toString(), '5\n');
  const zstd = await call('/', {
    body: zstdCompressSync(Buffer.from('SELECT 6')),
    headers: { 'Content-Encoding': 'zstd', 'Accept-Encoding': 'zstd' },
  });
  assert.equal(zstdDecompressSync(zstd.body).toString(), '6\n');
  assert.equal((await call('/?enable_http_compression=0', { body: 'SELECT 7', headers: { 'Accept-Encoding': 'gzip' } })).text, '7\n');
  const broken = await call('/', { body: gzipSync('SELECT 5').subarray(0, 12), headers: { 'Content-Encoding': 'gzip' } });
  assert.equal(broken.status, 400);
  assert.equal((await call('/', { body: 'x', headers: { 'Content-Encoding': 'rot13' } })).headers['x-clickhouse-exception-code'], '89');
});

test('inserts: every place for the data, every format, defaults for what is left out', async () => {
  const inserted = async (path: string, body: string | Buffer, headers = {}): Promise<unknown[]> => {
    await clickhouse.store.command({ query: 'TRUNCATE TABLE t' });
    const answer = await call(path, { body, headers });
    assert.equal(answer.status, 200, answer.text);
    return (await clickhouse.rows<{ a: string; b: string; c: string }>('SELECT a, b, c FROM t ORDER BY a')).map(
      ({ a, b, c }) => `${a} ${b} ${c}`,
    );
  };
  assert.deepEqual(await inserted('/', 'INSERT INTO t FORMAT JSONEachRow\n{"a":1}\n{"b":"x","a":2}\n'), ['1 none 2', '2 x 3']);
  assert.deepEqual(await inserted(`/?query=${q('INSERT INTO t FORMAT JSONEachRow')}`, '{"a":3}'), ['3 none 4']);
  assert.deepEqual(await inserted(`/?query=${q('INSERT INTO t (a) VALUES')}`, '(4),(5)'), ['4 none 5', '5 none 6']);
  assert.deepEqual(await inserted('/', "INSERT INTO t (a, b) VALUES (6, 'it''s'), (7, 'FORMAT CSV')"), ["6 it's 7", '7 FORMAT CSV 8']);
  assert.deepEqual(await inserted('/', "INSERT INTO t SELECT number, 'n' FROM numbers(2)"), ['0 n 1', '1 n 2']);
  assert.deepEqual(await inserted(`/?query=${q('INSERT INTO t (a, b) FORMAT CSV')}`, gzipSync('8,"ü"\n'), { 'Content-Encoding': 'gzip' }), [
    '8 ü 9',
  ]);
  for (const format of ['Native', 'RowBinaryWithNamesAndTypes', 'Parquet', 'ArrowStream', 'TSVWithNames']) {
    const data = await call(`/?default_format=${format}`, { body: 'SELECT toString(number) AS b, number AS a FROM numbers(3) ORDER BY a' });
    assert.deepEqual(
      await inserted(`/?query=${q(`INSERT INTO t (b, a) FORMAT ${format}`)}`, data.body),
      ['0 0 1', '1 1 2', '2 2 3'],
      format,
    );
  }
  const wrong = await call(`/?query=${q('INSERT INTO t FORMAT Native')}`, { body: Buffer.from('rubbish') });
  assert.ok(wrong.status >= 400 && Number(wrong.headers['x-clickhouse-exception-code']) > 0, wrong.text);
  assert.deepEqual(readdirSync(join(clickhouse.directory, 'tmp')), [], 'files of inserts are gone');
});

test('a long insert in the body is not held in memory as a statement', async () => {
  await clickhouse.store.command({ query: 'TRUNCATE TABLE t' });
  const lines = Array.from({ length: 200_000 }, (_, i) => `{"a":${i}}\n`).join('');
  assert.equal((await call('/', { body: `INSERT INTO t FORMAT JSONEachRow\n${lines}` })).status, 200);
  assert.deepEqual(await clickhouse.rows('SELECT count() AS n, sum(a) AS s FROM t'), [{ n: 200_000, s: 19_999_900_000 }]);
});

test('a token is stored once, in the table and in what its view feeds', async () => {
  const { store } = clickhouse;
  await store.command({
    query: 'CREATE TABLE d (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100',
  });
  await store.command({
    query: 'CREATE TABLE e (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100',
  });
  await store.command({ query: 'CREATE MATERIALIZED VIEW v TO e AS SELECT a FROM d' });
  for (let i = 0; i < 3; i++)
    await store.insert({
      table: 'd',
      values: [{ a: 1 }, { a: 2 }],
      format: 'JSONEachRow',
      clickhouse_settings: { insert_deduplication_token: 'one' },
    });
  await store.insert({ table: 'd', values: [{ a: 3 }], format: 'JSONEachRow', clickhouse_settings: { insert_deduplication_token: 'two' } });
  assert.deepEqual(await clickhouse.rows('SELECT (SELECT count() FROM d) AS d, (SELECT count() FROM e) AS e'), [{ d: 3, e: 3 }]);
});

test('sessions keep what they set, and are locked while they work', async () => {
  await call('/?session_id=s1', { body: 'CREATE TEMPORARY TABLE mine (x UInt8)' });
  await call('/?session_id=s1', { body: 'SET max_block_size = 11' });
  assert.equal((await call('/?session_id=s1', { body: "SELECT getSetting('max_block_size'), count() FROM mine" })).text, '11\t0\n');
  assert.equal((await call('/', { body: 'SELECT count() FROM mine' })).status, 404);
  assert.equal((await call('/?session_id=other&session_check=1', { body: 'SELECT 1' })).headers['x-clickhouse-exception-code'], '372');
  const long = call('/?session_id=s1', { body: 'SELECT sum(sleepEachRow(0.3)) FROM numbers(2) SETTINGS max_block_size = 1' });
  await waitFor(async () => (await processes('%sleepEachRow(0.3)%')) > 0);
  assert.equal((await call('/?session_id=s1', { body: 'SELECT 1' })).headers['x-clickhouse-exception-code'], '373');
  await long;
});

test('an insert does not wait behind long queries, and a query ends when its client goes', async () => {
  const long = Array.from({ length: 6 }, () => {
    const gone = new AbortController();
    const answer = fetch(clickhouse.url, {
      method: 'POST',
      body: 'SELECT sum(sleepEachRow(1)) FROM numbers(30) SETTINGS max_block_size = 1',
      signal: gone.signal,
    });
    return { gone, answer: answer.catch((error: Error) => error.name) };
  });
  await waitFor(async () => (await processes('%sleepEachRow(1)%')) === 6);
  const started = performance.now();
  assert.equal((await call('/', { body: 'INSERT INTO t (a) VALUES (1)' })).status, 200);
  assert.ok(performance.now() - started < 1_500);
  for (const { gone } of long) gone.abort();
  await waitFor(async () => (await processes('%sleepEachRow(1)%')) === 0);
  assert.deepEqual(
    await Promise.all(long.map(({ answer }) => answer)),
    Array.from({ length: 6 }, () => 'AbortError'),
  );
});

test('Native for a client with a protocol version has block headers; every type of ours is walked', async () => {
  const columns =
    "number, toString(number), toLowCardinality('a'), map('k', toLowCardinality('v')), [(1, 'x')], [toNullable(1)], now64(9), CAST([] AS Array(LowCardinality(String)))";
  const plain = await call('/?default_format=Native', { body: `SELECT ${columns} FROM numbers(1000)` });
  const framed = await call('/?default_format=Native&client_protocol_version=54460', { body: `SELECT ${columns} FROM numbers(1000)` });
  assert.deepEqual([...framed.body.subarray(0, 10)], [1, 0, 2, 255, 255, 255, 255, 0, 8, plain.body[1]]);
  assert.equal(framed.body.length, plain.body.length + 8 + 8);
});

test('a port or a data folder in use is an error that says what to do', async () => {
  const log = createLog('silent');
  const port = Number(new URL(clickhouse.url).port);
  const directory = `${clickhouse.directory}-other`;
  await assert.rejects(
    startEmbeddedClickhouse({ directory, host: '127.0.0.1', port, log }),
    (error: unknown) => error instanceof OperatorError && /in use/.test(error.message) && /tailrace\.sql\.endpoint/.test(error.hint),
  );
  await assert.rejects(
    startEmbeddedClickhouse({ directory: clickhouse.directory, host: '127.0.0.1', port: 0, log }),
    (error: unknown) => error instanceof OperatorError && /used by another process/.test(error.message),
  );
});

test('kill -9 in the middle of inserts: started again on the same port, each token stored once', async () => {
  const { store } = clickhouse;
  await store.command({
    query: 'CREATE TABLE k (n UInt64, s String) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 1000',
  });
  let kills = 0;
  const insert = async (token: number): Promise<void> => {
    const values = Array.from({ length: 5_000 }, (_, i) => ({ n: token * 5_000 + i, s: 'x'.repeat(100) }));
    for (;;) {
      try {
        await store.insert({
          table: 'k',
          values,
          format: 'JSONEachRow',
          clickhouse_settings: { insert_deduplication_token: String(token), async_insert: 0 },
        });
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  const killer = (async () => {
    for (; kills < 3; kills++) {
      // A file of an insert under way: now is the middle of one.
      await waitFor(
        async () => existsSync(join(clickhouse.directory, 'tmp')) && readdirSync(join(clickhouse.directory, 'tmp')).length > 0,
        20_000,
        1,
      );
      const pid = clickhouse.engine.pid();
      if (pid !== undefined) process.kill(pid, 'SIGKILL');
      await waitFor(async () => clickhouse.engine.pid() !== undefined && clickhouse.engine.pid() !== pid, 20_000, 20);
    }
  })();
  const killing = { over: false };
  const ended = killer.finally(() => (killing.over = true));
  for (let token = 0; token < 400 && !killing.over; token += 2) await Promise.all([insert(token), insert(token + 1)]);
  await ended;
  const [row] = await clickhouse.rows<{ rows: number; u: number; top: number }>(
    'SELECT count() AS rows, uniqExact(n) AS u, max(n) + 1 AS top FROM k',
  );
  assert.equal(kills, 3);
  assert.equal(row!.rows, row!.u);
  assert.equal(row!.rows, row!.top);
});

async function processes(like: string): Promise<number> {
  const [row] = await clickhouse.rows<{ n: number }>(
    `SELECT toUInt32(count()) AS n FROM system.processes WHERE query LIKE '${like}' AND query NOT LIKE '%system.processes%'`,
  );
  return row!.n;
}

async function waitFor(condition: () => Promise<boolean>, deadline_ms = 10_000, every_ms = 10): Promise<void> {
  const end = performance.now() + deadline_ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, every_ms));
  }
}
