import { parentPort, workerData } from 'node:worker_threads';
import { Busy, OperatorError } from '../base/errors.ts';
import { sqliteError } from './embedded-schema.ts';
import { LogWriter } from './embedded-writer.ts';
import type { RecordGroup } from './embedded-group.ts';
import type { Retained, RetentionRule, Usage } from './embedded-writer.ts';

/*
 * The thread that writes the embedded log. Every request gets one answer, in order; the buffer of values travels there
 * and back without a copy, and is used again.
 */

export interface ThreadData {
  readonly file: string;
  /** Partition id → next offset. */
  readonly next: ReadonlyMap<number, number>;
}

export type ThreadRequest =
  | ({ readonly kind: 'group' } & RecordGroup)
  | { readonly kind: 'retain'; readonly rules: readonly RetentionRule[]; readonly now_ms: number; readonly retention_ms: number }
  | { readonly kind: 'close'; readonly floor_ms: number };

/** How an error crosses the thread: classes do not survive the copy. */
export interface ThreadFailure {
  /** `busy`: nothing was stored, try later. `operator`: a person must mend it. `bug`: anything else. */
  readonly cause: 'busy' | 'operator' | 'bug';
  readonly message: string;
  /** Busy's reason, or OperatorError's hint. */
  readonly detail: string;
}

export type ThreadAnswer =
  | { readonly kind: 'group'; readonly offsets: Float64Array<ArrayBuffer>; readonly values: ArrayBuffer; readonly usage: Usage }
  | { readonly kind: 'group_failed'; readonly failure: ThreadFailure; readonly values: ArrayBuffer }
  | ({ readonly kind: 'retained'; readonly usage: Usage } & Retained)
  | { readonly kind: 'retain_failed'; readonly failure: ThreadFailure }
  | { readonly kind: 'closed' };

export function failureOf(error: unknown, file: string): ThreadFailure {
  const told = sqliteError(error, file);
  if (told instanceof Busy) return { cause: 'busy', message: told.message, detail: told.reason };
  if (told instanceof OperatorError) return { cause: 'operator', message: told.message, detail: told.hint };
  return { cause: 'bug', message: told instanceof Error ? (told.stack ?? told.message) : String(told), detail: '' };
}

export function errorOf(failure: ThreadFailure): Error {
  switch (failure.cause) {
    case 'busy':
      return new Busy(failure.detail, failure.message, 1000);
    case 'operator':
      return new OperatorError(failure.message, failure.detail);
    default:
      return new Error(`the log's writer failed: ${failure.message}`);
  }
}

function serve(port: NonNullable<typeof parentPort>, data: ThreadData): void {
  const writer = new LogWriter(data.file, data.next);
  const answer = (message: ThreadAnswer, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);
  port.on('message', (request: ThreadRequest) => {
    switch (request.kind) {
      case 'group':
        try {
          const offsets = writer.write(request);
          answer({ kind: 'group', offsets, values: request.values, usage: writer.usage() }, [request.values, offsets.buffer]);
        } catch (error) {
          answer({ kind: 'group_failed', failure: failureOf(error, data.file), values: request.values }, [request.values]);
        }
        break;
      case 'retain':
        try {
          answer({ kind: 'retained', ...writer.retain(request.rules, request.now_ms, request.retention_ms), usage: writer.usage() });
        } catch (error) {
          answer({ kind: 'retain_failed', failure: failureOf(error, data.file) });
        }
        break;
      case 'close':
        try {
          writer.close(request.floor_ms);
        } catch (error) {
          // No space for the last floor and checkpoint: what was reserved before holds, and the write-ahead log has the records.
          if (failureOf(error, data.file).cause !== 'busy') throw error;
        }
        answer({ kind: 'closed' });
        port.close();
        return;
    }
    try {
      writer.checkpoint();
    } catch (error) {
      // No space to copy into: what is durable stays in the write-ahead log, and a later checkpoint copies it.
      if (failureOf(error, data.file).cause !== 'busy') throw error;
    }
  });
}

// Only the thread that embedded.ts starts carries the data; an import for the types does nothing.
if (parentPort !== null && isThreadData(workerData)) serve(parentPort, workerData);

function isThreadData(data: unknown): data is ThreadData {
  return typeof data === 'object' && data !== null && 'file' in data && 'next' in data;
}
