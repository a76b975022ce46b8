import { createServer, type Server as SocketServer, type Socket } from 'node:net';
import {
  logVerbosity,
  Metadata,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  setLogVerbosity,
  status,
  type sendUnaryData,
  type ServerInterceptor,
  type ServerUnaryCall,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { Busy, Reject } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { exportResponse, rpcStatus } from '../otlp/replies.ts';
import type { Signal } from '../otlp/walk.ts';
import type { Admission, Lease } from './admission.ts';
import { cannotListen } from './listen-error.ts';
import { UNKNOWN_CODING, inflate, rememberCoding, takeCoding } from './grpc-coding.ts';
import { TOO_LARGE, type Endpoint, type Listener, type Receive } from './receive.ts';
import { readTlsFiles, type TlsSettings } from './tls.ts';

export interface GrpcSettings extends Endpoint {
  /** A request after decompression: grpc-js stops inflating there and answers RESOURCE_EXHAUSTED, which without RetryInfo is never retried. */
  readonly request_bytes_max: number;
  /** A connection is told to go (GOAWAY) after this, ±10 %, so that long connections spread over new replicas. */
  readonly connectionAgeMax_ms: number;
  /** Calls under way may end for this long after the GOAWAY. */
  readonly connectionAgeGrace_ms: number;
  /** A silent connection is pinged after this … */
  readonly keepaliveTime_ms: number;
  /** … and closed when no answer came for this. */
  readonly keepaliveTimeout_ms: number;
  readonly concurrentStreams_max: number;
  readonly tls?: TlsSettings;
}

/** What nobody has to set. */
export const grpcDefaults = {
  request_bytes_max: 64 * 1024 * 1024,
  connectionAgeMax_ms: 180_000,
  connectionAgeGrace_ms: 30_000,
  keepaliveTime_ms: 60_000,
  keepaliveTimeout_ms: 20_000,
  concurrentStreams_max: 256,
} as const;

type Answer = sendUnaryData<Buffer>;

const PATHS: readonly (readonly [signal: Signal, path: string])[] = [
  ['traces', '/opentelemetry.proto.collector.trace.v1.TraceService/Export'],
  ['metrics', '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'],
  ['logs', '/opentelemetry.proto.collector.logs.v1.LogsService/Export'],
];
const STATUS_DETAILS = 'grpc-status-details-bin';

/**
 * OTLP/gRPC: the three Export calls, messages as bytes. gzip, deflate and zstd are inflated by us, see grpc-coding.ts. What grpc-js
 * refuses by itself (a message that is too large as it comes) never reaches us and is not counted in `admission`.
 * @throws OperatorError when the port cannot be had or a TLS file not read
 */
export async function listenGrpc(settings: GrpcSettings, receive: Receive, admission: Admission, log: Log): Promise<Listener> {
  const credentials = await serverCredentials(settings);
  // What it would print comes to us as errors too.
  setLogVerbosity(logVerbosity.NONE);
  const server = new Server({
    'grpc.max_receive_message_length': settings.request_bytes_max,
    'grpc.max_connection_age_ms': settings.connectionAgeMax_ms,
    'grpc.max_connection_age_grace_ms': settings.connectionAgeGrace_ms,
    'grpc.keepalive_time_ms': settings.keepaliveTime_ms,
    'grpc.keepalive_timeout_ms': settings.keepaliveTimeout_ms,
    'grpc.max_concurrent_streams': settings.concurrentStreams_max,
    // A registry of every connection and call for a debugger that we do not offer.
    'grpc.enable_channelz': 0,
    interceptors: [intercept(admission)],
  });
  for (const [signal, path] of PATHS) {
    const definition: ServiceDefinition = {
      Export: {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      },
    };
    server.addService(definition, {
      Export: (call: ServerUnaryCall<Buffer, Buffer>, answer: Answer): void => {
        const inflated = (lease: Lease): Promise<Buffer> => inflate(call.request, call.metadata, settings.request_bytes_max, lease);
        void handle(signal, inflated, call.request.length, answer, receive, admission, log);
      },
    });
  }
  return bind(server, settings, credentials);
}

const same = (bytes: Buffer): Buffer => bytes;

async function handle(
  signal: Signal,
  inflated: (lease: Lease) => Promise<Buffer>,
  wire_bytes: number,
  answer: Answer,
  receive: Receive,
  admission: Admission,
  log: Log,
): Promise<void> {
  let lease: Lease | undefined;
  try {
    lease = admission.begin();
    lease.take(wire_bytes);
    admission.received_bytes += wire_bytes;
    const body = await inflated(lease);
    const outcome = await receive(signal, body, 'protobuf');
    answer(null, exportResponse(outcome.rejected, outcome.message, 'protobuf', signal));
  } catch (error) {
    answer(failure(error, admission, log));
  } finally {
    lease?.end();
  }
}

function codeOf(reason: string): status {
  if (reason === TOO_LARGE) return status.RESOURCE_EXHAUSTED;
  return reason === UNKNOWN_CODING ? status.UNIMPLEMENTED : status.INVALID_ARGUMENT;
}

/** The trailers of a call that failed (OTLP specification, OTLP/gRPC Response, Failures). */
function failure(error: unknown, admission: Admission, log: Log): { code: status; details: string; metadata: Metadata } {
  const metadata = new Metadata();
  let code = status.INTERNAL;
  let details = 'internal error';
  let retryAfter_ms: number | undefined;
  if (error instanceof Reject) {
    code = codeOf(error.reason);
    details = error.message;
    admission.refuse(error.reason);
  } else if (error instanceof Busy) {
    code = status.UNAVAILABLE;
    details = error.message;
    retryAfter_ms = error.retryAfter_ms;
    admission.refuse(error.reason);
  } else {
    // Senders do not retry INTERNAL: this request is lost.
    admission.refuse('internal');
    log.error({ err: error }, 'request lost: internal error');
  }
  metadata.set(STATUS_DETAILS, rpcStatus(code, details, 'protobuf', retryAfter_ms));
  return { code, details, metadata };
}

/** Refuses a call by its headers when the budget is used up, so that its message is not even read; keeps the coding of the others for `inflate`. */
function intercept(admission: Admission): ServerInterceptor {
  return (_method, call) => {
    const coding = takeCoding(call);
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, pass) => {
            const busy = admission.whyBusy();
            if (busy === undefined) {
              rememberCoding(metadata, coding);
              pass(metadata);
              return;
            }
            admission.refuse(busy.reason);
            const trailers = new Metadata();
            trailers.set(STATUS_DETAILS, rpcStatus(status.UNAVAILABLE, busy.message, 'protobuf', busy.retryAfter_ms));
            call.sendStatus({ code: status.UNAVAILABLE, details: busy.message, metadata: trailers });
          },
        }),
    });
  };
}

