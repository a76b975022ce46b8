import { status } from '@grpc/grpc-js';
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Report } from '../../services/generate-report.ts';
import { runGenerate, type Terminal } from '../../services/generate.ts';
import { byTrace, grpcReceiver, httpReceiver, spansOf, type DecodedSpan, type TestReceiver, type Verdict } from './generate-server.ts';

interface Ran {
  code: number;
  report: Report;
  out: string;
  notes: string;
}

async function run(argv: string[], terminal: Partial<Terminal> = {}): Promise<Ran> {
  let out = '';
  let notes = '';
  const code = await runGenerate(argv, {
    out: (text) => {
      out += text;
    },
    note: (text) => {
      notes += text;
    },
    rewrites: false,
    onInterrupt: () => () => {},
    ...terminal,
  });
  return { code, out, notes, report: out.startsWith('{') ? (JSON.parse(out) as Report) : (undefined as unknown as Report) };
}

async function receiver(t: TestContext, verdict: (attempt: number) => Verdict | Promise<Verdict> = () => 'ok'): Promise<TestReceiver> {
  const opened = await grpcReceiver(verdict);
  t.after(() => opened.close());
  return opened;
}

const fast = ['--rate', '0', '--json', '--seed', '7'];
const durationOf_ms = (span: DecodedSpan): number => Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6;

void test('what is reported as acknowledged is what the receiver took: spans, traces, errors, slow ones', async (t) => {
  const { endpoint, taken } = await receiver(t);
  const argv = ['--endpoint', endpoint, ...fast, '--spans', '4321', '--error-share', '0.05', '--slow-share', '0.02'];
  const { code, report } = await run(argv);
  const spans = spansOf(taken);
  const traces = byTrace(spans);
  assert.equal(code, 0);
  assert.equal(spans.length, 4321);
  assert.deepEqual(report.spans, {
    sent: 4321,
    acknowledged: 4321,
    refused: 0,
    unacknowledged: 0,
    error: spans.filter((s) => s.status?.code === 2).length,
  });
  assert.deepEqual(report.traces, {
    acknowledged: traces.length,
    error: traces.filter((trace) => trace.some((s) => s.status?.code === 2)).length,
    slow: traces.filter((trace) => trace.some((s) => durationOf_ms(s) >= 1000)).length,
  });
  assert.ok(Math.abs(report.traces.error / traces.length - 0.05) < 0.005, `${report.traces.error} of ${traces.length} with errors`);
  assert.ok(Math.abs(report.traces.slow / traces.length - 0.02) < 0.005);
  assert.equal(
    report.bytes,
    taken.reduce((sum, body) => sum + body.length, 0),
  );
  assert.equal(report.requests.acknowledged, taken.length);
});

void test('traces are whole, of the length asked for, with unique valid ids, one root, and children within their parents', async (t) => {
  const { endpoint, taken } = await receiver(t);
  const before_ms = Date.now();
  // More than one cycle of prepared requests, and requests smaller than a trace.
  await run(['--endpoint', endpoint, ...fast, '--spans', '11000', '--trace-spans', '3-9', '--spans-per-request', '5', '--services', '20']);
  const after_ms = Date.now();
  const spans = spansOf(taken);
  assert.equal(spans.length, 11_000);
  assert.equal(new Set(spans.map((s) => s.spanId.toString('hex'))).size, 11_000);
  assert.ok(spans.every((s) => s.spanId.length === 8 && s.traceId.length === 16 && s.attributes.length >= 20));
  assert.equal(new Set(spans.map((s) => s.service)).size, 20);
  assert.ok(taken.slice(0, 300).every((body) => spansOf([body]).length <= 5));
  const traces = byTrace(spans);
  const short = traces.filter((trace) => trace.length < 3);
  assert.ok(short.length <= 1, 'only the last trace may be cut short by --spans');
  for (const trace of traces) {
    assert.ok(trace.length <= 9);
    const ids = new Map(trace.map((s) => [s.spanId.toString('hex'), s]));
    assert.equal(trace.filter((s) => s.parentSpanId === undefined).length, 1);
    for (const s of trace) {
      const end_ms = Number(BigInt(s.endTimeUnixNano) / 1_000_000n);
      assert.ok(end_ms <= after_ms + 1 && end_ms >= before_ms - 3000);
      if (s.parentSpanId === undefined) continue;
      const parent = ids.get(s.parentSpanId.toString('hex'))!;
      assert.ok(BigInt(s.startTimeUnixNano) >= BigInt(parent.startTimeUnixNano));
      assert.ok(BigInt(s.endTimeUnixNano) <= BigInt(parent.endTimeUnixNano));
      assert.notEqual(s.kind, parent.kind);
    }
  }
});

