import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { afterEach, describe, test } from 'node:test';
import { gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { pino } from 'pino';
import { wallClock } from '../../pipelines/base/clock.ts';
import { StageCounters } from '../../pipelines/base/counters.ts';
import { OperatorError } from '../../pipelines/base/errors.ts';
import type { Signal } from '../../pipelines/otlp/walk.ts';
import type { Processor } from '../../pipelines/process/processor.ts';
import { grpcDefaults } from '../../pipelines/receive/grpc.ts';
import { httpDefaults } from '../../pipelines/receive/http.ts';
import { decodeDeadLetter } from '../../pipelines/topic/dead-letter.ts';
import type { LogRecord } from '../../pipelines/topic/topic.ts';
import { ingestDefaults, startIngest, type Ingest, type IngestSettings } from '../../services/ingest.ts';
import { FakeTopics } from '../kit/fake-topics.ts';
import { keyValues, logs, span, traces, type SpanSpec } from '../kit/otlp.ts';
import { decode, encode } from '../kit/proto.ts';
import { GrpcSender, envoyFixture, post, statusDetails } from '../kit/senders.ts';

const TOPICS = { traces: 4, 'traces.b': 2, metrics: 2, logs: 2, dead: 1 };
const branches = [
  { signal: 'traces', topic: 'traces', processors: [] },
  { signal: 'metrics', topic: 'metrics', processors: [] },
  { signal: 'logs', topic: 'logs', processors: [] },
] as const;
const errors: string[] = [];
const log = pino({ level: 'error' }, { write: (line: string) => errors.push(line) });

let topics: FakeTopics;
let ingest: Ingest | undefined;
let sender: GrpcSender | undefined;

async function start(own: Partial<IngestSettings> = {}): Promise<{ http: number; grpc: GrpcSender; ingest: Ingest }> {
  topics = new FakeTopics({ topics: TOPICS, clock: wallClock });
  const settings: IngestSettings = {
    ...ingestDefaults,
    linger_ms: 1,
    record_bytes_max: 1_048_576,
    grpc: { ...grpcDefaults, host: '127.0.0.1', port: 0, setting: 'receivers.otlp.protocols.grpc.endpoint' },
    http: { ...httpDefaults, host: '127.0.0.1', port: 0, setting: 'receivers.otlp.protocols.http.endpoint' },
    branches,
    ...own,
  };
  ingest = await startIngest({ settings, topics, log, clock: wallClock });
  sender = new GrpcSender(ingest.listening.grpc!);
  return { http: ingest.listening.http!, grpc: sender, ingest };
}

const paths: Record<Signal, string> = { traces: '/v1/traces', metrics: '/v1/metrics', logs: '/v1/logs' };
const messages: Record<Signal, string> = { traces: 'TracesData', metrics: 'MetricsData', logs: 'LogsData' };
const json = { 'content-type': 'application/json' };
const counters = (topic: string): StageCounters => ingest!.counters.find((one) => one.stage === `ingest.${topic}`)!;

function valueOf(record: LogRecord): Buffer {
  const value = record.headers.codec === 'zstd' ? zstdDecompressSync(record.value) : record.value;
  assert.equal(value.length, record.headers.raw_bytes);
  return value;
}
/** What is stored, decoded by the independent library, one entry for each resource. */
function stored(topic: string, signal: Signal) {
  return topics.records(topic).flatMap((record) => {
    const data = decode(messages[signal], valueOf(record));
    return data.resourceSpans ?? data.resourceMetrics ?? data.resourceLogs ?? [];
  });
}
function storedSpans(topic = 'traces') {
  return stored(topic, 'traces').flatMap((resource) => resource.scopeSpans.flatMap((scope: { spans: object[] }) => scope.spans));
}
function gauge(values: number[]): Buffer {
  const dataPoints = values.map((asDouble) => ({ timeUnixNano: '1780000000000000000', asDouble }));
  return encode('MetricsData', {
    resourceMetrics: [
      {
        resource: { attributes: keyValues({ 'service.name': 'shop' }) },
        scopeMetrics: [{ metrics: [{ name: 'temperature', gauge: { dataPoints } }] }],
      },
    ],
  });
}
/** Spans of many traces: trace n/2, span n. */
const many = (count: number, from = 1): SpanSpec[] =>
  Array.from({ length: count }, (_, n) => ({ trace: (((from + n) >> 1) + 1).toString(16), span: (from + n).toString(16) }));

const bodies: Record<Signal, { protobuf: Buffer; json: Buffer }> = {
  traces: {
    protobuf: traces([{ name: 'GET /cart', trace: 'ab', span: 'cd' }]),
    json: Buffer.from(
      JSON.stringify({
        resourceSpans: [
          {
            resource: { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] },
            scopeSpans: [
              {
                scope: { name: 'test', version: '1' },
                spans: [
                  {
                    traceId: 'ab'.padStart(32, '0'),
                    spanId: 'cd'.padStart(16, '0'),
                    name: 'GET /cart',
                    kind: 2,
                    startTimeUnixNano: '1780000000000000000',
                    endTimeUnixNano: '1780000000001000000',
                  },
                ],
              },
            ],
          },
        ],
      }),
    ),
  },
  metrics: {
    protobuf: gauge([1.5]),
    json: Buffer.from(
      JSON.stringify({
        resourceMetrics: [
          {
            resource: { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] },
            scopeMetrics: [
              { metrics: [{ name: 'temperature', gauge: { dataPoints: [{ timeUnixNano: '1780000000000000000', asDouble: 1.5 }] } }] },
            ],
          },
        ],
      }),
    ),
  },
  logs: {
    protobuf: logs([{ body: 'hello' }]),
    json: Buffer.from(
      JSON.stringify({
        resourceLogs: [
          {
            resource: { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] },
            scopeLogs: [
              {
                scope: { name: 'test' },
                logRecords: [
                  { timeUnixNano: '1780000000000000000', severityNumber: 9, severityText: 'INFO', body: { stringValue: 'hello' } },
                ],
              },
            ],
          },
        ],
      }),
    ),
  },
};

