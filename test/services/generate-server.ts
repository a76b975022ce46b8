import { Metadata, Server, ServerCredentials, type ServiceError, type status } from '@grpc/grpc-js';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { decode, encode } from '../kit/proto.ts';

/** What the receiver does with a request: takes it, takes it in part, or says no. */
export type Verdict<Code = status> = 'ok' | { rejected: number } | { code: Code; retry_ms?: number };

export interface TestReceiver {
  readonly endpoint: string;
  /** Bodies of the requests that were taken, decompressed. */
  readonly taken: Buffer[];
  /** Every attempt: headers by lower-case name. */
  readonly attempts: Record<string, string>[];
  close(): Promise<void>;
}

/** A real OTLP/gRPC receiver of the test's own, over grpc-js. `verdict` is asked at each attempt (0, 1, 2 …). */
export async function grpcReceiver(verdict: (attempt: number) => Verdict | Promise<Verdict>): Promise<TestReceiver> {
  const taken: Buffer[] = [];
  const attempts: Record<string, string>[] = [];
  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  const same = (bytes: Buffer): Buffer => bytes;
  const answer = async (
    body: Buffer,
    metadata: Metadata,
    callback: (error: Partial<ServiceError> | null, reply?: Buffer) => void,
  ): Promise<void> => {
    const attempt = attempts.push(Object.fromEntries(Object.entries(metadata.getMap()).map(([key, value]) => [key, String(value)]))) - 1;
    const decided = await verdict(attempt);
    if (decided === 'ok') {
      taken.push(body);
      callback(null, Buffer.alloc(0));
    } else if ('rejected' in decided) {
      taken.push(body);
      callback(null, encode('ExportResponse', { partialSuccess: { rejected: decided.rejected, errorMessage: 'bad spans' } }));
    } else {
      const trailers = new Metadata();
      if (decided.retry_ms !== undefined) trailers.set('grpc-status-details-bin', retryInfo(decided.code, decided.retry_ms));
      callback({ code: decided.code, details: 'not now', metadata: trailers });
    }
  };
  server.addService(
    {
      Export: {
        path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
        requestStream: false,
        responseStream: false,
        requestDeserialize: same,
        requestSerialize: same,
        responseDeserialize: same,
        responseSerialize: same,
      },
    },
    {
      Export: (
        call: { request: Buffer; metadata: Metadata },
        callback: (error: Partial<ServiceError> | null, reply?: Buffer) => void,
      ): void => {
        void answer(call.request, call.metadata, callback);
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    endpoint: `127.0.0.1:${port}`,
    taken,
    attempts,
    close: async () => server.forceShutdown(),
  };
}

/** google.rpc.Status with a RetryInfo, as servers send it in `grpc-status-details-bin`. */
function retryInfo(code: number, retry_ms: number): Buffer {
  const nanos = retry_ms * 1e6;
  const varint: number[] = [];
  for (let rest = nanos; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) {
      varint.push(rest);
      break;
    }
    varint.push((rest % 128) | 0x80);
  }
  // RetryInfo { Duration retry_delay = 1 { int32 nanos = 2 } }
  const duration = Buffer.from([0x10, ...varint]);
  const info = Buffer.concat([Buffer.from([0x0a, duration.length]), duration]);
  return encode('RpcStatus', { code, message: 'not now', details: [{ typeUrl: 'type.googleapis.com/google.rpc.RetryInfo', value: info }] });
}

/** A real OTLP/HTTP receiver. A verdict's `code` is an HTTP status. */
export async function httpReceiver(verdict: (attempt: number) => Verdict<number>): Promise<TestReceiver> {
  const taken: Buffer[] = [];
  const attempts: Record<string, string>[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const attempt = attempts.push({ ...(request.headers as Record<string, string>), ':path': request.url ?? '' }) - 1;
      const decided = verdict(attempt);
      if (decided === 'ok' || 'rejected' in decided) {
        const body = Buffer.concat(pieces);
        taken.push(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body);
        const partial = decided === 'ok' ? {} : { partialSuccess: { rejected: decided.rejected, errorMessage: 'bad spans' } };
        response.setHeader('content-type', 'application/x-protobuf');
        response.end(encode('ExportResponse', partial));
        return;
      }
      response.statusCode = decided.code;
      if (decided.retry_ms !== undefined) response.setHeader('retry-after', String(decided.retry_ms / 1000));
      response.end('not now');
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    taken,
    attempts,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

export interface DecodedSpan {
  traceId: Buffer;
  spanId: Buffer;
  parentSpanId?: Buffer;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  status?: { code?: number };
  attributes: { key: string; value: { stringValue?: string } }[];
  service: string;
}

/** The spans of the bodies that a receiver took, each with its service's name. */
export function spansOf(bodies: readonly Buffer[]): DecodedSpan[] {
  return bodies.flatMap((body) =>
    decode('TracesData', body).resourceSpans.flatMap(
      (r: { resource: { attributes: { key: string; value: { stringValue: string } }[] }; scopeSpans: { spans: DecodedSpan[] }[] }) => {
        const service = r.resource.attributes.find(({ key }) => key === 'service.name')!.value.stringValue;
        return r.scopeSpans.flatMap(({ spans }) => spans.map((span) => ({ ...span, service })));
      },
    ),
  );
}

export function byTrace(spans: readonly DecodedSpan[]): DecodedSpan[][] {
  return [...Map.groupBy(spans, (span) => span.traceId.toString('hex')).values()];
}
