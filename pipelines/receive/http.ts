import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { Busy, Reject } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { exportResponse, rpcStatus, type Encoding } from '../otlp/replies.ts';
import type { Signal } from '../otlp/walk.ts';
import type { Admission, Lease } from './admission.ts';
import { discardBody, readBody } from './body.ts';
import { answerCors, type CorsSettings } from './cors.ts';
import { contentEncoding, decompress } from './decompress.ts';
import { cannotListen } from './listen-error.ts';
import { QUOTA, TOO_LARGE, type Endpoint, type Listener, type Receive } from './receive.ts';
import { readTlsFiles, type TlsSettings } from './tls.ts';

export interface HttpSettings extends Endpoint {
  /** A body, before and after decompression. More is answered 413. */
  readonly request_bytes_max: number;
  /** Headers must be complete after this … */
  readonly headersTimeout_ms: number;
  /** … and the whole request after this. */
  readonly requestTimeout_ms: number;
  /** An idle connection is kept for this. */
  readonly keepAlive_ms: number;
  /** The first answer after this, ±10 %, closes its connection, so that long connections spread over new replicas. */
  readonly connectionAgeMax_ms: number;
  readonly cors?: CorsSettings;
  readonly tls?: TlsSettings;
}

/** What nobody has to set. */
export const httpDefaults = {
  request_bytes_max: 64 * 1024 * 1024,
  headersTimeout_ms: 10_000,
  requestTimeout_ms: 60_000,
  keepAlive_ms: 75_000,
  connectionAgeMax_ms: 180_000,
} as const;

const SIGNALS: Readonly<Record<string, Signal>> = { '/v1/traces': 'traces', '/v1/metrics': 'metrics', '/v1/logs': 'logs' };
const TYPES = { protobuf: 'application/x-protobuf', json: 'application/json' } as const;

/** The codes of google.rpc.Status that go with our answers (google/rpc/code.proto). */
const INVALID_ARGUMENT = 3;
const NOT_FOUND = 5;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const UNAVAILABLE = 14;

/** A request that is refused for what its headers say. */
class HttpRefusal extends Reject {
  readonly httpStatus: number;
  readonly code: number;
  constructor(httpStatus: number, code: number, reason: string, message: string) {
    super(reason, message);
    this.httpStatus = httpStatus;
    this.code = code;
  }
}

/**
 * OTLP/HTTP: POST /v1/traces, /v1/metrics, /v1/logs, in protobuf or JSON, plain or with gzip, deflate or zstd.
 * @throws OperatorError when the port cannot be had or a TLS file not read
 */
