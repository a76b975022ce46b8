import type { StageCounters } from '../base/counters.ts';
import { Copier } from '../otlp/copier.ts';
import { Walker, type ItemVisitor } from '../otlp/walk.ts';
import { EMPTY } from '../wire/cursor.ts';
import { Writer } from '../wire/writer.ts';
import { ItemScope } from './scope.ts';

/** What becomes of an item. */
export const KEEP = 0;
export const DROP = 1;
export const REWRITE = 2;
export type Verdict = typeof KEEP | typeof DROP | typeof REWRITE;

/** What a processor does with one item bytes[start, stop) (a Span, Metric or LogRecord) under `scope`. */
export interface ItemHandler {
  decide(bytes: Buffer, start: number, stop: number, scope: ItemScope): Verdict;
  /** Writes the fields of the item that takes this one's place. Called for REWRITE: by `run` after all items were decided, by `runOnce` right after `decide` of the same item. */
  rewrite(bytes: Buffer, start: number, stop: number, scope: ItemScope, out: Writer): void;
}

/**
 * Runs a handler over a Data message in two walks: the first decides every item, and when all stay as they are the message
 * itself is the result; only otherwise the second copies what stays. Resources and scopes that are left with nothing go.
 */
export class ItemPass {
  private readonly handler: ItemHandler;
  private readonly counters: StageCounters;
  private readonly dropReason: string;
  private readonly scope = new ItemScope();
  private readonly walker = new Walker();
  private readonly out = new Writer();
  private readonly copier = new Copier(this.out);
  private readonly deciding: ItemVisitor;
  private readonly copying: ItemVisitor;
  private readonly rewriting: ItemVisitor;
  private bytes: Buffer = EMPTY;
  private verdicts = new Uint8Array(1024);
  private at = 0;
  private dropped = 0;
  private rewritten = 0;

  constructor(handler: ItemHandler, counters: StageCounters, dropReason: string) {
    this.handler = handler;
    this.counters = counters;
    this.dropReason = dropReason;
    this.deciding = {
      resource: (start, stop) => this.scope.setResource(this.bytes, start, stop),
      scope: (start, stop) => this.scope.setScope(this.bytes, start, stop),
      item: (start, stop) => this.decide(start, stop),
    };
    this.copying = {
      resource: (start, stop, urlStart, urlStop) => {
        this.scope.setResource(this.bytes, start, stop);
        this.copier.resource(start, stop, urlStart, urlStop);
      },
      scope: (start, stop, urlStart, urlStop) => {
        this.scope.setScope(this.bytes, start, stop);
        this.copier.scope(start, stop, urlStart, urlStop);
      },
      item: (start, stop) => this.copy(start, stop),
    };
    this.rewriting = {
      ...this.copying,
      item: (start, stop) => {
        this.decide(start, stop);
        this.at--;
        this.copy(start, stop);
      },
    };
  }

  /** See Processor.process. @throws Malformed */
  run(bytes: Buffer): Buffer {
    this.bytes = bytes;
    this.at = this.dropped = this.rewritten = 0;
    const items = this.walker.walk(bytes, 0, bytes.length, this.deciding);
    const { dropped, counters } = this;
    let result = bytes;
    if (dropped > 0 && dropped === items) result = EMPTY;
    else if (dropped > 0 || this.rewritten > 0) {
      this.copyAll(this.copying);
      result = this.out.view();
    }
    counters.in += items;
    counters.out += items - dropped;
    counters.drop(this.dropReason, dropped);
    return result;
  }

  /** As `run`, in one walk: for handlers that change most items. @throws Malformed */
  runOnce(bytes: Buffer): Buffer {
    this.bytes = bytes;
    this.at = this.dropped = this.rewritten = 0;
    const items = this.copyAll(this.rewriting);
    const { dropped, counters } = this;
    counters.in += items;
    counters.out += items - dropped;
    counters.drop(this.dropReason, dropped);
    if (dropped === 0 && this.rewritten === 0) return bytes;
    return dropped === items ? EMPTY : this.out.view();
  }

  /** Counts the items and hands the message through. @throws Malformed */
  runUnchanged(bytes: Buffer): Buffer {
    const items = this.walker.walk(bytes, 0, bytes.length, COUNTING);
    this.counters.in += items;
    this.counters.out += items;
    return bytes;
  }

  private decide(start: number, stop: number): void {
    const verdict = this.handler.decide(this.bytes, start, stop, this.scope);
    if (this.at === this.verdicts.length) {
      const grown = new Uint8Array(this.verdicts.length * 2);
      grown.set(this.verdicts);
      this.verdicts = grown;
    }
    this.verdicts[this.at++] = verdict;
    if (verdict === DROP) this.dropped++;
    else if (verdict === REWRITE) this.rewritten++;
  }

  private copyAll(visitor: ItemVisitor): number {
    this.out.reset();
    this.copier.begin(this.bytes, this.out);
    this.at = 0;
    const items = this.walker.walk(this.bytes, 0, this.bytes.length, visitor);
    this.copier.finish();
    return items;
  }

  private copy(start: number, stop: number): void {
    const verdict = this.verdicts[this.at++];
    if (verdict === KEEP) this.copier.item(start, stop);
    else if (verdict === REWRITE) {
      const mark = this.copier.openItem(stop - start);
      this.handler.rewrite(this.bytes, start, stop, this.scope, this.out);
      this.copier.closeItem(mark);
    }
  }
}

const COUNTING: ItemVisitor = { resource: ignore, scope: ignore, item: ignore };

function ignore(): void {
  // The walker counts.
}
