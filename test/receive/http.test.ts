import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, beforeEach, describe, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { pino } from 'pino';
import { wallClock } from '../../pipelines/base/clock.ts';
import { Busy, OperatorError, Reject } from '../../pipelines/base/errors.ts';
import { Admission } from '../../pipelines/receive/admission.ts';
import { httpDefaults, listenHttp, type HttpSettings } from '../../pipelines/receive/http.ts';
import type { Listener, Outcome, Receive } from '../../pipelines/receive/receive.ts';
import { decode } from '../kit/proto.ts';
import { post } from '../kit/senders.ts';

const MIB = 1024 * 1024;
const errors: string[] = [];
const log = pino({ level: 'error' }, { write: (line: string) => errors.push(line) });
const admission = new Admission({ inFlight_bytes_max: 32 * MIB, retryAfter_ms: 1_500 });
const listeners: Listener[] = [];
const settings: HttpSettings = {
  ...httpDefaults,
  host: '127.0.0.1',
  port: 0,
  setting: 'receivers.otlp.protocols.http.endpoint',
  request_bytes_max: 8 * MIB,
};

let seen: { signal: string; body: Buffer; encoding: string }[] = [];
let next: () => Promise<Outcome> = async () => ({ rejected: 0, message: '' });
const receive: Receive = async (signal, body, encoding) => {
  seen.push({ signal, body: Buffer.from(body), encoding });
  return next();
};
async function listen(own: Partial<HttpSettings> = {}): Promise<Listener> {
  const listener = await listenHttp({ ...settings, ...own }, receive, admission, log, wallClock);
  listeners.push(listener);
  return listener;
}
const { port } = await listen();

