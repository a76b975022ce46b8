import { EMPTY } from '../wire/cursor.ts';
import { Writer, varintSize } from '../wire/writer.ts';
import { Copier } from './copier.ts';
import { Walker, type ItemVisitor } from './walk.ts';

/** Both receive Data messages that are borrowed until the call returns. */
export interface CutSink {
  part(part: Buffer, items: number): void;
  /** One item that alone, under its resource and scope, is larger than the limit: the Data message that holds it. Count it, and send its ids to the dead-letter topic. */
  oversize(part: Buffer): void;
}

const WRITER_KEEP_BYTES_MAX = 4 << 20;
// Tag and length of a message: one byte, and at most five.
const FRAME_BYTES_MAX = 6;

/**
 * Cuts a Data message of any signal into several of at most `bytesMax` bytes each, at the borders of items, in order:
 * the log has a maximum record size. The parts hold all items, each under its own resource and scope. Packing is greedy:
 * a part is closed when the next item might not fit, counting every length prefix at its largest.
 */
export class Cutter implements ItemVisitor {
  private readonly walker = new Walker();
  private writer = new Writer(0);
  private readonly copier = new Copier(this.writer);
  private bytes: Buffer = EMPTY;
  private bytesMax = 0;
  private sink: CutSink | undefined;
  private resourceOpen = false;
  private scopeOpen = false;
  private resourceStart = 0;
  private resourceStop = 0;
  private resourceUrlStart = 0;
  private resourceUrlStop = 0;
  private scopeStart = 0;
  private scopeStop = 0;
  private scopeUrlStart = 0;
  private scopeUrlStop = 0;

  /** Returns the number of items. A message that fits is handed on as it is, without a copy. @throws Malformed */
  cut(bytes: Buffer, bytesMax: number, sink: CutSink): number {
    if (bytes.length <= bytesMax) {
      const items = this.walker.walk(bytes, 0, bytes.length, countOnly);
      if (items > 0) sink.part(bytes, items);
      return items;
    }
    this.bytes = bytes;
    this.bytesMax = bytesMax;
    this.sink = sink;
    this.begin();
    try {
      const items = this.walker.walk(bytes, 0, bytes.length, this);
      this.emit();
      return items;
    } finally {
      this.sink = undefined;
      this.bytes = EMPTY;
      if (this.writer.bytes.length > WRITER_KEEP_BYTES_MAX) this.writer = new Writer(0);
      this.copier.begin(EMPTY, this.writer);
    }
  }

  // ---- ItemVisitor: called by the walker ----

  resource(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.resourceStart = start;
    this.resourceStop = stop;
    this.resourceUrlStart = urlStart;
    this.resourceUrlStop = urlStop;
    this.resourceOpen = this.scopeOpen = false;
    this.copier.resource(start, stop, urlStart, urlStop);
  }

  scope(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.scopeStart = start;
    this.scopeStop = stop;
    this.scopeUrlStart = urlStart;
    this.scopeUrlStop = urlStop;
    this.scopeOpen = false;
    this.copier.scope(start, stop, urlStart, urlStop);
  }

  item(start: number, stop: number): void {
    if (this.copier.items > 0 && this.writer.length + this.need(start, stop) > this.bytesMax) {
      this.emit();
      this.again();
    }
    this.copier.item(start, stop);
    this.resourceOpen = this.scopeOpen = true;
    // The first item is written whatever it takes; only its true size says whether it fits.
    if (this.copier.items === 1 && this.writer.length > this.bytesMax - 2 * FRAME_BYTES_MAX) {
      this.emit();
      this.again();
    }
  }

  /** The most that the item adds to the part, with whatever heads it opens, and what closing may still add. */
  private need(start: number, stop: number): number {
    let need = 1 + varintSize(stop - start) + (stop - start) + 2 * FRAME_BYTES_MAX;
    if (!this.scopeOpen) need += this.scopeStop - this.scopeStart + this.scopeUrlStop - this.scopeUrlStart + 3 * FRAME_BYTES_MAX;
    if (!this.resourceOpen) {
      need += this.resourceStop - this.resourceStart + this.resourceUrlStop - this.resourceUrlStart + 3 * FRAME_BYTES_MAX;
    }
    return need;
  }

  private begin(): void {
    this.writer.reset();
    this.copier.begin(this.bytes, this.writer);
    this.resourceOpen = this.scopeOpen = false;
  }

  /** The next part begins under the same resource and scope. */
  private again(): void {
    this.begin();
    this.copier.resource(this.resourceStart, this.resourceStop, this.resourceUrlStart, this.resourceUrlStop);
    this.copier.scope(this.scopeStart, this.scopeStop, this.scopeUrlStart, this.scopeUrlStop);
  }

  private emit(): void {
    const { items } = this.copier;
    if (items === 0) return;
    this.copier.finish();
    if (this.writer.length <= this.bytesMax) this.sink!.part(this.writer.view(), items);
    else this.sink!.oversize(this.writer.view());
  }
}

const countOnly: ItemVisitor = {
  resource: () => undefined,
  scope: () => undefined,
  item: () => undefined,
};