void test('the same seed gives the same ids and contents, another seed others', async (t) => {
  const ids = async (seed: string): Promise<string[]> => {
    const { endpoint, taken } = await receiver(t);
    await run(['--endpoint', endpoint, '--rate', '0', '--json', '--seed', seed, '--spans', '300']);
    return spansOf(taken)
      .map((s) => `${s.traceId.toString('hex')} ${s.spanId.toString('hex')} ${s.name} ${durationOf_ms(s)}`)
      .sort();
  };
  const first = await ids('1');
  assert.deepEqual(await ids('1'), first);
  assert.ok((await ids('2')).every((id) => !first.includes(id)));
});

void test('UNAVAILABLE is retried, after the delay that RetryInfo asks for, and nothing is counted twice', async (t) => {
  let refusedAt = 0;
  let retriedAt = 0;
  const { endpoint, taken, attempts } = await receiver(t, (attempt) => {
    if (attempt === 0) {
      refusedAt = performance.now();
      return { code: status.UNAVAILABLE, retry_ms: 300 };
    }
    if (retriedAt === 0) retriedAt = performance.now();
    return attempt < 4 ? { code: status.UNAVAILABLE, retry_ms: 1 } : 'ok';
  });
  const one = ['--connections', '1', '--in-flight', '1'];
  const { code, report } = await run(['--endpoint', endpoint, ...fast, '--spans', '200', ...one]);
  assert.equal(code, 0);
  assert.ok(retriedAt - refusedAt >= 290, `retried after ${retriedAt - refusedAt} ms`);
  assert.equal(report.requests.retried, 4);
  assert.equal(report.spans.acknowledged, 200);
  assert.equal(spansOf(taken).length, 200);
  assert.equal(attempts.length, report.requests.sent + 4);
});

void test('a partial success counts its rejected spans as refused, and ends with 1', async (t) => {
  const { endpoint } = await receiver(t, (attempt) => (attempt === 1 ? { rejected: 3 } : 'ok'));
  const { code, report } = await run(['--endpoint', endpoint, ...fast, '--spans', '300']);
  assert.equal(code, 1);
  assert.deepEqual([report.spans.acknowledged, report.spans.refused, report.spans.unacknowledged], [297, 3, 0]);
  assert.equal(report.last_error, 'bad spans');
});

void test('what will never be accepted is refused at once; RESOURCE_EXHAUSTED without RetryInfo too', async (t) => {
  for (const code of [status.INVALID_ARGUMENT, status.RESOURCE_EXHAUSTED]) {
    const { endpoint, attempts } = await receiver(t, (attempt) => (attempt === 0 ? { code } : 'ok'));
    const { code: exit, report } = await run(['--endpoint', endpoint, ...fast, '--spans', '200', '--connections', '1', '--in-flight', '1']);
    assert.equal(exit, 1);
    assert.equal(report.requests.retried, 0);
    assert.equal(attempts.length, report.requests.sent);
    assert.ok(report.spans.refused > 0);
    assert.equal(report.spans.refused + report.spans.acknowledged, 200);
  }
});

void test('where nobody listens, it gives up after --give-up, and says what went wrong', async () => {
  const { code, out } = await run(['--endpoint', '127.0.0.1:1', '--rate', '0', '--spans', '100', '--give-up', '200ms']);
  assert.equal(code, 1);
  assert.match(out, /NOT ACKNOWLEDGED {2}100 spans/);
  assert.match(out, /ECONNREFUSED/);
});

void test('--rate paces the spans', async (t) => {
  const { endpoint } = await receiver(t);
  const { report } = await run(['--endpoint', endpoint, '--rate', '1000', '--spans', '500', '--json']);
  assert.equal(report.spans.acknowledged, 500);
  // The first request goes at once, the others 1 ms a span later.
  assert.ok(report.seconds >= 0.4 && report.seconds < 5, `${report.seconds} s`);
});

void test('--duration ends the run with whole traces', async (t) => {
  const { endpoint, taken } = await receiver(t);
  const argv = [
    '--endpoint',
    endpoint,
    '--rate',
    '2000',
    '--duration',
    '300ms',
    '--json',
    '--trace-spans',
    '7',
    '--spans-per-request',
    '3',
  ];
  const { code, report } = await run(argv);
  assert.equal(code, 0);
  assert.ok(report.traces.acknowledged > 0);
  assert.ok(byTrace(spansOf(taken)).every((trace) => trace.length === 7));
});

