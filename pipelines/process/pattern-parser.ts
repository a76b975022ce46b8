import {
  CODE_POINT_MAX,
  DIGIT,
  POSIX,
  SPACE,
  WORD,
  complement,
  foldCase,
  normalize,
  unicodeRanges,
  type Ranges,
} from './pattern-ranges.ts';

/** A pattern that cannot be used. `at` counts characters of the pattern from 0. */
export class PatternError extends Error {
  override readonly name = 'PatternError';
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

export type Assertion = 'text-start' | 'text-end' | 'line-start' | 'line-end' | 'word' | 'not-word';

/** Captures and greediness are gone: a test only asks whether there is a match. */
export type PatternNode =
  | { readonly kind: 'class'; readonly ranges: Ranges }
  | { readonly kind: 'assert'; readonly assertion: Assertion }
  | { readonly kind: 'concat' | 'alternate'; readonly items: readonly PatternNode[] }
  | { readonly kind: 'repeat'; readonly item: PatternNode; readonly min: number; readonly max: number };

const REPEAT_MAX = 1000; // RE2's own limit
const NESTING_MAX = 100;
const NEWLINE = 10;
const CONTROL_ESCAPES: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 };

/** Reads a pattern in RE2's syntax (github.com/google/re2/wiki/Syntax). @throws PatternError */
export function parsePattern(source: string): PatternNode {
  const parser = new PatternParser(source);
  const node = parser.alternation();
  parser.end();
  return node;
}

interface Flags {
  readonly ignoreCase: boolean;
  readonly multiLine: boolean;
  readonly dotAll: boolean;
}

class PatternParser {
  private readonly source: string;
  private at = 0;
  private depth = 0;
  private flags: Flags = { ignoreCase: false, multiLine: false, dotAll: false };

  constructor(source: string) {
    this.source = source;
  }

  alternation(): PatternNode {
    if (++this.depth > NESTING_MAX) throw new PatternError(`nested more than ${NESTING_MAX} deep`, this.at);
    const items = [this.sequence()];
    while (this.take('|')) items.push(this.sequence());
    this.depth--;
    return items.length === 1 ? items[0]! : { kind: 'alternate', items };
  }

  end(): void {
    if (this.at < this.source.length) throw new PatternError('unexpected )', this.at);
  }

  private sequence(): PatternNode {
    const items: PatternNode[] = [];
    while (this.at < this.source.length && !this.sees('|') && !this.sees(')')) {
      const atom = this.atom();
      if (atom !== undefined) items.push(this.repeated(atom));
    }
    return items.length === 1 ? items[0]! : { kind: 'concat', items };
  }

  /** The quantifier behind `item`, if there is one. A brace that is no quantifier stands for itself, as in RE2. */
  private repeated(item: PatternNode): PatternNode {
    const found = /^(?:[*+?]|\{(\d+)(,(\d*))?\})\??/.exec(this.source.slice(this.at));
    if (found === null) return item;
    const from = this.at;
    this.at += found[0].length;
    if (/^(?:[*+?]|\{\d+(?:,\d*)?\})/.test(this.source.slice(this.at))) throw new PatternError('a quantifier behind a quantifier', this.at);
    const sign = found[0][0];
    if (sign !== '{') return { kind: 'repeat', item, min: sign === '+' ? 1 : 0, max: sign === '?' ? 1 : Infinity };
    const min = Number(found[1]);
    const max = found[2] === undefined ? min : found[3] === '' ? Infinity : Number(found[3]);
    if (min > REPEAT_MAX || (max !== Infinity && max > REPEAT_MAX)) throw new PatternError(`repeats more than ${REPEAT_MAX} times`, from);
    if (min > max) throw new PatternError(`${found[0]} counts down`, from);
    return { kind: 'repeat', item, min, max };
  }

  /** Undefined for what only sets flags. */
  private atom(): PatternNode | undefined {
    const start = this.at;
    const code = this.source.codePointAt(start)!;
    this.at += code > 0xffff ? 2 : 1;
    switch (this.source[start]) {
      case '(':
        return this.group(start);
      case '[':
        return { kind: 'class', ranges: this.characterClass(start) };
      case '\\':
        return this.escape(start);
      case '.':
        return { kind: 'class', ranges: this.flags.dotAll ? [0, CODE_POINT_MAX] : complement([NEWLINE, NEWLINE]) };
      case '^':
        return { kind: 'assert', assertion: this.flags.multiLine ? 'line-start' : 'text-start' };
      case '$':
        return { kind: 'assert', assertion: this.flags.multiLine ? 'line-end' : 'text-end' };
      case '*':
      case '+':
      case '?':
        throw new PatternError('a quantifier has nothing to repeat', start);
      default:
        return this.literal(code);
    }
  }

  private literal(code: number): PatternNode {
    return { kind: 'class', ranges: this.folded([code, code]) };
  }

