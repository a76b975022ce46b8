import { Writer } from '../wire/writer.ts';
import type { Closing, Lease, LimitState } from './policies/rate-limit.ts';

/*
 * The sampler's part of the commit note: base64url of
 *
 *   note    := version(2) varint(from) varint(committed − from) varint(settledBlock + 1) varint(limits) limit* varint(lives) life*
 *   limit   := varint(window + 1) varint(used) closed(0|1) varint(leases) lease* varint(closings) closing*
 *   lease   := varint(block − block before) varint(zigzag(spans))
 *   closing := varint(window − window before) varint(committed − offset) varint(spanIndex)
 *   life    := u32(hash) u32(hash) varint(committed − offset)
 *
 * Offsets, windows and counts are below 2^53. A closing lies before the committed offset, and so does a life's beginning.
 */
const VERSION = 2;

/** A trace whose present life began at record `offset`, while records that a replay reads hold spans of the life before. */
export interface NotedLife {
  readonly hashA: number;
  readonly hashB: number;
  readonly offset: number;
}

export interface SampleNote {
  /** The record that a replay begins with. */
  readonly from: number;
  readonly committed: number;
  /** Leases of rate limits are settled up to this block of log time; −1: none ever was. */
  readonly settledBlock: number;
  readonly limits: readonly LimitState[];
  /** Newest first. */
  readonly lives: readonly NotedLife[];
}

/** `overflow` counts the lives, closings and leases that did not fit into `characters_max`: the oldest are left out, and their decisions may come out differently after a crash. */
export function writeNote(note: SampleNote, characters_max: number): { readonly text: string; readonly overflow: number } {
  const bytes_max = Math.floor((characters_max * 3) / 4);
  const head = new Writer(512);
  head.byte(VERSION);
  head.varint(note.from);
  head.varint(note.committed - note.from);
  head.varint(note.settledBlock + 1);
  head.varint(note.limits.length);
  let overflow = 0;
  for (const [index, limit] of note.limits.entries()) {
    // An even share of what is left, so that one limiter cannot starve the next.
    overflow += writeLimit(head, limit, note.committed, Math.floor((bytes_max - head.length) / (note.limits.length - index)));
  }
  const lives = new Writer(512);
  let count = 0;
  for (const life of note.lives) {
    // 8 for the hashes, at most 8 for the distance, 3 for the count.
    if (head.length + lives.length + 19 > bytes_max) break;
    lives.u32(life.hashA);
    lives.u32(life.hashB);
    lives.varint(note.committed - life.offset);
    count++;
  }
  overflow += note.lives.length - count;
  head.varint(count);
  head.raw(lives.bytes, 0, lives.length);
  return { text: head.view().toString('base64url'), overflow };
}

function writeLimit(to: Writer, limit: LimitState, committed: number, bytes_max: number): number {
  let first = limit.closings.length;
  const scratch = new Writer(64);
  const before = to.length;
  to.varint(limit.window + 1);
  to.varint(limit.used);
  to.byte(limit.closed ? 1 : 0);
  // At most a third: a lease takes up to 16, seldom above 3.
  let firstLease = limit.leases.length;
  for (; firstLease > 0; firstLease--) {
    writeLease(scratch, limit.leases[firstLease - 1]!, limit.leases[firstLease - 2]);
    if ((scratch.length + 16) * 3 > bytes_max) break;
  }
  to.varint(limit.leases.length - firstLease);
  for (let at = firstLease; at < limit.leases.length; at++) {
    writeLease(to, limit.leases[at]!, at === firstLease ? undefined : limit.leases[at - 1]);
  }
  // 3: the count. A closing takes at most 24, seldom above 6: measured, newest first.
  let size = to.length - before + 3;
  while (first > 0) {
    scratch.reset();
    writeClosing(scratch, limit.closings[first - 1]!, limit.closings[first - 2], committed);
    size += scratch.length;
    if (size + 8 > bytes_max) break;
    first--;
  }
  to.varint(limit.closings.length - first);
  for (let at = first; at < limit.closings.length; at++) {
    writeClosing(to, limit.closings[at]!, at === first ? undefined : limit.closings[at - 1], committed);
  }
  return first + firstLease;
}

function writeLease(to: Writer, lease: Lease, before: Lease | undefined): void {
  to.varint(lease.block - (before?.block ?? 0));
  to.varint(lease.spans < 0 ? -2 * lease.spans - 1 : 2 * lease.spans);
}

function writeClosing(to: Writer, closing: Closing, before: Closing | undefined, committed: number): void {
  to.varint(closing.window - (before?.window ?? 0));
  to.varint(committed - closing.offset);
  to.varint(closing.spanIndex);
}

/** Undefined for a text that no version of ours wrote. */
export function readNote(text: string): SampleNote | undefined {
  const reader = new NoteReader(Buffer.from(text, 'base64url'));
  if (reader.byte() !== VERSION) return undefined;
  const from = reader.varint();
  const committed = from + reader.varint();
  const settledBlock = reader.varint() - 1;
  const limits = reader.list(() => readLimit(reader, committed));
  const lives = reader.list((): NotedLife => ({ hashA: reader.u32(), hashB: reader.u32(), offset: committed - reader.varint() }));
  return reader.isBroken() ? undefined : { from, committed, settledBlock, limits, lives };
}

function readLimit(reader: NoteReader, committed: number): LimitState {
  const window = reader.varint() - 1;
  const used = reader.varint();
  const closed = reader.byte() === 1;
  let block = 0;
  const leases = reader.list((): Lease => {
    block += reader.varint();
    const zigzag = reader.varint();
    return { block, spans: zigzag % 2 === 1 ? -(zigzag + 1) / 2 : zigzag / 2 };
  });
  let before = 0;
  const closings = reader.list((): Closing => {
    before += reader.varint();
    return { window: before, offset: committed - reader.varint(), spanIndex: reader.varint() };
  });
  return { window, used, closed, closings, leases };
}

class NoteReader {
  private readonly bytes: Buffer;
  private at = 0;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
  /** Something ran past the end, or something is left. */
  isBroken(): boolean {
    return this.at !== this.bytes.length;
  }
  byte(): number {
    return this.bytes[this.at++] ?? 0;
  }
  u32(): number {
    return this.byte() + this.byte() * 0x100 + this.byte() * 0x1_0000 + this.byte() * 0x100_0000;
  }
  varint(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 56; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    return value;
  }
  list<T>(one: () => T): T[] {
    const items: T[] = [];
    let left = this.varint();
    for (; left > 0 && this.at < this.bytes.length; left--) items.push(one());
    this.at += left;
    return items;
  }
}