void test('Ctrl-C stops the run, waits for what is under way and prints the summary', async (t) => {
  let interrupt = (): void => {};
  const { endpoint, taken } = await receiver(t, (attempt) => {
    if (attempt === 3) interrupt();
    return 'ok';
  });
  const { code, report } = await run(['--endpoint', endpoint, '--rate', '0', '--json'], {
    onInterrupt: (stop) => {
      interrupt = stop;
      return () => {};
    },
  });
  assert.equal(code, 0);
  assert.equal(report.spans.acknowledged, spansOf(taken).length);
  assert.equal(report.spans.sent, report.spans.acknowledged);
});

void test('a second Ctrl-C leaves at once; what was under way is not acknowledged', async (t) => {
  let interrupt = (): void => {};
  const { endpoint } = await receiver(t, async (attempt) => {
    if (attempt === 0) return 'ok';
    interrupt();
    interrupt();
    return new Promise<Verdict>(() => {});
  });
  const { code, report } = await run(['--endpoint', endpoint, '--rate', '0', '--json', '--connections', '1', '--in-flight', '1'], {
    onInterrupt: (stop) => {
      interrupt = stop;
      return () => {};
    },
  });
  assert.equal(code, 1);
  assert.ok(report.spans.unacknowledged > 0);
  assert.equal(report.spans.sent, report.spans.acknowledged + report.spans.unacknowledged);
});

void test('OTLP/HTTP: path, headers, gzip, Retry-After, partial success', async (t) => {
  const http = await httpReceiver((attempt) => (attempt === 0 ? { code: 503, retry_ms: 0 } : attempt === 1 ? { rejected: 2 } : 'ok'));
  t.after(() => http.close());
  const argv = ['--endpoint', http.endpoint, ...fast, '--spans', '250', '--compression', 'gzip', '--header', 'authorization=Bearer x=y'];
  const { code, report } = await run(argv);
  assert.equal(code, 1);
  assert.deepEqual([report.spans.acknowledged, report.spans.refused, report.requests.retried], [248, 2, 1]);
  assert.equal(spansOf(http.taken).length, 250);
  assert.ok(http.attempts.every((headers) => headers[':path'] === '/v1/traces' && headers['authorization'] === 'Bearer x=y'));
  const refused = await httpReceiver(() => ({ code: 401 }));
  t.after(() => refused.close());
  const second = await run(['--endpoint', refused.endpoint, ...fast, '--spans', '50']);
  assert.equal(second.code, 1);
  assert.equal(second.report.spans.refused, 50);
  assert.equal(second.report.last_error, 'HTTP 401: not now');
});

void test('gRPC sends headers and gzip', async (t) => {
  const { endpoint, taken, attempts } = await receiver(t);
  await run(['--endpoint', endpoint, ...fast, '--spans', '100', '--compression', 'gzip', '--header', 'x-tenant=shop']);
  assert.equal(spansOf(taken).length, 100);
  assert.ok(attempts.every((metadata) => metadata['x-tenant'] === 'shop'));
});

void test('mistakes in the options are named, with a suggestion, and end with 2', async () => {
  const cases: [string[], RegExp][] = [
    [['--rat', '5'], /--rat is not known; did you mean "--rate"\?/],
    [['--error-share', '5'], /--error-share 5: a share from 0 to 1/],
    [['--spans', 'many'], /--spans many: a whole number from 1/],
    [['--duration', '30'], /--duration 30: a time with its unit/],
    [['--trace-spans', '9-3'], /--trace-spans 9-3: two whole numbers/],
    [['--compression', 'zip'], /none or gzip is wanted; did you mean "gzip"\?/],
    [['--endpoint', 'localhost'], /--endpoint localhost: host:port/],
    [['--rate'], /--rate wants a value: --rate N/],
    [['--header', 'x'], /--header x: NAME=VALUE/],
    [['127.0.0.1:4317'], /"127.0.0.1:4317" is no option/],
  ];
  for (const [argv, message] of cases) {
    const { code, notes, out } = await run(argv);
    assert.equal(code, 2, argv.join(' '));
    assert.match(notes, message);
    assert.equal(out, '');
  }
});

void test('--help teaches, and the summary is for people without --json', async (t) => {
  const help = await run(['--help']);
  assert.equal(help.code, 0);
  assert.match(help.out, /Examples:\n {2}tailrace generate --duration 10s/);
  const { endpoint } = await receiver(t);
  const { out } = await run(['--endpoint', endpoint, '--rate', '0', '--spans', '1000', '--error-share', '0.1', '--seed', '3']);
  assert.match(out, /spans {5}1,000 of 1,000 sent/);
  assert.match(out, /seed {6}3/);
});