export async function listenHttp(
  settings: HttpSettings,
  receive: Receive,
  admission: Admission,
  log: Log,
  clock: Clock,
): Promise<Listener> {
  const server = await makeServer(settings);
  const intake = new HttpIntake(settings, receive, admission, log, clock);
  server.on('connection', (socket: Socket) => intake.connected(socket));
  server.on('secureConnection', (socket: Socket) => intake.connected(socket));
  server.on('request', (request: IncomingMessage, response: ServerResponse) => void intake.handle(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen('OTLP HTTP', settings, error)));
    server.listen(settings.port, settings.host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('an HTTP server without a port');
  return { port: address.port, drain: (deadline_ms) => intake.drain(server, deadline_ms) };
}

async function makeServer(settings: HttpSettings): Promise<Server> {
  const options = {
    headersTimeout: settings.headersTimeout_ms,
    requestTimeout: settings.requestTimeout_ms,
    keepAliveTimeout: settings.keepAlive_ms,
    // How often the two timeouts are looked after.
    connectionsCheckingInterval: Math.min(settings.headersTimeout_ms, settings.requestTimeout_ms, 5_000),
    noDelay: true,
  };
  if (settings.tls === undefined) return createServer(options);
  const { cert, key, clientCa } = await readTlsFiles(settings.tls, settings.setting);
  return createTlsServer({
    ...options,
    cert,
    key,
    ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
  });
}

class HttpIntake {
  private readonly settings: HttpSettings;
  private readonly receive: Receive;
  private readonly admission: Admission;
  private readonly log: Log;
  private readonly clock: Clock;
  /** When a connection is old, in ms since 1970. */
  private readonly oldAt = new WeakMap<Socket, number>();
  private draining = false;

  constructor(settings: HttpSettings, receive: Receive, admission: Admission, log: Log, clock: Clock) {
    this.settings = settings;
    this.receive = receive;
    this.admission = admission;
    this.log = log;
    this.clock = clock;
  }

  connected(socket: Socket): void {
    const spread = 0.9 + Math.random() * 0.2;
    this.oldAt.set(socket, this.clock.now_ms() + this.settings.connectionAgeMax_ms * spread);
  }

  /** Answers, whatever comes; never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A sender that goes away while we answer is told nothing; the promise below hears of it where it matters.
    response.on('error', () => {});
    if (answerCors(this.settings.cors, request, response)) return;
    let encoding: Encoding = 'json';
    let lease: Lease | undefined;
    try {
      const signal = SIGNALS[pathOf(request)];
      if (signal === undefined) throw new HttpRefusal(404, NOT_FOUND, 'path', `no such path: POST to ${Object.keys(SIGNALS).join(', ')}`);
      encoding = encodingOf(request);
      if (request.method !== 'POST') throw new HttpRefusal(405, UNIMPLEMENTED, 'method', `${request.method} is not allowed here: use POST`);
      const coding = contentEncoding(request.headers['content-encoding']);
      if (coding === undefined)
        throw new HttpRefusal(
          415,
          INVALID_ARGUMENT,
          'content_encoding',
          `content-encoding ${request.headers['content-encoding']} is not known: use gzip, zstd, deflate or none`,
        );
      lease = this.admission.begin();
      const wire = await readBody(request, this.settings.request_bytes_max, lease);
      this.admission.received_bytes += wire.length;
      const body = await decompress(wire, coding, this.settings.request_bytes_max, lease);
      if (body !== wire) lease.give(wire.length);
      const outcome = await this.receive(signal, body, encoding);
      this.answer(request, response, 200, encoding, exportResponse(outcome.rejected, outcome.message, encoding, signal));
    } catch (error) {
      // What the request held is free before the answer goes out, not when the sender has read it.
      lease?.end();
      await this.fail(request, response, encoding, error);
    } finally {
      lease?.end();
    }
  }

  async drain(server: Server, deadline_ms: number): Promise<void> {
    this.draining = true;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    const timer = setTimeout(() => server.closeAllConnections(), deadline_ms);
    await closed;
    clearTimeout(timer);
  }

  private async fail(request: IncomingMessage, response: ServerResponse, encoding: Encoding, error: unknown): Promise<void> {
    let httpStatus = 500;
    let code = INTERNAL;
    let message = 'internal error';
    let retryAfter_ms: number | undefined;
    if (error instanceof HttpRefusal) {
      ({ httpStatus, code, message } = error);
      if (httpStatus === 405) response.setHeader('allow', 'POST');
      if (httpStatus === 415) response.setHeader('accept-encoding', 'gzip, zstd, deflate');
      this.admission.refuse(error.reason);
    } else if (error instanceof Reject) {
      httpStatus = error.reason === TOO_LARGE ? 413 : 400;
      code = error.reason === TOO_LARGE ? RESOURCE_EXHAUSTED : INVALID_ARGUMENT;
      message = error.message;
      this.admission.refuse(error.reason);
    } else if (error instanceof Busy) {
      httpStatus = error.reason === QUOTA ? 429 : 503;
      code = UNAVAILABLE;
      message = error.message;
      retryAfter_ms = error.retryAfter_ms;
      response.setHeader('retry-after', Math.max(1, Math.ceil(retryAfter_ms / 1000)));
      this.admission.refuse(error.reason);
    } else {
      // Senders do not retry 500: this request is lost.
      this.admission.refuse('internal');
      this.log.error({ err: error }, 'request lost: internal error');
    }
    if (!(await discardBody(request, 2 * this.settings.request_bytes_max))) response.setHeader('connection', 'close');
    this.answer(request, response, httpStatus, encoding, rpcStatus(code, message, encoding, retryAfter_ms));
  }

  private answer(request: IncomingMessage, response: ServerResponse, httpStatus: number, encoding: Encoding, body: Buffer): void {
    const old = this.draining || this.clock.now_ms() >= (this.oldAt.get(request.socket) ?? Infinity);
    if (old) response.setHeader('connection', 'close');
    response.writeHead(httpStatus, { 'content-type': TYPES[encoding], 'content-length': body.length });
    response.end(body);
  }
}

function pathOf(request: IncomingMessage): string {
  const url = request.url ?? '/';
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

/** @throws HttpRefusal 415 */
function encodingOf(request: IncomingMessage): Encoding {
  const header = request.headers['content-type'] ?? '';
  const type = header.split(';', 1)[0]!.trim().toLowerCase();
  if (type === TYPES.protobuf) return 'protobuf';
  if (type === TYPES.json) return 'json';
  // A GET has no content type: it hears about its method first.
  if (request.method !== 'POST') return 'json';
  throw new HttpRefusal(
    415,
    INVALID_ARGUMENT,
    'content_type',
    `content-type ${header === '' ? 'is missing' : `${header} is not known`}: use ${TYPES.protobuf} or ${TYPES.json}`,
  );
}
