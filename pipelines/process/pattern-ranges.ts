/** Code points as pairs first, last; in order, not touching. */
export type Ranges = readonly number[];

export const CODE_POINT_MAX = 0x10ffff;

export const DIGIT: Ranges = [0x30, 0x39];
export const WORD: Ranges = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a];
export const SPACE: Ranges = [9, 10, 12, 13, 32, 32];
export const POSIX: Readonly<Record<string, Ranges>> = {
  alnum: [0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a],
  alpha: [0x41, 0x5a, 0x61, 0x7a],
  ascii: [0, 0x7f],
  blank: [9, 9, 32, 32],
  cntrl: [0, 0x1f, 0x7f, 0x7f],
  digit: DIGIT,
  graph: [0x21, 0x7e],
  lower: [0x61, 0x7a],
  print: [0x20, 0x7e],
  punct: [0x21, 0x2f, 0x3a, 0x40, 0x5b, 0x60, 0x7b, 0x7e],
  space: [9, 13, 32, 32],
  upper: [0x41, 0x5a],
  word: WORD,
  xdigit: [0x30, 0x39, 0x41, 0x46, 0x61, 0x66],
};
export function normalize(pairs: readonly number[]): Ranges {
  const sorted: [number, number][] = [];
  for (let i = 0; i < pairs.length; i += 2) sorted.push([pairs[i]!, pairs[i + 1]!]);
  sorted.sort(([left], [right]) => left - right);
  const out: number[] = [];
  for (const [low, high] of sorted) {
    if (out.length > 0 && low <= out.at(-1)! + 1) out[out.length - 1] = Math.max(out.at(-1)!, high);
    else out.push(low, high);
  }
  return out;
}

export function complement(ranges: Ranges): Ranges {
  const out: number[] = [];
  let next = 0;
  for (let i = 0; i < ranges.length; i += 2) {
    if (ranges[i]! > next) out.push(next, ranges[i]! - 1);
    next = ranges[i + 1]! + 1;
  }
  if (next <= CODE_POINT_MAX) out.push(next, CODE_POINT_MAX);
  return out;
}

/** Adds the other case of every letter. Ranges of more than FOLD_MAX code points are taken to hold both already. */
const FOLD_MAX = 4096;
export function foldCase(ranges: Ranges): Ranges {
  const out = [...ranges];
  for (let i = 0; i < ranges.length; i += 2) {
    if (ranges[i + 1]! - ranges[i]! > FOLD_MAX) continue;
    for (let code = ranges[i]!; code <= ranges[i + 1]!; code++) {
      const char = String.fromCodePoint(code);
      for (const other of [char.toLowerCase(), char.toUpperCase()]) {
        const folded = other.codePointAt(0)!;
        if (folded !== code && String.fromCodePoint(folded).length === other.length) out.push(folded, folded);
      }
    }
  }
  return normalize(out);
}

/** The code points of a general category or a script, asked of the engine once per use in a pattern. */
export function unicodeRanges(name: string): Ranges | undefined {
  for (const property of [name, `Script=${name}`]) {
    let test: RegExp;
    try {
      test = new RegExp(`^\\p{${property}}$`, 'u');
    } catch {
      continue;
    }
    const out: number[] = [];
    for (let code = 0; code <= CODE_POINT_MAX; code++) if (test.test(String.fromCodePoint(code))) out.push(code, code);
    return normalize(out);
  }
  return undefined;
}
