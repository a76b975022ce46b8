import { readFileSync } from 'node:fs';
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import {
  Client,
  compressionAlgorithms,
  credentials,
  type connectivityState,
  type ChannelCredentials,
  type Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import type { Signal } from '../../pipelines/otlp/walk.ts';

/** Real senders over real sockets: node's HTTP client and grpc-js's own. */
export interface HttpReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface PostOptions {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly agent?: Agent;
  readonly tls?: { readonly ca: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
}

/** One HTTP request; POST /v1/traces with protobuf unless told otherwise. */
export function post(port: number, body: Buffer, options: PostOptions = {}): Promise<HttpReply> {
  return new Promise((resolve, reject) => {
    const send = options.tls === undefined ? httpRequest : httpsRequest;
    const request = send(
      {
        host: '127.0.0.1',
        port,
        path: options.path ?? '/v1/traces',
        method: options.method ?? 'POST',
        headers: { 'content-type': 'application/x-protobuf', 'content-length': body.length, ...options.headers },
        ...options.tls,
        ...(options.agent === undefined ? {} : { agent: options.agent }),
      },
      (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }));
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

const services: Readonly<Record<Signal, string>> = {
  traces: 'trace.v1.TraceService',
  metrics: 'metrics.v1.MetricsService',
  logs: 'logs.v1.LogsService',
};
const same = (bytes: Buffer): Buffer => bytes;

/** An OTLP/gRPC sender: one connection of its own. `export` resolves with the response's bytes and rejects with a ServiceError. */
export class GrpcSender {
  private readonly client: Client;

  constructor(port: number, options: { gzip?: boolean; credentials?: ChannelCredentials } = {}) {
    this.client = new Client(`127.0.0.1:${port}`, options.credentials ?? credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_send_message_length': -1,
      ...(options.gzip === true ? { 'grpc.default_compression_algorithm': compressionAlgorithms.gzip } : {}),
      // The certificate's name: TLS knows no server name that is an address.
      ...(options.credentials === undefined ? {} : { 'grpc.ssl_target_name_override': 'localhost' }),
    });
  }

  export(signal: Signal, body: Buffer, deadline_ms = 10_000): Promise<Buffer> {
    const path = `/opentelemetry.proto.collector.${services[signal]}/Export`;
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(path, same, same, body, { deadline: Date.now() + deadline_ms }, (error, response) => {
        if (error === null) resolve(response ?? Buffer.alloc(0));
        else reject(error);
      });
    });
  }

  /** A connectivityState of grpc-js. */
  connectivityState(): connectivityState {
    return this.client.getChannel().getConnectivityState(false);
  }

  close(): void {
    this.client.close();
  }
}

/** The google.rpc.Status bytes in the trailers of a call that failed. */
export function statusDetails(error: unknown): Buffer {
  const { metadata } = error as ServiceError & { metadata: Metadata };
  const [details] = metadata.get('grpc-status-details-bin');
  if (!Buffer.isBuffer(details)) throw new Error('no grpc-status-details-bin');
  return details;
}

/** A request that a real Envoy sent: test/fixtures/envoy/NAME.bin. */
export function envoyFixture(name: string): Buffer {
  return readFileSync(new URL(`../fixtures/envoy/${name}.bin`, import.meta.url));
}
