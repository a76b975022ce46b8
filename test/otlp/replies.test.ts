import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exportResponse, rpcStatus } from '../../pipelines/otlp/replies.ts';
import { Cursor } from '../../pipelines/wire/cursor.ts';
import { decode } from '../kit/proto.ts';

const parse = (body: Buffer): unknown => JSON.parse(body.toString());

test('full success leaves partial_success unset in both encodings', () => {
  for (const signal of ['traces', 'metrics', 'logs'] as const) {
    assert.equal(exportResponse(0, '', 'protobuf', signal).length, 0);
    assert.deepEqual(parse(exportResponse(0, '', 'json', signal)), {});
  }
});

test('partial success carries the count and the reason', () => {
  const message = '3 of 10 spans refused: … — é';
  assert.deepEqual(decode('ExportResponse', exportResponse(3, message, 'protobuf', 'traces')), {
    partialSuccess: { rejected: '3', errorMessage: message },
  });
  assert.deepEqual(parse(exportResponse(3, message, 'json', 'traces')), { partialSuccess: { rejectedSpans: '3', errorMessage: message } });
  assert.deepEqual(parse(exportResponse(4, 'm', 'json', 'metrics')), { partialSuccess: { rejectedDataPoints: '4', errorMessage: 'm' } });
  assert.deepEqual(parse(exportResponse(5, 'm', 'json', 'logs')), { partialSuccess: { rejectedLogRecords: '5', errorMessage: 'm' } });
});

test('a warning has a message and nothing rejected', () => {
  assert.deepEqual(decode('ExportResponse', exportResponse(0, 'slow down', 'protobuf', 'logs')), {
    partialSuccess: { errorMessage: 'slow down' },
  });
});

/** [type URL, the fields of the detail's inner message] by our cursor: the kit has no google.rpc details. */
function details(body: Buffer): unknown[] {
  return decode('RpcStatus', body).details.map(({ typeUrl, value }: { typeUrl: string; value: Buffer }) => {
    const outer = new Cursor().reset(value, 0, value.length);
    assert.ok(outer.next() && outer.field === 1);
    const inner = new Cursor().reset(value, outer.start, outer.stop);
    const fields: unknown[] = [];
    while (inner.next()) fields.push([inner.field, inner.wire === 2 ? value.toString('utf8', inner.start, inner.stop) : inner.lo]);
    return [typeUrl, fields];
  });
}

test('a retryable status carries a RetryInfo with seconds and nanoseconds', () => {
  const body = rpcStatus(14, 'full', 'protobuf', 1500);
  const { code, message } = decode('RpcStatus', body);
  assert.deepEqual({ code, message }, { code: 14, message: 'full' });
  assert.deepEqual(details(body), [
    [
      'type.googleapis.com/google.rpc.RetryInfo',
      [
        [1, 1],
        [2, 500_000_000],
      ],
    ],
  ]);
  assert.deepEqual(parse(rpcStatus(14, 'full', 'json', 1500)), {
    code: 14,
    message: 'full',
    details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '1.500s' }],
  });
});

test('bad data is described by a BadRequest', () => {
  assert.deepEqual(details(rpcStatus(3, 'truncated', 'protobuf')), [['type.googleapis.com/google.rpc.BadRequest', [[2, 'truncated']]]]);
  assert.deepEqual(details(rpcStatus(3, 'no', 'protobuf', undefined, 'a[0].b')), [
    [
      'type.googleapis.com/google.rpc.BadRequest',
      [
        [1, 'a[0].b'],
        [2, 'no'],
      ],
    ],
  ]);
  assert.deepEqual(parse(rpcStatus(3, 'no', 'json', undefined, 'a[0].b')), {
    code: 3,
    message: 'no',
    details: [{ '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: [{ field: 'a[0].b', description: 'no' }] }],
  });
});

test('other codes have no details', () => {
  assert.deepEqual(decode('RpcStatus', rpcStatus(16, 'who are you', 'protobuf')), { code: 16, message: 'who are you' });
  assert.deepEqual(parse(rpcStatus(16, 'who are you', 'json')), { code: 16, message: 'who are you' });
});