async function serverCredentials(settings: GrpcSettings): Promise<ServerCredentials> {
  if (settings.tls === undefined) return ServerCredentials.createInsecure();
  const { cert, key, clientCa } = await readTlsFiles(settings.tls, settings.setting);
  return ServerCredentials.createSsl(clientCa ?? null, [{ cert_chain: cert, private_key: key }], clientCa !== undefined);
}

/**
 * Listens with a socket server of our own and hands its connections to grpc-js: bound by grpc-js itself, they could not be
 * cut at the end of a drain (1.14: forceShutdown() forgets the connections of a server without channelz).
 */
async function bind(server: Server, settings: GrpcSettings, credentials: ServerCredentials): Promise<Listener> {
  const injector = server.createConnectionInjector(credentials);
  const sockets = new Set<Socket>();
  const doors = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // A connection that breaks during its TLS handshake has no session yet that would hear of it.
    socket.on('error', () => socket.destroy());
    injector.injectConnection(socket);
  });
  await new Promise<void>((resolve, reject) => {
    doors.once('error', (error) => {
      server.forceShutdown();
      reject(cannotListen('OTLP gRPC', settings, error));
    });
    doors.listen(settings.port, settings.host, resolve);
  });
  const address = doors.address();
  if (address === null || typeof address === 'string') throw new Error('a gRPC server without a port');
  return { port: address.port, drain: (deadline_ms) => drain(server, doors, sockets, deadline_ms) };
}

/** GOAWAY to every connection; what is still under way after `deadline_ms` is cut. */
async function drain(server: Server, doors: SocketServer, sockets: ReadonlySet<Socket>, deadline_ms: number): Promise<void> {
  const closed = new Promise<void>((resolve) => doors.close(() => resolve()));
  const timer = setTimeout(() => {
    for (const socket of sockets) socket.destroy();
  }, deadline_ms);
  await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  await closed;
  clearTimeout(timer);
}
