import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BASE_NS, logs, traces } from '../kit/otlp.ts';
import { decode } from '../kit/proto.ts';
import { startEnvoy } from '../kit/envoy.ts';
import { until } from '../kit/process.ts';
import { startTailrace, type Tailrace } from '../kit/tailrace.ts';

const now_ns = (): bigint => BigInt(Date.now()) * 1_000_000n;

async function post(tailrace: Tailrace, signal: string, body: Buffer): Promise<{ status: number; body: Buffer }> {
  const response = await fetch(`http://127.0.0.1:${tailrace.ports.http}/v1/${signal}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf' },
    body,
  });
  return { status: response.status, body: Buffer.from(await response.arrayBuffer()) };
}

async function count(tailrace: Tailrace, query: string): Promise<number> {
  const [row] = await tailrace.sql(query);
  return Number(Object.values(row ?? {})[0]);
}

test('standalone: whole traces with an error are kept, others sampled away, and RED metrics count every span', async () => {
  const tailrace = await startTailrace();
  const start_ns = now_ns();
  // 40 traces of 3 spans in requests of one span each: a trace never comes in one piece. Trace ids whose last 7 bytes are 0 are not drawn at 10 %.
  for (let span = 1; span <= 3; span++) {
    const batch = Array.from({ length: 40 }, (_, n) => ({
      trace: `${(n + 1).toString(16).padStart(16, '0')}${'0'.repeat(16)}`,
      span: `${n + 1}0${span}`,
      name: `op-${n % 4}`,
      start_ns,
      status: n % 8 === 0 && span === 3 ? 2 : 0,
    }));
    assert.equal((await post(tailrace, 'traces', traces(batch, 'cart'))).status, 200);
  }
  await until('the kept traces to be stored', async () => (await count(tailrace, 'SELECT count() FROM otel_traces')) >= 15);
  const rows = await tailrace.sql(
    "SELECT TraceId, count() AS n, any(SpanAttributes['tailsampling.policy']) AS policy FROM otel_traces GROUP BY TraceId ORDER BY TraceId",
  );
  assert.deepEqual(
    rows.map((row) => [Number(row['n']), row['policy']]),
    Array.from({ length: 5 }, () => [3, 'errors']),
  );
  const calls = `SELECT sum(Value) FROM otel_metrics_sum WHERE MetricName = 'traces.span.metrics.calls' AND ServiceName = 'cart'`;
  await until('the window of span metrics to close', async () => (await count(tailrace, calls)) === 120, 40_000);
  assert.equal(await tailrace.metric('tailrace_items_imbalance'), 0);
  assert.equal(await tailrace.process.end('SIGINT'), 0, tailrace.process.output());
});

test('standalone: kill -9 at any moment loses no acknowledged span and stores none twice', async () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9));
  console.log(`seed ${seed}`);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let tailrace = await startTailrace();
  const { data, ports } = tailrace;
  const acknowledged = new Set<string>();
  let sent = 0;
  for (let round = 0; round < 3; round++) {
    const until_ms = performance.now() + 1_500 + random(2_500);
    const killed = tailrace;
    const kill = setTimeout(() => killed.process.child.kill('SIGKILL'), until_ms - performance.now());
    for (;;) {
      const ids = Array.from({ length: 5 }, () => `${(++sent).toString(16).padStart(16, '0')}${'0'.repeat(16)}`);
      // Every span is a trace of its own with an error: all must be kept.
      const body = traces(ids.map((trace, n) => ({ trace, span: `${sent}${n}`, start_ns: now_ns(), status: 2 })));
      try {
        if ((await post(tailrace, 'traces', body)).status === 200) for (const id of ids) acknowledged.add(id);
      } catch {
        break;
      }
    }
    clearTimeout(kill);
    await tailrace.process.ended;
    tailrace = await startTailrace({ data, ports });
  }
  assert.ok(acknowledged.size > 100, `only ${acknowledged.size} spans were acknowledged`);
  await until('every acknowledged trace to be stored', async () => {
    const stored = new Set((await tailrace.sql('SELECT DISTINCT TraceId FROM otel_traces')).map((row) => String(row['TraceId'])));
    return [...acknowledged].every((id) => stored.has(id));
  });
  assert.equal(await count(tailrace, 'SELECT count() - uniqExact(TraceId) FROM otel_traces'), 0, 'spans stored twice');
  console.log(`${acknowledged.size} spans acknowledged over 3 kills, all stored once`);
  assert.equal(await tailrace.process.end('SIGTERM'), 0, tailrace.process.output());
});

test('standalone: a real Envoy sends traces, access logs and stats, and SQL reads all three', async () => {
  const tailrace = await startTailrace();
  const envoy = await startEnvoy(tailrace.ports.grpc, (url) => (url.startsWith('/broken') ? 503 : 200));
  for (let n = 0; n < 20; n++) await (await fetch(`${envoy.url}/${n % 4 === 0 ? 'broken' : 'fine'}?n=${n}`)).text();
  await until(
    'kept traces of the broken requests',
    async () => (await count(tailrace, "SELECT uniqExact(TraceId) FROM otel_traces WHERE SpanAttributes['http.status_code'] = '503'")) >= 5,
  );
  await until('access logs', async () => (await count(tailrace, "SELECT count() FROM otel_logs WHERE ServiceName = 'edge-proxy'")) >= 20);
  await until('stats', async () => (await count(tailrace, 'SELECT count() FROM otel_metrics_sum')) > 0);
  // Logs and spans of one request meet in SQL.
  const joined = await count(tailrace, 'SELECT count() FROM otel_logs WHERE TraceId IN (SELECT TraceId FROM otel_traces)');
  assert.ok(joined >= 5, `${joined} logs meet their trace`);
  await envoy.stop();
  assert.equal(await tailrace.metric('tailrace_items_imbalance'), 0);
  assert.equal(await tailrace.process.end('SIGTERM'), 0, tailrace.process.output());
});

test('standalone: garbage is answered clearly, good spans of the same request are stored, and the process is unharmed', async () => {
  const tailrace = await startTailrace();
  const good = { trace: `ab${'0'.repeat(14)}`, start_ns: now_ns(), status: 2 };
  const mixed = await post(tailrace, 'traces', traces([good, { ...good, start_ns: BASE_NS * 9n }, { ...good, trace: '0' }]));
  assert.equal(mixed.status, 200);
  const { partialSuccess } = decode('ExportResponse', mixed.body) as { partialSuccess: { rejected: string; errorMessage: string } };
  assert.equal(partialSuccess.rejected, '2');
  assert.match(partialSuccess.errorMessage, /2 of 3 spans refused/);
  const garbage = await post(tailrace, 'traces', Buffer.from('not protobuf at all'));
  assert.equal(garbage.status, 400);
  assert.match((decode('RpcStatus', garbage.body) as { message: string }).message, /at byte \d+/);
  assert.equal((await post(tailrace, 'logs', logs([{ time_ns: now_ns(), body: 'a log' }]))).status, 200);
  await until('the good span', async () => (await count(tailrace, 'SELECT count() FROM otel_traces')) === 1);
  await until('the log', async () => (await count(tailrace, 'SELECT count() FROM otel_logs')) === 1);
  assert.equal(await tailrace.metric('tailrace_items_dropped_total', 'reason="timestamp"'), 1);
  assert.equal(await tailrace.process.end('SIGTERM'), 0, tailrace.process.output());
});

test('standalone: a port in use, the same data twice, a folder that cannot be written: each says what to do', async () => {
  const tailrace = await startTailrace();
  await assert.rejects(startTailrace({ ports: tailrace.ports }), /port \d+ on 127\.0\.0\.1 is in use\s+stop what listens there/);
  await assert.rejects(startTailrace({ data: tailrace.data }), /in use|another process|is used by/);
  await assert.rejects(startTailrace({ data: '/etc/hostname/tailrace' }), /\/etc\/hostname\/tailrace/);
  assert.equal(await tailrace.process.end('SIGTERM'), 0, tailrace.process.output());
});
