import { PatternError, type Assertion, type PatternNode } from './pattern-parser.ts';
import type { Ranges } from './pattern-ranges.ts';

/** Instructions of a Thompson automaton over bytes. BYTE first last next; SPLIT next other; ASSERT assertion next; MATCH. */
export const BYTE = 0;
export const SPLIT = 1;
const ASSERT = 2;
export const MATCH = 3;

/** A pattern that becomes longer than this is refused: [a-z]{1000} of {1000} would fill the memory. */
const PATTERN_INSTRUCTIONS_MAX = 20_000;

export interface Program {
  readonly op: readonly number[];
  /** BYTE: first byte. SPLIT: next. ASSERT: next. */
  readonly a: readonly number[];
  /** BYTE: last byte. SPLIT: the other next. */
  readonly b: readonly number[];
  /** BYTE: next. */
  readonly c: readonly number[];
  readonly assertions: readonly (Assertion | undefined)[];
  readonly start: number;
}

/** @throws PatternError for a pattern that becomes too long */
export function compileProgram(node: PatternNode): Program {
  const emitter = new Emitter();
  const match = emitter.emit(MATCH, 0, 0, 0);
  const start = emitter.compile(node, match);
  return { op: emitter.op, a: emitter.a, b: emitter.b, c: emitter.c, assertions: emitter.assertions, start };
}

/** Emits from the end to the start: `compile(node, next)` returns where a run of `node` that goes on at `next` begins. */
class Emitter {
  readonly op: number[] = [];
  readonly a: number[] = [];
  readonly b: number[] = [];
  readonly c: number[] = [];
  readonly assertions: (Assertion | undefined)[] = [];
  // Equal instructions with equal continuations are one: the tails of UTF-8 sequences are nearly all alike.
  private readonly bytes = new Map<string, number>();

  emit(op: number, a: number, b: number, c: number, assertion?: Assertion): number {
    if (this.op.length >= PATTERN_INSTRUCTIONS_MAX) throw new PatternError('the pattern is too large', 0);
    this.op.push(op);
    this.a.push(a);
    this.b.push(b);
    this.c.push(c);
    this.assertions.push(assertion);
    return this.op.length - 1;
  }

  compile(node: PatternNode, next: number): number {
    switch (node.kind) {
      case 'class':
        return this.codePoints(node.ranges, next);
      case 'assert':
        return this.emit(ASSERT, next, 0, 0, node.assertion);
      case 'concat': {
        let entry = next;
        for (const item of node.items.toReversed()) entry = this.compile(item, entry);
        return entry;
      }
      case 'alternate':
        return this.oneOf(node.items.map((item) => this.compile(item, next)));
      default:
        return this.repeat(node.item, node.min, node.max, next);
    }
  }

  private repeat(item: PatternNode, min: number, max: number, next: number): number {
    let entry = next;
    if (max === Infinity) {
      entry = this.emit(SPLIT, next, next, 0);
      this.a[entry] = this.compile(item, entry);
    } else {
      for (let i = min; i < max; i++) entry = this.emit(SPLIT, this.compile(item, entry), next, 0);
    }
    for (let i = 0; i < min; i++) entry = this.compile(item, entry);
    return entry;
  }

  private oneOf(entries: readonly number[]): number {
    let entry = entries.at(-1);
    // A class without members matches nothing: a byte that cannot be.
    if (entry === undefined) return this.emit(BYTE, 1, 0, 0);
    for (let i = entries.length - 2; i >= 0; i--) entry = this.emit(SPLIT, entries[i]!, entry, 0);
    return entry;
  }

  private codePoints(ranges: Ranges, next: number): number {
    const entries: number[] = [];
    for (let i = 0; i < ranges.length; i += 2) this.utf8(ranges[i]!, ranges[i + 1]!, next, entries);
    return this.oneOf([...new Set(entries)]);
  }

  /** Cuts [low, high] where the length of the encoding, or the shape of its tail, changes, so that every piece is a product of byte ranges. */
  private utf8(low: number, high: number, next: number, entries: number[]): void {
    for (const edge of [0x7f, 0x7ff, 0xffff]) {
      if (low <= edge && high > edge) {
        this.utf8(low, edge, next, entries);
        this.utf8(edge + 1, high, next, entries);
        return;
      }
    }
    if (high > 0x7f) {
      for (let tail = 1; tail < 4; tail++) {
        const mask = 2 ** (6 * tail) - 1;
        if (Math.floor(low / (mask + 1)) === Math.floor(high / (mask + 1))) continue;
        if (low % (mask + 1) !== 0) {
          const edge = low - (low % (mask + 1)) + mask;
          this.utf8(low, edge, next, entries);
          this.utf8(edge + 1, high, next, entries);
          return;
        }
        if (high % (mask + 1) !== mask) {
          const edge = high - (high % (mask + 1)) - 1;
          this.utf8(low, edge, next, entries);
          this.utf8(edge + 1, high, next, entries);
          return;
        }
      }
    }
    const first = encodeUtf8(low);
    const last = encodeUtf8(high);
    let entry = next;
    for (let i = first.length - 1; i >= 0; i--) entry = this.byte(first[i]!, last[i]!, entry);
    entries.push(entry);
  }

  private byte(first: number, last: number, next: number): number {
    const key = `${first} ${last} ${next}`;
    const known = this.bytes.get(key);
    if (known !== undefined) return known;
    const entry = this.emit(BYTE, first, last, next);
    this.bytes.set(key, entry);
    return entry;
  }
}

/** By hand, because surrogates inside a range must encode too. */
function encodeUtf8(code: number): number[] {
  if (code < 0x80) return [code];
  if (code < 0x800) return [0xc0 | (code >> 6), 0x80 | (code & 63)];
  if (code < 0x1_0000) return [0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)];
  return [0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)];
}