  private group(start: number): PatternNode | undefined {
    const before = this.flags;
    if (this.sees('?')) {
      const rest = this.source.slice(start);
      const head = /^\(\?(?:P?<[A-Za-z_][A-Za-z0-9_]*>|([imsU]*)(?:-([imsU]+))?([:)]))/.exec(rest);
      if (head === null) {
        throw new PatternError(/^\(\?<?[=!]/.test(rest) ? 'look-around is not part of RE2' : 'unknown group (?', start);
      }
      this.at = start + head[0].length;
      if (head[3] !== undefined) this.flags = withFlags(withFlags(this.flags, head[1]!, true), head[2] ?? '', false);
      if (head[3] === ')') return undefined;
    }
    const node = this.alternation();
    if (!this.take(')')) throw new PatternError('the group ( is not closed', start);
    this.flags = before;
    return node;
  }

  private escape(start: number): PatternNode {
    const char = this.source[this.at];
    if (char === undefined) throw new PatternError('a backslash at the end', start);
    const assertion = ({ A: 'text-start', z: 'text-end', b: 'word', B: 'not-word' } as const)[char];
    if (assertion !== undefined) {
      this.at++;
      return { kind: 'assert', assertion };
    }
    if (char === 'Q') {
      const end = this.source.indexOf('\\E', this.at);
      const text = this.source.slice(this.at + 1, end < 0 ? undefined : end);
      this.at = end < 0 ? this.source.length : end + 2;
      return { kind: 'concat', items: Array.from(text, (each) => this.literal(each.codePointAt(0)!)) };
    }
    const escaped = this.escapedClass(start);
    return { kind: 'class', ranges: typeof escaped === 'number' ? this.folded([escaped, escaped]) : escaped };
  }

  /** Behind a backslash at `start`: a code point, or the ranges of a class. */
  private escapedClass(start: number): number | Ranges {
    const char = this.source[this.at++];
    switch (char) {
      case 'd':
      case 'D':
        return char === 'd' ? DIGIT : complement(DIGIT);
      case 'w':
      case 'W':
        return char === 'w' ? WORD : complement(WORD);
      case 's':
      case 'S':
        return char === 's' ? SPACE : complement(SPACE);
      case 'p':
      case 'P':
        return this.unicodeClass(start, char === 'P');
      case 'x': {
        const digits = /^(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]+)\})/.exec(this.source.slice(this.at));
        const code = digits === null ? Infinity : Number.parseInt(digits[1] ?? digits[2]!, 16);
        if (digits === null || code > CODE_POINT_MAX) throw new PatternError('\\x needs two hex digits, or up to 10FFFF in braces', start);
        this.at += digits[0].length;
        return code;
      }
      case undefined:
        throw new PatternError('a backslash at the end', start);
      default: {
        const control = CONTROL_ESCAPES[char];
        if (control !== undefined) return control;
        const octal = /^(?:0[0-7]{0,2}|[1-7][0-7]{2})/.exec(this.source.slice(this.at - 1));
        if (octal !== null) {
          this.at += octal[0].length - 1;
          return Number.parseInt(octal[0], 8);
        }
        if (/[1-9]/.test(char)) throw new PatternError('back references are not part of RE2', start);
        if (/[A-Za-z0-9]/.test(char)) throw new PatternError(`unknown escape \\${char}`, start);
        return char.codePointAt(0)!;
      }
    }
  }

  private unicodeClass(start: number, negated: boolean): Ranges {
    const found = /^(?:([A-Za-z])|\{(\^?)([A-Za-z_]+)\})/.exec(this.source.slice(this.at));
    const ranges = found === null ? undefined : unicodeRanges(found[1] ?? found[3]!);
    if (found === null || ranges === undefined) throw new PatternError('unknown Unicode class', start);
    this.at += found[0].length;
    return negated !== (found[2] === '^') ? complement(ranges) : ranges;
  }

  /** From behind the [ at `start` to behind its ]. */
  private characterClass(start: number): Ranges {
    const negated = this.take('^');
    const members: number[] = [];
    for (let first = true; first || !this.sees(']'); first = false) {
      if (this.at >= this.source.length) throw new PatternError('the class [ is not closed', start);
      const posix = /^\[:(\^?)([a-z]+):\]/.exec(this.source.slice(this.at));
      if (posix !== null) {
        const ranges = POSIX[posix[2]!];
        if (ranges === undefined) throw new PatternError(`unknown class ${posix[0]}`, this.at);
        members.push(...(posix[1] === '' ? ranges : complement(ranges)));
        this.at += posix[0].length;
        continue;
      }
      const from = this.at;
      const low = this.classMember();
      if (typeof low !== 'number') members.push(...low);
      else if (this.sees('-') && this.source[this.at + 1] !== ']' && this.at + 1 < this.source.length) {
        this.at++;
        const high = this.classMember();
        if (typeof high !== 'number' || high < low) throw new PatternError('a range that is none', from);
        members.push(low, high);
      } else members.push(low, low);
    }
    this.at++;
    const ranges = this.folded(normalize(members));
    return negated ? complement(ranges) : ranges;
  }

  private classMember(): number | Ranges {
    const code = this.source.codePointAt(this.at)!;
    const start = this.at;
    this.at += code > 0xffff ? 2 : 1;
    return this.source[start] === '\\' ? this.escapedClass(start) : code;
  }

  private folded(ranges: Ranges): Ranges {
    return this.flags.ignoreCase ? foldCase(ranges) : ranges;
  }

  private sees(text: string): boolean {
    return this.source[this.at] === text;
  }

  private take(text: string): boolean {
    if (!this.sees(text)) return false;
    this.at++;
    return true;
  }
}

/** U swaps greedy and lazy, which a test cannot see. */
function withFlags(flags: Flags, letters: string, on: boolean): Flags {
  return {
    ignoreCase: letters.includes('i') ? on : flags.ignoreCase,
    multiLine: letters.includes('m') ? on : flags.multiLine,
    dotAll: letters.includes('s') ? on : flags.dotAll,
  };
}
