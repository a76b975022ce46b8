import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { connectivityState, status, type ServiceError } from '@grpc/grpc-js';
import { pino } from 'pino';
import { wallClock } from '../../pipelines/base/clock.ts';
import { Busy, OperatorError, Reject } from '../../pipelines/base/errors.ts';
import { Admission } from '../../pipelines/receive/admission.ts';
import { grpcDefaults, listenGrpc, type GrpcSettings } from '../../pipelines/receive/grpc.ts';
import type { Listener, Outcome, Receive } from '../../pipelines/receive/receive.ts';
import { decode } from '../kit/proto.ts';
import { GrpcSender, statusDetails } from '../kit/senders.ts';

const MIB = 1024 * 1024;
const errors: string[] = [];
const log = pino({ level: 'error' }, { write: (line: string) => errors.push(line) });
const admission = new Admission({ inFlight_bytes_max: 32 * MIB, retryAfter_ms: 1_500 });
const listeners: Listener[] = [];
const senders: GrpcSender[] = [];
const settings: GrpcSettings = {
  ...grpcDefaults,
  host: '127.0.0.1',
  port: 0,
  setting: 'receivers.otlp.protocols.grpc.endpoint',
  request_bytes_max: 8 * MIB,
};

let seen: { signal: string; body: Buffer }[] = [];
let next: () => Promise<Outcome> = async () => ({ rejected: 0, message: '' });
const receive: Receive = async (signal, body) => {
  seen.push({ signal, body: Buffer.from(body) });
  return next();
};
async function listen(own: Partial<GrpcSettings> = {}): Promise<Listener> {
  const listener = await listenGrpc({ ...settings, ...own }, receive, admission, log);
  listeners.push(listener);
  return listener;
}
function sender(port: number, options: ConstructorParameters<typeof GrpcSender>[1] = {}): GrpcSender {
  const made = new GrpcSender(port, options);
  senders.push(made);
  return made;
}
async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 5_000; !condition() && Date.now() < end;) await wallClock.sleep(2);
  assert.ok(condition());
}
const { port } = await listen();
const plain = sender(port);
const gzip = sender(port, { gzip: true });

