import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { describe, test } from 'node:test';
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { createLog } from '../../pipelines/base/log.ts';
import { Admission } from '../../pipelines/receive/admission.ts';
import { grpcDefaults, listenGrpc } from '../../pipelines/receive/grpc.ts';
import { traces } from '../kit/otlp.ts';

const MIB = 1024 * 1024;
const refusals = new Set<number>([status.UNAVAILABLE, status.RESOURCE_EXHAUSTED, status.INVALID_ARGUMENT]);
const PATH = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';

/** One unary call by hand, in any coding: grpc-js's client knows only its own. Resolves with grpc-status. */
async function call(port: number, coding: string | undefined, message: Buffer, compressed = 1): Promise<number> {
  const session = connect(`http://127.0.0.1:${port}`);
  try {
    return await new Promise<number>((resolve, reject) => {
      session.on('error', reject);
      const headers = { ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', te: 'trailers', 'tailrace-coding': 'gzip' };
      const stream = session.request(coding === undefined ? headers : { ...headers, 'grpc-encoding': coding });
      stream.on('error', reject);
      const take = (fields: Record<string, unknown>): void => {
        if (fields['grpc-status'] !== undefined) resolve(Number(fields['grpc-status']));
      };
      stream.on('response', take);
      stream.on('trailers', take);
      stream.resume();
      const head = Buffer.alloc(5);
      head[0] = compressed;
      head.writeUInt32BE(message.length, 1);
      stream.end(Buffer.concat([head, message]));
    });
  } finally {
    session.close();
  }
}

describe('gRPC message coding', () => {
  const body = traces([{ name: 'a span' }]);
  const setup = async (inFlight_bytes_max: number) => {
    const seen: Buffer[] = [];
    const admission = new Admission({ inFlight_bytes_max, retryAfter_ms: 1_000 });
    const settings = { ...grpcDefaults, host: '127.0.0.1', port: 0, setting: 'test', request_bytes_max: 64 * MIB };
    const receive = async (_signal: string, bytes: Buffer): Promise<{ rejected: number; message: string }> => {
      seen.push(Buffer.from(bytes));
      return { rejected: 0, message: '' };
    };
    const listener = await listenGrpc(settings, receive, admission, createLog('silent'));
    return { seen, admission, listener };
  };

  test('gzip, deflate and zstd are inflated; a message that was sent plain all the same is taken as it is', async () => {
    const { seen, listener, admission } = await setup(256 * MIB);
    for (const [coding, message, compressed] of [
      [undefined, body, 0],
      ['identity', body, 0],
      ['gzip', gzipSync(body), 1],
      ['deflate', deflateSync(body), 1],
      ['zstd', zstdCompressSync(body), 1],
      ['gzip', body, 0],
      ['zstd', body, 0],
      ['snappy', body, 0],
    ] as const) {
      assert.equal(await call(listener.port, coding, message, compressed), status.OK, `${coding}`);
      assert.ok(seen.pop()!.equals(body), `${coding}`);
    }
    assert.equal(await call(listener.port, 'snappy', Buffer.from('not a request'), 1), status.UNIMPLEMENTED);
    assert.equal(await call(listener.port, 'gzip', gzipSync(body).subarray(0, 30), 1), status.INVALID_ARGUMENT);
    assert.equal(admission.inFlight_bytes, 0);
    await listener.drain(0);
  });

  test('many bombs at once: what they inflate to is charged, so they are refused before the memory is used', async () => {
    const { seen, listener, admission } = await setup(16 * MIB);
    const bombs = [gzipSync(Buffer.alloc(63 * MIB)), zstdCompressSync(Buffer.alloc(63 * MIB))];
    const before = process.memoryUsage.rss();
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, n) => call(listener.port, n % 2 === 0 ? 'gzip' : 'zstd', bombs[n % 2]!)),
    );
    assert.ok(
      answers.every((code) => refusals.has(code)),
      String(answers),
    );
    assert.equal(seen.length, 0);
    assert.equal(admission.inFlight_bytes, 0);
    const grown_mib = (process.memoryUsage.rss() - before) / MIB;
    assert.ok(grown_mib < 600, `40 bombs of 63 MiB took ${grown_mib.toFixed(0)} MiB`);
    await listener.drain(0);
  });
});
