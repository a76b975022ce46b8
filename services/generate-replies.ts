import { Malformed } from '../pipelines/base/errors.ts';
import { Cursor, WIRE_LEN, WIRE_VARINT, u64ToNumber } from '../pipelines/wire/cursor.ts';

/** Any length of message from a server goes no further than this. */
const MESSAGE_CHARACTERS_MAX = 300;
const RETRY_INFO = 'google.rpc.RetryInfo';

/**
 * opentelemetry-proto collector/trace/v1/trace_service.proto:
 *   ExportTraceServiceResponse { ExportTracePartialSuccess partial_success = 1 }
 *   ExportTracePartialSuccess  { int64 rejected_spans = 1; string error_message = 2 }
 * Bytes that cannot be read count as full success: the server said OK.
 */
export function readPartialSuccess(bytes: Buffer): { rejected: number; message: string } {
  let rejected = 0;
  let message = '';
  eachField(bytes, 0, bytes.length, (outer) => {
    if (outer.field !== 1 || outer.wire !== WIRE_LEN) return;
    eachField(bytes, outer.start, outer.stop, (inner) => {
      if (inner.field === 1 && inner.wire === WIRE_VARINT) rejected = u64ToNumber(inner.lo, inner.hi);
      if (inner.field === 2 && inner.wire === WIRE_LEN) message = textOf(bytes, inner.start, inner.stop);
    });
  });
  return { rejected, message };
}

/**
 * When the server of `grpc-status-details-bin` wants the request again; undefined where it does not say.
 *   google.rpc.Status    { int32 code = 1; string message = 2; repeated google.protobuf.Any details = 3 }
 *   google.protobuf.Any  { string type_url = 1; bytes value = 2 }
 *   google.rpc.RetryInfo { google.protobuf.Duration retry_delay = 1 }
 *   google.protobuf.Duration { int64 seconds = 1; int32 nanos = 2 }
 */
export function readRetryDelay_ms(bytes: Buffer): number | undefined {
  let delay_ms: number | undefined;
  eachField(bytes, 0, bytes.length, (detail) => {
    if (detail.field !== 3 || detail.wire !== WIRE_LEN) return;
    let type = '';
    let start = 0;
    let stop = 0;
    eachField(bytes, detail.start, detail.stop, (any) => {
      if (any.field === 1) type = textOf(bytes, any.start, any.stop);
      if (any.field === 2) [start, stop] = [any.start, any.stop];
    });
    if (!type.endsWith(RETRY_INFO)) return;
    // A RetryInfo without a delay means at once.
    delay_ms = 0;
    eachField(bytes, start, stop, (info) => {
      if (info.field !== 1 || info.wire !== WIRE_LEN) return;
      eachField(bytes, info.start, info.stop, (duration) => {
        if (duration.wire !== WIRE_VARINT) return;
        if (duration.field === 1) delay_ms = delay_ms! + u64ToNumber(duration.lo, duration.hi) * 1000;
        if (duration.field === 2) delay_ms = delay_ms! + duration.lo / 1e6;
      });
    });
  });
  return delay_ms;
}

/** Visits fields until the end or the first byte that makes no sense. */
function eachField(bytes: Buffer, start: number, stop: number, visit: (cursor: Cursor) => void): void {
  const cursor = new Cursor().reset(bytes, start, stop);
  try {
    while (cursor.next()) visit(cursor);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
  }
}

function textOf(bytes: Buffer, start: number, stop: number): string {
  return bytes.toString('utf8', start, Math.min(stop, start + MESSAGE_CHARACTERS_MAX));
}