// Hooks at the top of a file would run for every file of the process.
describe('OTLP over HTTP', () => {
  beforeEach(() => {
    seen = [];
    next = async () => ({ rejected: 0, message: '' });
    errors.length = 0;
  });
  after(async () => {
    assert.equal(admission.inFlight_bytes, 0);
    assert.equal(admission.inFlightRequests, 0);
    await Promise.all(listeners.map((listener) => listener.drain(0)));
  });

  const json = { 'content-type': 'application/json' };

  test('the handler gets the bytes as they were before compression, by signal and encoding', async () => {
    const body = Buffer.from('what the sender wrote');
    for (const [path, signal] of [
      ['/v1/traces', 'traces'],
      ['/v1/metrics', 'metrics'],
      ['/v1/logs?x=1', 'logs'],
    ] as const) {
      for (const [coding, wire] of [
        ['identity', body],
        ['gzip', gzipSync(body)],
        ['zstd', zstdCompressSync(body)],
      ] as const) {
        for (const type of ['application/x-protobuf', 'application/json; charset=utf-8']) {
          const reply = await post(port, wire, { path, headers: { 'content-encoding': coding, 'content-type': type } });
          assert.equal(reply.status, 200);
          assert.equal(reply.headers['content-type'], type.split(';')[0]);
          const got = seen.pop()!;
          assert.deepEqual([got.signal, got.encoding], [signal, type.includes('json') ? 'json' : 'protobuf']);
          assert.ok(got.body.equals(body));
        }
      }
    }
  });

  test('full success leaves partial_success unset, in both encodings', async () => {
    assert.deepEqual(decode('ExportResponse', (await post(port, Buffer.alloc(0))).body), {});
    assert.deepEqual(JSON.parse((await post(port, Buffer.from('{}'), { headers: json })).body.toString()), {});
  });

  test('partial success carries count and message, under the name of the signal', async () => {
    next = async () => ({ rejected: 3, message: '3 spans without an id' });
    const reply = await post(port, Buffer.from('x'));
    assert.equal(reply.status, 200);
    assert.deepEqual(decode('ExportResponse', reply.body), { partialSuccess: { rejected: '3', errorMessage: '3 spans without an id' } });
    for (const [path, name] of [
      ['/v1/traces', 'rejectedSpans'],
      ['/v1/metrics', 'rejectedDataPoints'],
      ['/v1/logs', 'rejectedLogRecords'],
    ] as const) {
      const { partialSuccess } = JSON.parse((await post(port, Buffer.from('x'), { path, headers: json })).body.toString());
      assert.equal(String(partialSuccess[name]), '3');
      assert.equal(partialSuccess.errorMessage, '3 spans without an id');
    }
  });

  test('Reject is 400 with a Status in the encoding of the request', async () => {
    next = () => Promise.reject(new Reject('malformed', 'truncated varint at byte 7'));
    const binary = await post(port, Buffer.from('x'));
    assert.equal(binary.status, 400);
    assert.equal(binary.headers['content-type'], 'application/x-protobuf');
    const { code, message } = decode('RpcStatus', binary.body);
    assert.deepEqual([code, message], [3, 'truncated varint at byte 7']);
    const text = await post(port, Buffer.from('x'), { headers: json });
    assert.equal(text.status, 400);
    assert.equal(JSON.parse(text.body.toString()).message, 'truncated varint at byte 7');
  });

  test('Busy is 503 with Retry-After in whole seconds, at least 1, and 429 for a quota', async () => {
    for (const [retryAfter_ms, header] of [
      [10, '1'],
      [1_001, '2'],
    ] as const) {
      next = () => Promise.reject(new Busy('log_busy', 'later', retryAfter_ms));
      const reply = await post(port, Buffer.from('x'));
      assert.equal(reply.status, 503);
      assert.equal(reply.headers['retry-after'], header);
      assert.equal(decode('RpcStatus', reply.body).message, 'later');
    }
    next = () => Promise.reject(new Busy('quota', 'too much', 5_000));
    const reply = await post(port, Buffer.from('x'));
    assert.equal(reply.status, 429);
    assert.equal(reply.headers['retry-after'], '5');
  });

  test('anything else is 500, logged at error, and says nothing of our insides', async () => {
    next = () => Promise.reject(new TypeError('secret of ours'));
    const reply = await post(port, Buffer.from('x'));
    assert.equal(reply.status, 500);
    assert.ok(!reply.body.includes('secret'));
    assert.equal(errors.length, 1);
    assert.match(errors[0]!, /secret of ours/);
  });

  test('a body over the limit is 413 with a Status, by Content-Length, in chunks, or after decompression', async () => {
    const refusedBefore = admission.refused.get('too_large') ?? 0;
    const plain = await post(port, Buffer.alloc(8 * MIB + 1));
    assert.equal(plain.status, 413);
    assert.match(decode('RpcStatus', plain.body).message, /larger than 8388608 bytes/);
    for (const [coding, compress] of [
      ['gzip', gzipSync],
      ['zstd', zstdCompressSync],
    ] as const) {
      const reply = await post(port, compress(Buffer.alloc(40 * MIB)), { headers: { 'content-encoding': coding, ...json } });
      assert.equal(reply.status, 413);
      assert.equal(reply.headers['retry-after'], undefined);
      assert.match(JSON.parse(reply.body.toString()).message, /after decompression/);
    }
    assert.equal(admission.refused.get('too_large'), refusedBefore + 3);
    assert.equal(seen.length, 0);
  });

  test('damaged compression is 400', async () => {
    const reply = await post(port, Buffer.from('not gzip'), { headers: { 'content-encoding': 'gzip' } });
    assert.equal(reply.status, 400);
    assert.match(decode('RpcStatus', reply.body).message, /not valid gzip/);
  });

  test('unknown paths, methods, types and codings are told what would do', async () => {
    const body = Buffer.from('x');
    const path = await post(port, body, { path: '/v1/trace' });
    assert.equal(path.status, 404);
    assert.match(path.body.toString(), /\/v1\/traces/);
    const method = await post(port, Buffer.alloc(0), { method: 'GET' });
    assert.equal(method.status, 405);
    assert.equal(method.headers.allow, 'POST');
    const type = await post(port, body, { headers: { 'content-type': 'text/plain' } });
    assert.equal(type.status, 415);
    assert.match(type.body.toString(), /application\/x-protobuf or application\/json/);
    const coding = await post(port, body, { headers: { 'content-encoding': 'br' } });
    assert.equal(coding.status, 415);
    assert.match(decode('RpcStatus', coding.body).message, /gzip, zstd, deflate/);
    assert.equal(seen.length, 0);
  });

  test('a refused request keeps its connection, so that one bad sender does not cost a handshake each time', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<number | undefined>();
    agent.on('free', (socket: Socket) => ports.add(socket.localPort));
    try {
      next = () => Promise.reject(new Busy('log_busy', 'later', 1));
      for (let n = 0; n < 3; n++) assert.equal((await post(port, Buffer.alloc(100_000), { agent })).headers.connection, 'keep-alive');
      assert.equal((await post(port, Buffer.alloc(9 * MIB), { agent })).status, 413);
      next = async () => ({ rejected: 0, message: '' });
      assert.equal((await post(port, Buffer.from('x'), { agent })).headers.connection, 'keep-alive');
      assert.equal(ports.size, 1);
    } finally {
      agent.destroy();
    }
  });

  test('a connection older than connectionAgeMax_ms is closed with its next answer', async () => {
    const aged = await listen({ connectionAgeMax_ms: 50 });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      assert.equal((await post(aged.port, Buffer.from('x'), { agent })).headers.connection, 'keep-alive');
      let last = 'keep-alive';
      for (let end = Date.now() + 5_000; last === 'keep-alive' && Date.now() < end;)
        last = String((await post(aged.port, Buffer.from('x'), { agent })).headers.connection);
      assert.equal(last, 'close');
      assert.equal((await post(aged.port, Buffer.from('x'), { agent })).headers.connection, 'keep-alive');
    } finally {
      agent.destroy();
    }
  });

  test('the budget is held from the first byte to the answer; over it a request is Busy', async () => {
    const wait = Promise.withResolvers<Outcome>();
    next = () => wait.promise;
    const first = [1, 2, 3, 4].map(() => post(port, Buffer.alloc(7 * MIB)));
    for (const end = Date.now() + 5_000; seen.length < 4 && Date.now() < end;) await wallClock.sleep(2);
    assert.equal(admission.inFlight_bytes, 28 * MIB);
    const reply = await post(port, Buffer.alloc(5 * MIB));
    assert.equal(reply.status, 503);
    assert.equal(reply.headers['retry-after'], '2');
    wait.resolve({ rejected: 0, message: '' });
    for (const { status } of await Promise.all(first)) assert.equal(status, 200);
  });

  test('a sender that goes away in the middle of its body gives its budget back', async () => {
    const refusedBefore = admission.refused.get('sender_gone') ?? 0;
    const socket = connect(port, '127.0.0.1');
    socket.write('POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 1000000\r\n\r\nabc');
    for (const end = Date.now() + 5_000; admission.inFlight_bytes === 0 && Date.now() < end;) await wallClock.sleep(2);
    assert.equal(admission.inFlight_bytes, 3);
    socket.destroy();
    for (const end = Date.now() + 5_000; admission.inFlight_bytes > 0 && Date.now() < end;) await wallClock.sleep(2);
    assert.equal(admission.inFlight_bytes, 0);
    assert.equal(admission.refused.get('sender_gone'), refusedBefore + 1);
  });

  test('CORS headers are sent to allowed origins only, and a preflight is answered', async () => {
    const { port: open } = await listen({ cors: { allowedOrigins: ['https://shop.example', 'https://*.mesh.example'] } });
    for (const [origin, allowed] of [
      ['https://shop.example', true],
      ['https://a.mesh.example', true],
      ['https://evil.example', false],
      ['https://shop.example.evil', false],
    ] as const) {
      const preflight = await post(open, Buffer.alloc(0), {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,x-token' },
      });
      assert.equal(preflight.status, 204);
      assert.equal(preflight.headers['access-control-allow-origin'], allowed ? origin : undefined);
      assert.equal(preflight.headers['access-control-allow-headers'], allowed ? 'content-type,x-token' : undefined);
      const reply = await post(open, Buffer.from('x'), { headers: { origin } });
      assert.equal(reply.status, 200);
      assert.equal(reply.headers['access-control-allow-origin'], allowed ? origin : undefined);
    }
    assert.equal(
      (await post(port, Buffer.from('x'), { headers: { origin: 'https://shop.example' } })).headers['access-control-allow-origin'],
      undefined,
    );
  });

  test('drain() answers what is under way, closes connections, and cuts what is left after its deadline', async () => {
    const draining = await listen();
    const agent = new Agent({ keepAlive: true });
    const wait = Promise.withResolvers<Outcome>();
    next = () => wait.promise;
    const underWay = post(draining.port, Buffer.from('x'), { agent });
    for (const end = Date.now() + 5_000; seen.length < 1 && Date.now() < end;) await wallClock.sleep(2);
    const drained = draining.drain(5_000);
    await assert.rejects(post(draining.port, Buffer.from('x')), /ECONNREFUSED/);
    wait.resolve({ rejected: 0, message: '' });
    const reply = await underWay;
    assert.deepEqual([reply.status, reply.headers.connection], [200, 'close']);
    await drained;

    const stuck = await listen();
    const never = Promise.withResolvers<Outcome>();
    next = () => never.promise;
    const cut = assert.rejects(post(stuck.port, Buffer.from('x')), /hang up|ECONNRESET/);
    for (const end = Date.now() + 5_000; seen.length < 2 && Date.now() < end;) await wallClock.sleep(2);
    await stuck.drain(20);
    await cut;
    never.resolve({ rejected: 0, message: '' });
    agent.destroy();
  });

  test('a port in use is an OperatorError that names port and setting', async () => {
    await assert.rejects(listenHttp({ ...settings, port }, receive, admission, log, wallClock), (error) => {
      assert.ok(error instanceof OperatorError);
      assert.match(error.message, new RegExp(`port ${port} on 127.0.0.1 is in use`));
      assert.match(error.hint, /receivers\.otlp\.protocols\.http\.endpoint/);
      return true;
    });
  });
});
