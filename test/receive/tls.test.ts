import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { credentials } from '@grpc/grpc-js';
import { pino } from 'pino';
import { wallClock } from '../../pipelines/base/clock.ts';
import { OperatorError } from '../../pipelines/base/errors.ts';
import { Admission, admissionDefaults } from '../../pipelines/receive/admission.ts';
import { grpcDefaults, listenGrpc } from '../../pipelines/receive/grpc.ts';
import { httpDefaults, listenHttp } from '../../pipelines/receive/http.ts';
import type { Listener, Receive } from '../../pipelines/receive/receive.ts';
import { GrpcSender, post } from '../kit/senders.ts';

// test/fixtures/tls: a CA whose key is thrown away, and what it issued for 127.0.0.1 until 2126.
const path = (name: string): string => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
const ca = readFileSync(path('ca.pem'));
const cert = readFileSync(path('client.pem'));
const key = readFileSync(path('client.key'));
const tls = { certFile: path('server.pem'), keyFile: path('server.key') };
const mutual = { ...tls, clientCaFile: path('ca.pem') };

const log = pino({ level: 'silent' });
const admission = new Admission(admissionDefaults);
const receive: Receive = async () => ({ rejected: 0, message: '' });
const endpoint = { host: '127.0.0.1', port: 0, setting: 'receivers.otlp.protocols.x' };
const listeners: Listener[] = [];
async function keep(listener: Promise<Listener>): Promise<number> {
  const made = await listener;
  listeners.push(made);
  return made.port;
}
// Hooks at the top of a file would run for every file of the process.
describe('TLS', () => {
  after(() => Promise.all(listeners.map((listener) => listener.drain(0))));

  test('HTTP serves TLS, and with client_ca_file asks the sender for a certificate', async () => {
    const open = await keep(listenHttp({ ...httpDefaults, ...endpoint, tls }, receive, admission, log, wallClock));
    assert.equal((await post(open, Buffer.from('x'), { tls: { ca } })).status, 200);
    const closed = await keep(listenHttp({ ...httpDefaults, ...endpoint, tls: mutual }, receive, admission, log, wallClock));
    assert.equal((await post(closed, Buffer.from('x'), { tls: { ca, cert, key } })).status, 200);
    await assert.rejects(post(closed, Buffer.from('x'), { tls: { ca } }));
  });

  test('gRPC serves TLS, and with client_ca_file asks the sender for a certificate', async () => {
    const send = async (port: number, own: ReturnType<typeof credentials.createSsl>): Promise<void> => {
      const sender = new GrpcSender(port, { credentials: own });
      try {
        await sender.export('traces', Buffer.from('x'), 3_000);
      } finally {
        sender.close();
      }
    };
    const open = await keep(listenGrpc({ ...grpcDefaults, ...endpoint, tls }, receive, admission, log));
    await send(open, credentials.createSsl(ca));
    const closed = await keep(listenGrpc({ ...grpcDefaults, ...endpoint, tls: mutual }, receive, admission, log));
    await send(closed, credentials.createSsl(ca, key, cert));
    await assert.rejects(send(closed, credentials.createSsl(ca)));
  });

  test('a sender that speaks no TLS, or breaks off, does not harm the server', async () => {
    const port = await keep(listenGrpc({ ...grpcDefaults, ...endpoint, tls }, receive, admission, log));
    for (const words of ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '\u0016\u0003\u0001']) {
      await new Promise<void>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => socket.write(words, () => socket.resetAndDestroy()));
        socket.on('error', () => {});
        socket.once('close', () => resolve());
      });
    }
    const sender = new GrpcSender(port, { credentials: credentials.createSsl(ca) });
    await sender.export('logs', Buffer.from('x'));
    sender.close();
  });

  test('a TLS file that is missing or no PEM is an OperatorError that names the setting', async () => {
    const missing = { ...tls, keyFile: path('no-such.key') };
    const wrong = { ...tls, keyFile: path('client.key') };
    for (const listen of [
      (own: typeof tls) => listenGrpc({ ...grpcDefaults, ...endpoint, tls: own }, receive, admission, log),
      (own: typeof tls) => listenHttp({ ...httpDefaults, ...endpoint, tls: own }, receive, admission, log, wallClock),
    ]) {
      await assert.rejects(listen(missing), (error) => error instanceof OperatorError && /tls\.key_file: cannot read/.test(error.message));
      await assert.rejects(
        listen(wrong),
        (error) => error instanceof OperatorError && /receivers\.otlp\.protocols\.x\.tls/.test(error.message),
      );
    }
  });
});
