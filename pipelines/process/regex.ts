import { setFlagsFromString } from 'node:v8';
import { hashBytes } from '../base/hash.ts';
import { sameBytes } from '../otlp/attributes.ts';
import { RegexError, translateRe2 } from './re2.ts';

/** A value longer than this is matched by its first bytes only: a body of megabytes is no business of a filter. */
export const REGEX_INPUT_BYTES_MAX = 16_384;
/** Verdicts remembered for one pattern, and the longest value that is remembered. */
export const REGEX_MEMO_ENTRIES = 1024;
export const REGEX_MEMO_BYTES_MAX = 512;

let guarded = false;

/**
 * V8 backtracks, so a pattern that Go's RE2 runs in linear time can take for ever. With this flag V8 gives a run that
 * backtracks too much over to its linear engine. Patterns that the linear engine cannot run are refused below, so that
 * every pattern that compiles is bounded.
 */
function guardBacktracking(): void {
  if (guarded) return;
  setFlagsFromString('--enable-experimental-regexp-engine');
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');
  guarded = true;
}

/**
 * A pattern in RE2 syntax over UTF-8 bytes. A match needs a string, so verdicts are remembered by the value's bytes: repeated
 * values, which are nearly all in a mesh, cost a hash and a comparison and allocate nothing. Plain text, also with ^ or $ around
 * it, is compared as bytes and never becomes a string.
 */
export class BytesPattern {
  readonly source: string;
  private readonly regex: RegExp;
  private readonly plain: PlainText | undefined;
  private readonly hashes = new Uint32Array(REGEX_MEMO_ENTRIES);
  private readonly verdicts = new Uint8Array(REGEX_MEMO_ENTRIES);
  private readonly values: Buffer[] = Array.from({ length: REGEX_MEMO_ENTRIES }, () => UNUSED);
  /** Values that no verdict was remembered for. */
  misses = 0;

  /** @throws RegexError */
  constructor(source: string) {
    const { pattern, flags } = translateRe2(source);
    guardBacktracking();
    try {
      // The flag l asks for the linear engine: it is here to refuse what that engine cannot run.
      void new RegExp(pattern, `${flags}l`);
      this.regex = new RegExp(pattern, flags);
    } catch (error) {
      const reason = error instanceof Error ? error.message.replace(/^Invalid regular expression: \/.*\/[a-z]*: /s, '') : String(error);
      throw new RegexError(reason.charAt(0).toLowerCase() + reason.slice(1), 0);
    }
    this.source = source;
    this.plain = plainText(source);
  }

  /** Whether the pattern matches anywhere in the text bytes[start, stop). */
  matches(bytes: Buffer, start: number, stop: number): boolean {
    if (this.plain !== undefined) return matchesPlain(this.plain, bytes, start, stop);
    const size = stop - start;
    if (size > REGEX_MEMO_BYTES_MAX) {
      this.misses++;
      return this.regex.test(bytes.toString('utf8', start, Math.min(stop, start + REGEX_INPUT_BYTES_MAX)));
    }
    const hash = hashBytes(bytes, start, stop);
    const entry = hash % REGEX_MEMO_ENTRIES;
    const known = this.values[entry]!;
    if (this.hashes[entry] === hash && known.length === size && sameBytes(bytes, start, known, 0, size)) {
      return this.verdicts[entry] === 1;
    }
    this.misses++;
    const verdict = this.regex.test(bytes.toString('utf8', start, stop));
    const copy = Buffer.allocUnsafeSlow(size);
    bytes.copy(copy, 0, start, stop);
    this.values[entry] = copy;
    this.hashes[entry] = hash;
    this.verdicts[entry] = verdict ? 1 : 0;
    return verdict;
  }
}

// Longer than any value that is remembered, so that an unused entry equals none.
const UNUSED = Buffer.alloc(REGEX_MEMO_BYTES_MAX + 1);

interface PlainText {
  readonly text: Buffer;
  readonly atStart: boolean;
  readonly atEnd: boolean;
}

/** Patterns without any operator but ^ in front and $ behind; a backslash before punctuation is the punctuation. */
function plainText(source: string): PlainText | undefined {
  const found = /^(\^?)((?:[A-Za-z0-9_ \-/:@,;=#%&~"'<>!]|\\[.\-/+*?()[\]{}|^$\\])*)(\$?)$/.exec(source);
  if (found === null) return undefined;
  return { text: Buffer.from(found[2]!.replaceAll(/\\(.)/g, '$1')), atStart: found[1] !== '', atEnd: found[3] !== '' };
}

function matchesPlain(plain: PlainText, bytes: Buffer, start: number, stop: number): boolean {
  const { text } = plain;
  const size = text.length;
  const last = stop - size;
  if (last < start) return false;
  if (plain.atStart) return (!plain.atEnd || last === start) && sameBytes(bytes, start, text, 0, size);
  if (plain.atEnd) return sameBytes(bytes, last, text, 0, size);
  if (size === 0) return true;
  const first = text[0];
  for (let at = start; at <= last; at++) if (bytes[at] === first && sameBytes(bytes, at, text, 0, size)) return true;
  return false;
}
