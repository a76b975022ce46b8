import { EMPTY } from '../wire/cursor.ts';
import { Writer } from '../wire/writer.ts';
import type { Signal } from './walk.ts';

/** A reply is in the encoding of its request (OTLP specification, OTLP/HTTP Response). */
export type Encoding = 'protobuf' | 'json';

const INVALID_ARGUMENT = 3;
const TYPE_URL = 'type.googleapis.com/google.rpc.';
const rejectedNames: Readonly<Record<Signal, string>> = {
  traces: 'rejectedSpans',
  metrics: 'rejectedDataPoints',
  logs: 'rejectedLogRecords',
};

/*
 * opentelemetry-proto collector/{trace,metrics,logs}/v1: one layout under three names
 *
 *   Export…ServiceResponse { Export…PartialSuccess partial_success = 1 }
 *   Export…PartialSuccess  { int64 rejected_… = 1; string error_message = 2 }
 */

/**
 * The body of a success. `rejected` counts spans, data points or log records. Nothing refused and nothing to say leaves
 * `partial_success` unset, as the specification demands (Full Success); a message with 0 rejected is a warning (Partial Success).
 */
export function exportResponse(rejected: number, message: string, encoding: Encoding, signal: Signal): Buffer {
  const full = rejected === 0 && message === '';
  if (encoding === 'json') {
    // int64 is a string in the JSON mapping of protobuf.
    const partialSuccess = { [rejectedNames[signal]]: String(rejected), errorMessage: message };
    return Buffer.from(JSON.stringify(full ? {} : { partialSuccess }));
  }
  if (full) return EMPTY;
  const w = new Writer(message.length + 32);
  const mark = w.open(1, message.length + 8);
  if (rejected > 0) w.varintField(1, rejected);
  if (message !== '') w.stringField(2, message);
  w.close(mark);
  return w.view();
}

/*
 * googleapis google/rpc/{status,error_details}.proto, google/protobuf/{any,duration}.proto
 *
 *   Status     { int32 code = 1; string message = 2; repeated Any details = 3 }
 *   Any        { string type_url = 1; bytes value = 2 }
 *   RetryInfo  { Duration retry_delay = 1 }      Duration { int64 seconds = 1; int32 nanos = 2 }
 *   BadRequest { repeated FieldViolation field_violations = 1 }
 *   FieldViolation { string field = 1; string description = 2 }
 */

/**
 * The body of a failure over HTTP and the `grpc-status-details-bin` trailer over gRPC: a google.rpc.Status. `code` is a gRPC
 * code. With `retryAfter_ms` it carries a RetryInfo (specification, Throttling); INVALID_ARGUMENT carries a BadRequest that
 * describes the bad data (Bad Data), whose `field` is a path where one is known.
 */
export function rpcStatus(code: number, message: string, encoding: Encoding, retryAfter_ms?: number, field = ''): Buffer {
  const bad = code === INVALID_ARGUMENT;
  if (encoding === 'json') {
    const details: object[] = [];
    if (retryAfter_ms !== undefined) details.push({ '@type': `${TYPE_URL}RetryInfo`, retryDelay: `${(retryAfter_ms / 1000).toFixed(3)}s` });
    if (bad)
      details.push({ '@type': `${TYPE_URL}BadRequest`, fieldViolations: [{ ...(field === '' ? {} : { field }), description: message }] });
    return Buffer.from(JSON.stringify({ code, message, ...(details.length === 0 ? {} : { details }) }));
  }
  const w = new Writer(message.length * 2 + 128);
  w.varintField(1, code);
  w.stringField(2, message);
  if (retryAfter_ms !== undefined) {
    const any = w.open(3);
    w.stringField(1, `${TYPE_URL}RetryInfo`);
    const value = w.open(2);
    const delay = w.open(1);
    const whole_ms = Math.max(0, Math.round(retryAfter_ms));
    w.varintField(1, Math.floor(whole_ms / 1000));
    w.varintField(2, (whole_ms % 1000) * 1e6);
    w.close(delay);
    w.close(value);
    w.close(any);
  }
  if (bad) {
    const any = w.open(3, message.length);
    w.stringField(1, `${TYPE_URL}BadRequest`);
    const value = w.open(2, message.length);
    const violation = w.open(1, message.length);
    if (field !== '') w.stringField(1, field);
    w.stringField(2, message);
    w.close(violation);
    w.close(value);
    w.close(any);
  }
  return w.view();
}