// Hooks at the top of a file would run for every file of the process.
describe('OTLP over gRPC', () => {
  beforeEach(() => {
    seen = [];
    next = async () => ({ rejected: 0, message: '' });
    errors.length = 0;
  });
  after(async () => {
    assert.equal(admission.inFlight_bytes, 0);
    assert.equal(admission.inFlightRequests, 0);
    for (const one of senders) one.close();
    await Promise.all(listeners.map((listener) => listener.drain(0)));
  });

  test('the handler gets the message as bytes, plain and gzipped, by signal', async () => {
    const body = Buffer.alloc(300_000, 'span');
    for (const signal of ['traces', 'metrics', 'logs'] as const) {
      for (const one of [plain, gzip]) {
        assert.deepEqual(decode('ExportResponse', await one.export(signal, body)), {});
        const got = seen.pop()!;
        assert.equal(got.signal, signal);
        assert.ok(got.body.equals(body));
      }
    }
  });

  test('partial success carries count and message', async () => {
    next = async () => ({ rejected: 2, message: 'two of them' });
    assert.deepEqual(decode('ExportResponse', await plain.export('logs', Buffer.from('x'))), {
      partialSuccess: { rejected: '2', errorMessage: 'two of them' },
    });
  });

  test('Reject is INVALID_ARGUMENT with a Status in the trailers', async () => {
    next = () => Promise.reject(new Reject('malformed', 'truncated varint at byte 7'));
    await assert.rejects(plain.export('traces', Buffer.from('x')), (error: unknown) => {
      assert.equal((error as ServiceError).code, status.INVALID_ARGUMENT);
      const { code, message } = decode('RpcStatus', statusDetails(error));
      assert.deepEqual([code, message], [status.INVALID_ARGUMENT, 'truncated varint at byte 7']);
      return true;
    });
  });

  /** RetryInfo { Duration retry_delay = 1 }, Duration { int64 seconds = 1; int32 nanos = 2 }, by hand. */
  function retryDelay_ms(error: unknown): number {
    const { code, details } = decode('RpcStatus', statusDetails(error));
    assert.equal(code, status.UNAVAILABLE);
    assert.equal(details.length, 1);
    assert.equal(details[0].typeUrl, 'type.googleapis.com/google.rpc.RetryInfo');
    // Read with a message of the same wire shape: { 1: message { 1: varint, 2: varint } } = LogRecord has none, so walk it.
    const value: Buffer = details[0].value;
    assert.equal(value[0], 0x0a);
    let at = 2;
    let total = 0;
    while (at < value.length) {
      const field = value[at++]! >>> 3;
      let number = 0;
      let scale = 1;
      for (;;) {
        const byte = value[at++]!;
        number += (byte & 0x7f) * scale;
        scale *= 128;
        if (byte < 0x80) break;
      }
      total += field === 1 ? number * 1_000 : number / 1_000_000;
    }
    return total;
  }

  test('Busy is UNAVAILABLE with RetryInfo', async () => {
    next = () => Promise.reject(new Busy('log_busy', 'later', 2_500));
    await assert.rejects(plain.export('traces', Buffer.from('x')), (error: unknown) => {
      assert.equal((error as ServiceError).code, status.UNAVAILABLE);
      assert.equal(retryDelay_ms(error), 2_500);
      return true;
    });
  });

  test('anything else is INTERNAL, logged at error, and says nothing of our insides', async () => {
    next = () => Promise.reject(new TypeError('secret of ours'));
    await assert.rejects(plain.export('traces', Buffer.from('x')), (error: unknown) => {
      assert.equal((error as ServiceError).code, status.INTERNAL);
      assert.ok(!(error as Error).message.includes('secret'));
      return true;
    });
    assert.equal(errors.length, 1);
    assert.match(errors[0]!, /secret of ours/);
  });

  test('a message over the limit is RESOURCE_EXHAUSTED, plain or after decompression, and never reaches the handler', async () => {
    assert.equal((await plain.export('traces', Buffer.alloc(8 * MIB))).length, 0);
    seen = [];
    for (const [one, size] of [
      [plain, 8 * MIB + 1],
      [gzip, 8 * MIB + 1],
      [gzip, 40 * MIB],
    ] as const) {
      await assert.rejects(
        one.export('traces', Buffer.alloc(size)),
        (error: unknown) => (error as ServiceError).code === status.RESOURCE_EXHAUSTED,
      );
    }
    assert.equal(seen.length, 0);
    assert.deepEqual(decode('ExportResponse', await gzip.export('traces', Buffer.from('x'))), {});
  });

  test('over the budget a call is refused, at its headers once the budget is used up', async () => {
    const wait = Promise.withResolvers<Outcome>();
    next = () => wait.promise;
    const held = [1, 2, 3, 4].map(() => plain.export('traces', Buffer.alloc(8 * MIB)));
    await until(() => seen.length === 4);
    assert.equal(admission.inFlight_bytes, 32 * MIB);
    const requests = admission.requests;
    await assert.rejects(plain.export('traces', Buffer.from('x')), (error: unknown) => retryDelay_ms(error) === 1_500);
    assert.equal(admission.requests, requests);
    wait.resolve({ rejected: 0, message: '' });
    await Promise.all(held);
    assert.equal(admission.inFlight_bytes, 0);
  });

  test('a connection older than connectionAgeMax_ms is told to go; calls go on over a new one without an error', async () => {
    const aged = await listen({ connectionAgeMax_ms: 60, connectionAgeGrace_ms: 1_000 });
    const one = sender(aged.port);
    const states = new Set<connectivityState>();
    for (const end = Date.now() + 300; Date.now() < end;) {
      await one.export('traces', Buffer.from('x'));
      states.add(one.connectivityState());
      await wallClock.sleep(5);
    }
    await until(() => one.connectivityState() !== connectivityState.READY);
  });

  test('drain() lets calls under way end, takes no more, and cuts what is left after its deadline', async () => {
    const draining = await listen();
    const one = sender(draining.port);
    const wait = Promise.withResolvers<Outcome>();
    next = () => wait.promise;
    const underWay = one.export('traces', Buffer.from('x'));
    await until(() => seen.length === 1);
    const drained = draining.drain(5_000);
    await assert.rejects(
      sender(draining.port).export('traces', Buffer.from('x')),
      (error: unknown) => (error as ServiceError).code === status.UNAVAILABLE,
    );
    wait.resolve({ rejected: 0, message: '' });
    await underWay;
    await drained;

    const stuck = await listen();
    const never = Promise.withResolvers<Outcome>();
    next = () => never.promise;
    const cut = assert.rejects(sender(stuck.port).export('traces', Buffer.from('x')));
    await until(() => seen.length === 2);
    await stuck.drain(20);
    await cut;
    never.resolve({ rejected: 0, message: '' });
  });

  test('a port in use is an OperatorError that names port and setting', async () => {
    await assert.rejects(listenGrpc({ ...settings, port }, receive, admission, log), (error) => {
      assert.ok(error instanceof OperatorError);
      assert.match(error.message, new RegExp(`port ${port} on 127.0.0.1 is in use`));
      assert.match(error.hint, /receivers\.otlp\.protocols\.grpc\.endpoint/);
      return true;
    });
  });
});