// Hooks at the top of a file would run for every file of the process.
describe('the role ingest', () => {
  /** Whatever a test did: the counters balance, nothing is held, nothing was logged as lost. */
  afterEach(async () => {
    const running = ingest;
    ingest = undefined;
    topics.release();
    if (running === undefined) return;
    await running.drain();
    sender?.close();
    for (const one of running.counters) {
      assert.equal(one.imbalance(), 0, one.stage);
      assert.equal(one.held, 0, one.stage);
    }
    assert.equal(running.admission.inFlight_bytes, 0);
    assert.deepEqual(errors.splice(0), []);
  });

  test('three signals in protobuf and JSON, plain, gzip and zstd, come out alike, durable before the answer', async () => {
    const { http, grpc } = await start();
    let cases = 0;
    for (const signal of ['traces', 'metrics', 'logs'] as const) {
      for (const [encoding, body] of Object.entries(bodies[signal])) {
        for (const [coding, wire] of [
          ['identity', body],
          ['gzip', gzipSync(body)],
          ['zstd', zstdCompressSync(body)],
        ] as const) {
          const before = topics.items(signal);
          const reply = await post(http, wire, {
            path: paths[signal],
            headers: { 'content-encoding': coding, ...(encoding === 'json' ? json : {}) },
          });
          assert.deepEqual([reply.status, topics.items(signal) - before], [200, 1], `${signal} ${encoding} ${coding}`);
          cases++;
        }
      }
      assert.equal((await grpc.export(signal, bodies[signal].protobuf)).length, 0);
      const expected = decode(messages[signal], bodies[signal].protobuf);
      const [resource] = Object.values(expected)[0] as object[];
      for (const got of stored(signal, signal)) assert.deepEqual(got, resource);
      assert.equal(stored(signal, signal).length, 7);
    }
    assert.equal(cases, 18);
  });

  test('what the SDK exporters serialize is stored', async () => {
    const { http } = await start();
    const spans = [
      sdkSpan('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'),
      sdkSpan('0af7651916cd43dd8448eb211c80319d', 'b7ad6b7169203332'),
    ] as unknown as Parameters<typeof ProtobufTraceSerializer.serializeRequest>[0];
    const binary = await post(http, Buffer.from(ProtobufTraceSerializer.serializeRequest(spans)!));
    assert.equal(binary.status, 200);
    assert.deepEqual(ProtobufTraceSerializer.deserializeResponse(binary.body), {});
    const text = await post(http, Buffer.from(JsonTraceSerializer.serializeRequest(spans)!), { headers: json });
    assert.equal(text.status, 200);
    assert.deepEqual(JsonTraceSerializer.deserializeResponse(text.body), {});
    const names = storedSpans().map((one: { name: string; traceId: Buffer }) => `${one.name} ${one.traceId.toString('hex')}`);
    assert.deepEqual(names.sort(), [
      'checkout 0af7651916cd43dd8448eb211c80319c',
      'checkout 0af7651916cd43dd8448eb211c80319c',
      'checkout 0af7651916cd43dd8448eb211c80319d',
      'checkout 0af7651916cd43dd8448eb211c80319d',
    ]);
  });

  /** What the serializers read of a ReadableSpan. */
  function sdkSpan(traceId: string, spanId: string): object {
    return {
      name: 'checkout',
      kind: 1,
      spanContext: () => ({ traceId, spanId, traceFlags: 1 }),
      startTime: [1_780_000_000, 5],
      endTime: [1_780_000_001, 5],
      status: { code: 0 },
      attributes: { 'http.request.method': 'GET' },
      links: [],
      events: [],
      duration: [1, 0],
      ended: true,
      resource: { attributes: { 'service.name': 'shop' } },
      instrumentationScope: { name: 'sdk' },
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
  }

  test('what a real Envoy sends is stored, every item of it', async () => {
    const { grpc } = await start();
    let sent = 0;
    for (const [signal, name, count] of [
      ['traces', 'trace', 20],
      ['metrics', 'metrics', 4],
      ['logs', 'logs', 6],
    ] as const)
      for (let n = 1; n <= count; n++) {
        assert.equal((await grpc.export(signal, envoyFixture(`${name}-${String(n).padStart(2, '0')}`))).length, 0);
        sent++;
      }
    assert.equal(sent, 30);
    for (const signal of ['traces', 'metrics', 'logs']) {
      assert.ok(counters(signal).in > 0);
      assert.equal(counters(signal).in, topics.items(signal));
    }
  });

  test('the spans of a trace go to one partition, and a request of several is stored in full', async () => {
    const { http } = await start();
    assert.equal((await post(http, traces(many(64)))).status, 200);
    const partitionOf = new Map<string, number>();
    for (let partition = 0; partition < 4; partition++) {
      for (const record of topics.records('traces', partition)) {
        assert.equal(record.headers.codec, 'zstd');
        for (const { scopeSpans } of decode('TracesData', valueOf(record)).resourceSpans)
          for (const { traceId } of scopeSpans.flatMap((scope: { spans: { traceId: Buffer }[] }) => scope.spans)) {
            const id = traceId.toString('hex');
            assert.equal(partitionOf.get(id) ?? partition, partition);
            partitionOf.set(id, partition);
          }
      }
    }
    assert.equal(storedSpans().length, 64);
    assert.ok(new Set(partitionOf.values()).size > 1);
  });

  const nameless = { ...span({ span: '2' }), spanId: Buffer.alloc(8) };
  const mixed = encode('TracesData', {
    resourceSpans: [{ scopeSpans: [{ spans: [span({ span: '1' }), nameless, span({ span: '3' })] }] }],
  });
  const allBad = encode('TracesData', { resourceSpans: [{ scopeSpans: [{ spans: [nameless, nameless] }] }] });

  test('spans at fault are a partial success with count and reason; the good ones of the request are stored', async () => {
    const { http, grpc } = await start();
    for (const body of [(await post(http, mixed)).body, await grpc.export('traces', mixed)]) {
      const { partialSuccess } = decode('ExportResponse', body);
      assert.equal(partialSuccess.rejected, '1');
      assert.match(partialSuccess.errorMessage, /span_id/);
    }
    assert.deepEqual(
      storedSpans().map((one: { spanId: Buffer }) => one.spanId[7]),
      [1, 3, 1, 3],
    );
    assert.deepEqual([counters('traces').in, counters('traces').out, counters('traces').droppedTotal()], [6, 4, 2]);
  });

  test('a request all of whose spans are at fault is still 200 with all of them rejected', async () => {
    const { http } = await start();
    const reply = await post(http, allBad);
    assert.equal(reply.status, 200);
    assert.equal(decode('ExportResponse', reply.body).partialSuccess.rejected, '2');
    assert.equal(topics.appendCalls, 0);
  });

  test('an empty request is a success', async () => {
    const { http, grpc } = await start();
    assert.equal((await post(http, Buffer.alloc(0))).status, 200);
    assert.equal((await post(http, Buffer.from('{}'), { headers: json })).status, 200);
    assert.equal((await grpc.export('logs', Buffer.alloc(0))).length, 0);
  });

  test('garbage is 400 with a Status in its encoding, INVALID_ARGUMENT over gRPC, and counted', async () => {
    const { http, grpc, ingest: running } = await start();
    const garbage = Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3]);
    const binary = await post(http, garbage);
    assert.equal(binary.status, 400);
    assert.match(decode('RpcStatus', binary.body).message, /at byte/);
    const text = await post(http, Buffer.from('{"resourceSpans": ['), { headers: json });
    assert.equal(text.status, 400);
    assert.equal(text.headers['content-type'], 'application/json');
    assert.ok(JSON.parse(text.body.toString()).message.length > 0);
    await assert.rejects(grpc.export('traces', garbage), (error: unknown) => {
      assert.equal((error as { code: number }).code, status.INVALID_ARGUMENT);
      assert.match(decode('RpcStatus', statusDetails(error)).message, /at byte/);
      return true;
    });
    assert.equal(running.admission.refused.get('malformed'), 2);
    assert.equal(topics.appendCalls, 0);
  });

  test('a signal that no pipeline takes is refused with the reason', async () => {
    const { http } = await start({ branches: [branches[0]] });
    const reply = await post(http, bodies.logs.protobuf, { path: paths.logs });
    assert.equal(reply.status, 400);
    assert.match(decode('RpcStatus', reply.body).message, /no pipeline takes logs/);
  });

  test('a log that is busy answers 503 with Retry-After and UNAVAILABLE with RetryInfo; the retry is stored', async () => {
    const { http, grpc } = await start();
    topics.busy(1, 3_000);
    const reply = await post(http, bodies.traces.protobuf);
    assert.deepEqual([reply.status, reply.headers['retry-after']], [503, '3']);
    topics.busy(1, 3_000);
    await assert.rejects(grpc.export('traces', bodies.traces.protobuf), (error: unknown) => {
      assert.equal((error as { code: number }).code, status.UNAVAILABLE);
      assert.equal(decode('RpcStatus', statusDetails(error)).details[0].typeUrl, 'type.googleapis.com/google.rpc.RetryInfo');
      return true;
    });
    assert.equal((await post(http, bodies.traces.protobuf)).status, 200);
    assert.deepEqual([counters('traces').in, counters('traces').out, counters('traces').dropped.get('log_busy')], [3, 1, 2]);
  });

  test('when one partition of several fails, the request is answered with an error the sender retries on', async () => {
    const { http } = await start();
    topics.failAppend = (_topic, partition) => (partition === 1 ? new Error('disk broke') : undefined);
    const reply = await post(http, traces(many(64)));
    assert.equal(reply.status, 503);
    assert.ok(!reply.body.includes('disk'));
    topics.failAppend = undefined;
    assert.equal((await post(http, traces(many(64)))).status, 200);
    const distinct = new Set(storedSpans().map((one: { spanId: Buffer }) => one.spanId.toString('hex')));
    assert.equal(distinct.size, 64);
  });

  test('nothing is acknowledged before the log has it; meanwhile it is held', async () => {
    const { http, grpc, ingest: running } = await start();
    topics.hold();
    let answered = 0;
    const count = <T>(reply: T): T => {
      answered++;
      return reply;
    };
    const waiting = [post(http, traces(many(10))).then(count), grpc.export('traces', traces(many(6))).then(count)];
    await topics.until(() => counters('traces').held === 16, 'both requests are held');
    assert.equal(counters('traces').imbalance(), 0);
    assert.equal(running.admission.inFlightRequests, 2);
    assert.equal(answered, 0);
    topics.release();
    await Promise.all(waiting);
    assert.equal(counters('traces').out, 16);
  });

  /** Drops every span whose name is `drop`, by the independent library. */
  class DropByName implements Processor {
    readonly name = 'drop-by-name';
    readonly counters = new StageCounters('process.drop-by-name');
    process(bytes: Buffer): Buffer {
      const data = decode('TracesData', bytes);
      for (const { scopeSpans } of data.resourceSpans)
        for (const scope of scopeSpans) scope.spans = scope.spans.filter((one: { name: string }) => one.name !== 'drop');
      return data.resourceSpans.some((resource: { scopeSpans: { spans: object[] }[] }) =>
        resource.scopeSpans.some((scope) => scope.spans.length > 0),
      )
        ? encode('TracesData', data)
        : Buffer.alloc(0);
    }
  }

  test('branches of a signal each get the whole request through their own processors, and what a filter drops is no error', async () => {
    const { http } = await start({
      branches: [
        { signal: 'traces', topic: 'traces', processors: [] },
        { signal: 'traces', topic: 'traces.b', processors: [new DropByName()] },
      ],
    });
    const reply = await post(
      http,
      traces([
        { span: '1', name: 'drop' },
        { span: '2', name: 'keep' },
        { span: '3', name: 'drop' },
      ]),
    );
    assert.deepEqual([reply.status, reply.body.length], [200, 0]);
    assert.equal((await post(http, traces([{ span: '4', name: 'drop' }]))).body.length, 0);
    assert.equal(topics.items('traces'), 4);
    assert.equal(topics.items('traces.b'), 1);
    assert.equal(counters('traces.b').dropped.get('processed'), 3);
    topics.failAppend = (topic) => (topic === 'traces.b' ? new Error('disk broke') : undefined);
    assert.equal((await post(http, traces([{ span: '5', name: 'keep' }]))).status, 503);
  });

  test('a span too large for a record is refused for good, the others of its request are stored', async () => {
    const { http } = await start();
    const reply = await post(http, traces([{ span: '1' }, { span: '2', attributes: { blob: 'x'.repeat(3_000_000) } }]));
    assert.equal(reply.status, 200);
    const { partialSuccess } = decode('ExportResponse', reply.body);
    assert.equal(partialSuccess.rejected, '1');
    assert.match(partialSuccess.errorMessage, /larger than a record/);
    assert.equal(topics.items('traces'), 1);
    assert.equal(counters('traces').dropped.get('record_too_large'), 1);
    const letters = topics.records('dead').map(({ value }) => decodeDeadLetter(value));
    assert.deepEqual(
      letters.map(({ stage, topic, reason, spanId, data }) => [stage, topic, reason, spanId.toString('hex'), data.length]),
      [['ingest', 'traces', 'record_too_large', '2'.padStart(16, '0'), 0]],
    );
    assert.deepEqual([...ingest!.deadLetters], [['record_too_large', 1]]);
    // A sender that goes on so does not fill the log.
    for (let n = 0; n < 5; n++) await post(http, traces([{ span: '2', attributes: { blob: 'x'.repeat(3_000_000) } }]));
    assert.equal(counters('traces').dropped.get('record_too_large'), 6);
    assert.ok(topics.records('dead').length < 6);
  });

  test('100 connections with five spans a request lose nothing', async () => {
    const { http } = await start();
    const agents = Array.from({ length: 100 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
    const replies = await Promise.all(
      agents.map(async (agent, n) => {
        const codes: number[] = [];
        for (let request = 0; request < 4; request++)
          codes.push((await post(http, traces(many(5, 1 + n * 20 + request * 5)), { agent })).status);
        return codes;
      }),
    );
    for (const agent of agents) agent.destroy();
    assert.ok(replies.flat().every((code) => code === 200));
    const ids = storedSpans().map((one: { spanId: Buffer }) => one.spanId.toString('hex'));
    assert.deepEqual([ids.length, new Set(ids).size], [2_000, 2_000]);
    assert.ok(topics.records('traces').length < 400, 'requests are gathered into fewer records');
  });

  test('drain() under load: every acknowledged span is durable, the rest was refused', async () => {
    const { http, grpc, ingest: running } = await start();
    topics.appendDelay_ms = 10;
    const acknowledged: number[] = [];
    let refused = 0;
    let next = 1;
    const worker = async (send: (body: Buffer) => Promise<boolean>): Promise<void> => {
      for (;;) {
        const from = next;
        next += 5;
        let taken = false;
        try {
          taken = await send(traces(many(5, from)));
        } catch {
          // The port is closed.
        }
        if (taken) acknowledged.push(from);
        else {
          refused++;
          return;
        }
      }
    };
    const agent = new Agent({ keepAlive: true });
    const workers = Array.from({ length: 20 }, (_, n) =>
      n % 2 === 0
        ? worker(async (body) => (await post(http, body, { agent })).status === 200)
        : worker(async (body) => {
            await grpc.export('traces', body, 3_000);
            return true;
          }),
    );
    await topics.until(() => acknowledged.length > 100, 'the load runs');
    await running.drain();
    await Promise.all(workers);
    agent.destroy();
    const durable = new Set(storedSpans().map((one: { spanId: Buffer }) => one.spanId.readUInt32BE(4)));
    for (const from of acknowledged) for (let n = 0; n < 5; n++) assert.ok(durable.has(from + n), `span ${from + n} was acknowledged`);
    assert.equal(counters('traces').out, topics.items('traces'));
    assert.ok(refused > 0);
  });

  test('drain() does not wait for ever: what the log does not take in time is cut, unacknowledged', async () => {
    const { http, ingest: running } = await start({ drainDeadline_ms: 50 });
    topics.hold();
    const cut = assert.rejects(post(http, traces(many(2))), /hang up|ECONNRESET/);
    await topics.until(() => counters('traces').held === 2, 'the request is held');
    const drained = running.drain();
    await cut;
    topics.release();
    await drained;
  });

  test('a port in use is an OperatorError, and the other port is let go again', async () => {
    const { http } = await start();
    const grpc = { ...grpcDefaults, host: '127.0.0.1', port: 0, setting: 'g' };
    const taken = { ...httpDefaults, host: '127.0.0.1', port: http, setting: 'receivers.otlp.protocols.http.endpoint' };
    const settings = { ...ingestDefaults, branches, grpc, http: taken };
    await assert.rejects(
      startIngest({ settings, topics, log, clock: wallClock }),
      (error) => error instanceof OperatorError && error.message.includes(String(http)),
    );
  });
});
