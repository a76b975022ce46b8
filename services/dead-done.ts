import { deflateRawSync, inflateRawSync } from 'node:zlib';

// The log allows a note of 4,000 characters.
const NOTE_CHARACTERS_MAX = 3_900;
const BITMAP_BYTES_MAX = 1 << 20;

/**
 * Which letters are done with: replayed or dropped. What the group dead-replay commits: the offset of the first letter that is not, and
 * beside it those above that are, because a person may replay some by their reason first. JSON:
 *
 *   {"v":1,"done":"…"}      base64 of a raw deflate of a bitmap: bit n of byte m is the letter offset + 8·m + n
 */
export class DoneLetters {
  /** Every letter below is done with. */
  offset: number;
  private readonly above = new Set<number>();

  /** @throws where the note is not ours */
  constructor(offset: number, note: string) {
    this.offset = offset;
    if (note === '') return;
    const { v, done } = JSON.parse(note) as Record<string, unknown>;
    if (v !== 1 || typeof done !== 'string') throw new Error(`the note of the group dead-replay is not understood: ${note}`);
    const bitmap = inflateRawSync(Buffer.from(done, 'base64'), { maxOutputLength: BITMAP_BYTES_MAX });
    for (let bit = 0; bit < bitmap.length * 8; bit++) if ((bitmap[bit >> 3]! >> (bit & 7)) & 1) this.add(offset + bit);
  }

  has(letter: number): boolean {
    return letter < this.offset || this.above.has(letter);
  }

  add(letter: number): void {
    if (letter >= this.offset) this.above.add(letter);
    while (this.above.delete(this.offset)) this.offset++;
  }

  /** Undefined where it does not fit any more: too many letters, too far apart. */
  note(): string | undefined {
    if (this.above.size === 0) return '';
    let last = 0;
    for (const letter of this.above) last = Math.max(last, letter);
    const bytes = ((last - this.offset) >> 3) + 1;
    if (bytes > BITMAP_BYTES_MAX) return undefined;
    const bitmap = Buffer.alloc(bytes);
    for (const letter of this.above) bitmap[(letter - this.offset) >> 3]! |= 1 << ((letter - this.offset) & 7);
    const note = JSON.stringify({ v: 1, done: deflateRawSync(bitmap).toString('base64') });
    return note.length <= NOTE_CHARACTERS_MAX ? note : undefined;
  }
}
