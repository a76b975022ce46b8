import { parsePattern, type Assertion } from './pattern-parser.ts';
import { BYTE, MATCH, SPLIT, compileProgram, type Program } from './pattern-program.ts';

/** States that the automaton of one pattern may hold; when they are full it starts anew, counted in `resets`. */
const PATTERN_STATES_MAX = 512;

// The character before a position, as far as an assertion asks for it.
const AT_START = 0;
const AFTER_NEWLINE = 1;
const AFTER_WORD = 2;
const AFTER_OTHER = 3;

const UNKNOWN = -1;
const DEAD = 0;
const ACCEPT = 1;
const INITIAL = 2;
const NEWLINE = 10;

/**
 * A pattern in RE2's syntax, run over UTF-8 bytes by a lazily built deterministic automaton: one table look-up a byte, no string,
 * no backtracking, and no allocation once the states that the data needs are there (RE2 itself works so). A JavaScript RegExp would need a
 * string for every value, and can be made to run for ever. Byte sequences that are not UTF-8 match no character.
 */
export class BytesPattern {
  readonly source: string;
  resets = 0;
  private readonly program: Program;
  /** Bytes that no instruction tells apart share a class; the class behind the last stands for the end of the text. */
  private readonly classOf = new Uint8Array(256);
  private readonly representatives: number[] = [];
  private readonly stride: number;
  private readonly asksLine: boolean;
  private readonly asksWord: boolean;
  private readonly anchored: boolean;
  private next: Int32Array;
  private sets: (readonly number[])[] = [];
  private contexts: number[] = [];
  private ids = new Map<string, number>();
  private readonly visited: Uint8Array;

  /** @throws PatternError */
  constructor(source: string) {
    this.source = source;
    this.program = compileProgram(parsePattern(source));
    const { assertions } = this.program;
    this.asksLine = assertions.includes('line-start');
    this.asksWord = assertions.includes('word') || assertions.includes('not-word');
    this.visited = new Uint8Array(this.program.op.length);
    this.classify(assertions.includes('line-start') || assertions.includes('line-end'));
    this.stride = this.representatives.length + 1;
    this.next = new Int32Array(0);
    this.anchored = !this.canStartLater();
    this.reset();
  }

  /** Whether the pattern matches anywhere in the text bytes[start, stop). */
  matches(bytes: Buffer, start: number, stop: number): boolean {
    const { classOf, stride } = this;
    let state = INITIAL;
    for (let at = start; at < stop; at++) {
      const symbol = classOf[bytes[at]!]!;
      let to = this.next[state * stride + symbol]!;
      if (to === UNKNOWN) to = this.step(state, symbol);
      if (to <= ACCEPT) return to === ACCEPT;
      state = to;
    }
    const last = this.next[state * stride + stride - 1]!;
    return (last === UNKNOWN ? this.step(state, stride - 1) : last) === ACCEPT;
  }

  private classify(newline: boolean): void {
    const { op, a, b } = this.program;
    const edges = new Set<number>([0]);
    for (let pc = 0; pc < op.length; pc++) if (op[pc] === BYTE && a[pc]! <= b[pc]!) edges.add(a[pc]!).add(b[pc]! + 1);
    if (newline) edges.add(NEWLINE).add(NEWLINE + 1);
    if (this.asksWord) edges.add(0x80).add(0xc0);
    if (this.asksWord) for (let byte = 1; byte < 256; byte++) if (isWord(byte) !== isWord(byte - 1)) edges.add(byte);
    for (let byte = 0; byte < 256; byte++) {
      if (edges.has(byte)) this.representatives.push(byte);
      this.classOf[byte] = this.representatives.length - 1;
    }
  }

  /** Whether a match can begin behind the start of the text. */
  private canStartLater(): boolean {
    const reached = this.closure([this.program.start], (assertion) => assertion !== 'text-start');
    return reached === undefined || reached.length > 0;
  }

  private reset(): void {
    this.next = new Int32Array((INITIAL + 1 + PATTERN_STATES_MAX) * this.stride).fill(UNKNOWN);
    this.sets = [[], []];
    this.contexts = [AFTER_OTHER, AFTER_OTHER];
    this.ids = new Map();
    this.sets.push([]);
    this.contexts.push(AT_START);
  }

  /** Works out, and remembers, where `state` goes on `symbol`. */
  private step(state: number, symbol: number): number {
    const table = this.next;
    const to = this.target(state, symbol);
    // After a reset the old row is gone.
    if (table === this.next) table[state * this.stride + symbol] = to;
    return to;
  }

  private target(state: number, symbol: number): number {
    const { program, stride } = this;
    const context = this.contexts[state]!;
    const atEnd = symbol === stride - 1;
    const byte = atEnd ? -1 : this.representatives[symbol]!;
    const from = this.anchored && context !== AT_START ? this.sets[state]! : [...this.sets[state]!, program.start];
    const reached = this.closure(from, (assertion) => holdsAt(assertion, context, byte));
    if (reached === undefined) return ACCEPT;
    if (atEnd) return DEAD;
    const set = new Set<number>();
    for (const pc of reached) if (program.a[pc]! <= byte && byte <= program.b[pc]!) set.add(program.c[pc]!);
    if (set.size === 0 && this.anchored) return DEAD;
    const after = this.asksLine && byte === NEWLINE ? AFTER_NEWLINE : this.asksWord && isWord(byte) ? AFTER_WORD : AFTER_OTHER;
    return this.stateOf(
      [...set].sort((left, right) => left - right),
      after,
    );
  }

  private stateOf(set: readonly number[], context: number): number {
    const key = `${context}:${set.join()}`;
    const known = this.ids.get(key);
    if (known !== undefined) return known;
    if (this.sets.length >= INITIAL + 1 + PATTERN_STATES_MAX) {
      this.reset();
      this.resets++;
    }
    const id = this.sets.length;
    this.sets.push(set);
    this.contexts.push(context);
    this.ids.set(key, id);
    return id;
  }

  /** The BYTE instructions that can be reached without reading; undefined when a match is. */
  private closure(from: readonly number[], holds: (assertion: Assertion) => boolean): number[] | undefined {
    const { op, a, b, assertions } = this.program;
    const { visited } = this;
    visited.fill(0);
    const stack = [...from];
    const reached: number[] = [];
    for (let pc = stack.pop(); pc !== undefined; pc = stack.pop()) {
      if (visited[pc] === 1) continue;
      visited[pc] = 1;
      switch (op[pc]) {
        case MATCH:
          return undefined;
        case BYTE:
          reached.push(pc);
          break;
        case SPLIT:
          stack.push(a[pc]!, b[pc]!);
          break;
        default:
          if (holds(assertions[pc]!)) stack.push(a[pc]!);
          break;
      }
    }
    return reached;
  }
}

/** `byte` is what follows, −1 at the end of the text. */
function holdsAt(assertion: Assertion, context: number, byte: number): boolean {
  switch (assertion) {
    case 'text-start':
      return context === AT_START;
    case 'text-end':
      return byte < 0;
    case 'line-start':
      return context === AT_START || context === AFTER_NEWLINE;
    case 'line-end':
      return byte < 0 || byte === NEWLINE;
    case 'word':
      return (context === AFTER_WORD) !== isWord(byte);
    default:
      // Between the bytes of one character there is no position.
      return (context === AFTER_WORD) === isWord(byte) && (byte < 0x80 || byte >= 0xc0);
  }
}

function isWord(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || byte === 0x5f || (byte >= 0x61 && byte <= 0x7a);
}
