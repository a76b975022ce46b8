import { Worker } from 'node:worker_threads';
import type { RecordGroup } from './embedded-group.ts';
import { errorOf, type ThreadAnswer, type ThreadData, type ThreadRequest } from './embedded-thread.ts';
import type { Retained, RetentionRule, Usage } from './embedded-writer.ts';

const BUFFER_BYTES_MIN = 1 << 20;

/** The main thread's end of the writer's thread: requests are answered in order. Rejects with what the thread failed with: Busy, OperatorError, or a bug. */
export class WriterLink {
  private readonly thread: Worker;
  private readonly waiting: PromiseWithResolvers<ThreadAnswer>[] = [];
  private readonly broken: (error: Error) => void;
  private ending = false;
  private spare: ArrayBuffer | undefined;

  /** @param broken the thread died by itself; called after all that waited was rejected */
  constructor(data: ThreadData, broken: (error: Error) => void) {
    this.broken = broken;
    this.thread = new Worker(new URL('./embedded-thread.ts', import.meta.url), { workerData: data, name: 'log-writer' });
    this.thread.on('message', (answer: ThreadAnswer) => this.waiting.shift()?.resolve(answer));
    this.thread.on('error', (error) => this.fail(error instanceof Error ? error : new Error(String(error))));
    this.thread.on('exit', () => {
      if (!this.ending) this.fail(new Error("the log's writer ended by itself"));
    });
  }

  /** A buffer for the values of a group: the one that came back, where it is large enough. `write` takes it away. */
  buffer(bytes: number): ArrayBuffer {
    const spare = this.spare;
    this.spare = undefined;
    if (spare !== undefined && spare.byteLength >= bytes) return spare;
    return new ArrayBuffer(Math.max(BUFFER_BYTES_MIN, 2 ** Math.ceil(Math.log2(Math.max(bytes, 1)))));
  }

  /** Resolves when the group is durable, with the offset of each record. Rejects when nothing of it was stored. */
  async write(group: RecordGroup): Promise<{ readonly offsets: Float64Array; readonly usage: Usage }> {
    const answer = await this.ask({ kind: 'group', ...group }, [group.values, group.meta.buffer]);
    if (answer.kind === 'group' || answer.kind === 'group_failed') this.spare = answer.values;
    if (answer.kind === 'group_failed') throw errorOf(answer.failure);
    if (answer.kind !== 'group') throw new Error(`the log's writer answered ${answer.kind} to a group`);
    return answer;
  }

  /** One step of retention: see LogWriter.retain. */
  async retain(rules: readonly RetentionRule[], now_ms: number, retention_ms: number): Promise<Retained & { readonly usage: Usage }> {
    const answer = await this.ask({ kind: 'retain', rules, now_ms, retention_ms }, []);
    if (answer.kind === 'retain_failed') throw errorOf(answer.failure);
    if (answer.kind !== 'retained') throw new Error(`the log's writer answered ${answer.kind} to a step of retention`);
    return answer;
  }

  /** Closes the file with `floor_ms`. */
  async close(floor_ms: number): Promise<void> {
    this.ending = true;
    await this.ask({ kind: 'close', floor_ms }, []);
    await this.thread.terminate();
  }

  /** Ends the thread as it is; a file that is open needs no more than that. */
  async abandon(): Promise<void> {
    this.ending = true;
    await this.thread.terminate();
  }

  private ask(request: ThreadRequest, transfer: ArrayBuffer[]): Promise<ThreadAnswer> {
    const answer = Promise.withResolvers<ThreadAnswer>();
    this.waiting.push(answer);
    this.thread.postMessage(request, transfer);
    return answer.promise;
  }

  private fail(error: Error): void {
    for (const answer of this.waiting.splice(0)) answer.reject(error);
    this.broken(error);
  }
}
