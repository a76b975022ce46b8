import {
  Client,
  type ClientOptions,
  type ClientUnaryCall,
  Metadata,
  type ServiceError,
  compressionAlgorithms,
  credentials,
  status,
} from '@grpc/grpc-js';
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { gzipSync } from 'node:zlib';
import { readPartialSuccess, readRetryDelay_ms } from './generate-replies.ts';

/** Where requests go, from the command line's `--endpoint`. */
export interface Target {
  readonly protocol: 'grpc' | 'http' | 'https';
  /** host:port for gRPC, a whole URL for HTTP. */
  readonly address: string;
}

/** What became of one request. */
type Outcome =
  | { readonly kind: 'acknowledged'; readonly rejected: number; readonly message: string }
  | {
      readonly kind: 'retry';
      /** What the receiver asked for; undefined where it leaves it to us. */ readonly after_ms: number | undefined;
      readonly message: string;
    }
  | { readonly kind: 'refused'; readonly message: string };

export interface Sender {
  send(bytes: Buffer): Promise<Outcome>;
  /** Leaves what is under way: its outcome comes, but nobody should count on it. */
  close(): void;
}

export interface SenderSettings {
  readonly target: Target;
  readonly gzip: boolean;
  readonly headers: ReadonlyMap<string, string>;
}

const REQUEST_TIMEOUT_MS = 30_000;
const EXPORT = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';
/** OTLP specification, OTLP/gRPC Response: these may be sent again. RESOURCE_EXHAUSTED only where the server says when. */
const RETRYABLE: ReadonlySet<number> = new Set([
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.ABORTED,
  status.OUT_OF_RANGE,
  status.UNAVAILABLE,
  status.DATA_LOSS,
]);
/** OTLP specification, OTLP/HTTP Response: Retryable Response Codes. */
const RETRYABLE_HTTP: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** One connection of its own. */
export function createSender(settings: SenderSettings): Sender {
  return settings.target.protocol === 'grpc' ? new GrpcSender(settings) : new HttpSender(settings, settings.target.protocol);
}

class GrpcSender implements Sender {
  private readonly client: Client;
  private readonly metadata = new Metadata();
  private readonly calls = new Set<ClientUnaryCall>();

  constructor({ target, gzip, headers }: SenderSettings) {
    const options: ClientOptions = {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_send_message_length': -1,
      // Retries are counted here, so the library must not make its own; and after a refusal it should not sit out two minutes.
      'grpc.enable_retries': 0,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2000,
      ...(gzip ? { 'grpc.default_compression_algorithm': compressionAlgorithms.gzip } : {}),
    };
    this.client = new Client(target.address, credentials.createInsecure(), options);
    for (const [name, value] of headers) this.metadata.set(name.toLowerCase(), value);
  }

  send(bytes: Buffer): Promise<Outcome> {
    return new Promise((resolve) => {
      const options = { deadline: Date.now() + REQUEST_TIMEOUT_MS };
      const call = this.client.makeUnaryRequest(EXPORT, asIs, asIs, bytes, this.metadata, options, (error, reply) => {
        this.calls.delete(call);
        if (error === null) resolve({ kind: 'acknowledged', ...readPartialSuccess(reply ?? NOTHING) });
        else resolve(ofServiceError(error));
      });
      this.calls.add(call);
    });
  }

  close(): void {
    // The library lets calls under way go on, which would keep the process until their deadline.
    for (const call of this.calls) call.cancel();
    this.client.close();
  }
}

const NOTHING = Buffer.alloc(0);
const asIs = (bytes: Buffer): Buffer => bytes;

function ofServiceError(error: ServiceError): Outcome {
  const details = error.metadata.get('grpc-status-details-bin')[0];
  const after_ms = Buffer.isBuffer(details) ? readRetryDelay_ms(details) : undefined;
  const retry = RETRYABLE.has(error.code) || (error.code === status.RESOURCE_EXHAUSTED && after_ms !== undefined);
  const message = `${status[error.code] ?? error.code}: ${error.details}`;
  return retry ? { kind: 'retry', after_ms, message } : { kind: 'refused', message };
}

class HttpSender implements Sender {
  private readonly url: URL;
  private readonly agent: HttpAgent;
  private readonly gzip: boolean;
  private readonly headers: Record<string, string>;
  private readonly request: typeof httpRequest;

  constructor({ target, gzip, headers }: SenderSettings, protocol: 'http' | 'https') {
    this.url = new URL(target.address);
    this.request = protocol === 'https' ? httpsRequest : httpRequest;
    // HTTP/1.1 carries one request at a time: a "connection" is an agent that opens as many sockets as it has requests in flight.
    this.agent = protocol === 'https' ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true });
    this.gzip = gzip;
    this.headers = {
      ...Object.fromEntries(headers),
      'content-type': 'application/x-protobuf',
      ...(gzip ? { 'content-encoding': 'gzip' } : {}),
    };
  }

  send(bytes: Buffer): Promise<Outcome> {
    const body = this.gzip ? gzipSync(bytes, { level: 1 }) : bytes;
    const headers = { ...this.headers, 'content-length': String(body.length) };
    return new Promise((resolve) => {
      const failed = (error: Error): void => resolve({ kind: 'retry', after_ms: undefined, message: messageOf(error) });
      const options = { method: 'POST', agent: this.agent, headers, timeout: REQUEST_TIMEOUT_MS };
      const request = this.request(this.url, options, (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('end', () => resolve(ofResponse(response, Buffer.concat(pieces))));
        response.on('error', failed);
      });
      request.on('timeout', () => request.destroy(new Error(`no answer within ${REQUEST_TIMEOUT_MS / 1000} s`)));
      request.on('error', failed);
      request.end(body);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

function ofResponse(response: IncomingMessage, body: Buffer): Outcome {
  const code = response.statusCode ?? 0;
  if (code >= 200 && code < 300) return { kind: 'acknowledged', ...readPartialSuccess(body) };
  const text = body
    .toString('utf8', 0, 200)
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim();
  const message = `HTTP ${code}${text === '' ? '' : `: ${text}`}`;
  if (!RETRYABLE_HTTP.has(code)) return { kind: 'refused', message };
  const seconds = Number(response.headers['retry-after'] ?? Number.NaN);
  return { kind: 'retry', after_ms: Number.isFinite(seconds) ? seconds * 1000 : undefined, message };
}

/** A host with several addresses fails with an AggregateError, whose own message is empty. */
function messageOf(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map((inner: Error) => inner.message).join('; ');
  return error.message;
}
