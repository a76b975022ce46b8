import type { Writer } from '../wire/writer.ts';

const NONE = -1;

/**
 * Writes a Data message (see walk.ts) that holds some items of another one, each under its own resource and scope.
 * A resource or scope is written when its first item comes, so what keeps nothing leaves nothing behind; unknown fields
 * beside the items are not copied. Used as:
 *
 *   copier.begin(bytes, out);
 *   walker.walk(bytes, 0, bytes.length, { resource: … copier.resource(…), scope: … copier.scope(…), item: … copier.item(start, stop) })
 *   copier.finish();
 *
 * `out` is appended to, never reset: the concatenation of Data messages is a Data message.
 */
export class Copier {
  /** Items written since `begin`. */
  items = 0;
  private from: Buffer;
  private out: Writer;
  private resourceMark = NONE;
  private scopeMark = NONE;
  private resourceStart = 0;
  private resourceStop = 0;
  private resourceUrlStart = 0;
  private resourceUrlStop = 0;
  private scopeStart = 0;
  private scopeStop = 0;
  private scopeUrlStart = 0;
  private scopeUrlStop = 0;

  constructor(out: Writer) {
    this.out = out;
    this.from = out.bytes;
  }

  begin(from: Buffer, out: Writer): void {
    this.from = from;
    this.out = out;
    this.items = 0;
    this.resourceMark = this.scopeMark = NONE;
  }

  resource(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.closeResource();
    this.resourceStart = start;
    this.resourceStop = stop;
    this.resourceUrlStart = urlStart;
    this.resourceUrlStop = urlStop;
  }

  scope(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.closeScope();
    this.scopeStart = start;
    this.scopeStop = stop;
    this.scopeUrlStart = urlStart;
    this.scopeUrlStop = urlStop;
  }

  /** Copies the item from[start, stop). */
  item(start: number, stop: number): void {
    this.openHeads();
    this.out.bytesField(2, this.from, start, stop);
    this.items++;
  }

  /** Begins an item that the caller writes field by field into `out`; hand the mark to `closeItem`. */
  openItem(expected_bytes: number): number {
    this.openHeads();
    this.items++;
    return this.out.open(2, expected_bytes);
  }

  closeItem(mark: number): void {
    this.out.close(mark);
  }

  finish(): void {
    this.closeResource();
  }

  private openHeads(): void {
    const { from, out } = this;
    if (this.resourceMark === NONE) {
      // Three bytes for the length fit 16 KiB to 2 MiB, what a batch of spans usually takes; others move their body once.
      this.resourceMark = out.open(1, 0x4000);
      if (this.resourceStop > this.resourceStart) out.bytesField(1, from, this.resourceStart, this.resourceStop);
      if (this.resourceUrlStop > this.resourceUrlStart) out.bytesField(3, from, this.resourceUrlStart, this.resourceUrlStop);
    }
    if (this.scopeMark === NONE) {
      this.scopeMark = out.open(2, 0x4000);
      if (this.scopeStop > this.scopeStart) out.bytesField(1, from, this.scopeStart, this.scopeStop);
      if (this.scopeUrlStop > this.scopeUrlStart) out.bytesField(3, from, this.scopeUrlStart, this.scopeUrlStop);
    }
  }

  private closeScope(): void {
    if (this.scopeMark === NONE) return;
    this.out.close(this.scopeMark);
    this.scopeMark = NONE;
  }

  private closeResource(): void {
    this.closeScope();
    if (this.resourceMark === NONE) return;
    this.out.close(this.resourceMark);
    this.resourceMark = NONE;
  }
}
