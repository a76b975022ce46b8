/** A pattern that cannot be used. `at` counts characters of the pattern from 0. */
export class RegexError extends Error {
  override readonly name = 'RegexError';
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/** RE2 classes inside [[:name:]]. */
const POSIX_CLASSES: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  ascii: '\\x00-\\x7f',
  blank: '\\t ',
  cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\t\\n\\v\\f\\r ',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
};
const RE2_SPACE = '\\t\\n\\f\\r ';

/**
 * Translates a pattern of RE2 (github.com/google/re2/wiki/Syntax), which Collector users write, to JavaScript's syntax
 * without the u flag. Flags (?ims) are taken at the start only. Refused, with a reason: look-around and back references
 * (RE2 has none), Unicode classes, flags inside the pattern, (?U), \C.
 * @throws RegexError
 */
export function translateRe2(source: string): { pattern: string; flags: string } {
  const head = /^(?:\(\?([imsU]+)\))*/.exec(source)![0];
  const letters = new Set(head.replaceAll(/[(?)]/g, ''));
  if (letters.has('U')) throw new RegexError('the flag U is not supported', 0);
  if (letters.has('m') && /\\[Az]/.test(source)) throw new RegexError('\\A and \\z with the flag m are not supported', 0);
  const out: string[] = [];
  const dotAll = letters.has('s');
  for (let at = head.length; at < source.length;) {
    const char = source[at]!;
    if (char === '\\') at = escape(source, at, out, false);
    else if (char === '[') at = charClass(source, at, out);
    else if (char === '(' && source[at + 1] === '?') at = group(source, at, out);
    else {
      // RE2's dot leaves out \n only, JavaScript's also \r and the Unicode line ends.
      out.push(char === '.' ? (dotAll ? '[^]' : '[^\\n]') : char);
      at++;
    }
  }
  const flags = (letters.has('i') ? 'i' : '') + (letters.has('m') ? 'm' : '');
  return { pattern: out.join(''), flags };
}

/** Reads (?: and (?P<name>; returns where to go on. */
function group(source: string, at: number, out: string[]): number {
  if (source.startsWith('(?:', at)) {
    out.push('(?:');
    return at + 3;
  }
  const named = /^\(\?P?<([A-Za-z_][A-Za-z0-9_]*)>/.exec(source.slice(at));
  if (named !== null) {
    // Names matter to nobody here, and the same name twice is an error in JavaScript only.
    out.push('(');
    return at + named[0].length;
  }
  if (/^\(\?<?[=!]/.test(source.slice(at))) throw new RegexError('look-around is not part of RE2', at);
  if (/^\(\?[imsU-]+[:)]/.test(source.slice(at))) throw new RegexError('flags stand at the start of the pattern only', at);
  throw new RegexError('unknown group (?', at);
}

/** Reads one backslash sequence; returns where to go on. */
function escape(source: string, at: number, out: string[], inClass: boolean): number {
  const char = source[at + 1];
  if (char === undefined) throw new RegexError('a backslash at the end', at);
  const next = at + 2;
  if (/[dDwWfnrtv]/.test(char) || (!inClass && /[bB]/.test(char))) {
    out.push(`\\${char}`);
    return next;
  }
  switch (char) {
    case 's':
      out.push(inClass ? RE2_SPACE : `[${RE2_SPACE}]`);
      return next;
    case 'S':
      if (inClass) throw new RegexError('\\S inside a class is not supported', at);
      out.push(`[^${RE2_SPACE}]`);
      return next;
    case 'a':
      out.push('\\x07');
      return next;
    case 'A':
    case 'z':
      if (inClass) break;
      out.push(char === 'A' ? '^' : '$');
      return next;
    case 'Q': {
      const end = source.indexOf('\\E', next);
      const literal = source.slice(next, end < 0 ? source.length : end);
      out.push(literal.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'));
      return end < 0 ? source.length : end + 2;
    }
    case 'x': {
      const digits = /^(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]{1,6})\})/.exec(source.slice(next));
      const code = digits === null ? Number.NaN : Number.parseInt(digits[1] ?? digits[2]!, 16);
      if (digits === null || code > 0xffff) throw new RegexError('\\x needs two hex digits, or up to FFFF in braces', at);
      out.push(`\\u${code.toString(16).padStart(4, '0')}`);
      return next + digits[0].length;
    }
    case 'p':
    case 'P':
      throw new RegexError('Unicode classes are not supported yet', at);
    default:
      if (/[1-9]/.test(char)) throw new RegexError('back references are not part of RE2', at);
      if (/[A-Za-z0-9]/.test(char)) break;
      out.push(`\\${char}`);
      return next;
  }
  throw new RegexError(`unknown escape \\${char}`, at);
}

/** Reads a class from its [ to its ]; returns where to go on. */
function charClass(source: string, start: number, out: string[]): number {
  let at = start + 1;
  out.push('[');
  if (source[at] === '^') {
    out.push('^');
    at++;
  }
  const first = at;
  for (; at < source.length;) {
    const char = source[at]!;
    if (char === ']' && at > first) {
      out.push(']');
      return at + 1;
    }
    if (char === '\\') {
      at = escape(source, at, out, true);
      continue;
    }
    const posix = char === '[' ? /^\[:(\^?)([a-z]+):\]/.exec(source.slice(at)) : null;
    if (posix !== null) {
      const members = POSIX_CLASSES[posix[2]!];
      if (members === undefined) throw new RegexError(`unknown class ${posix[0]}`, at);
      if (posix[1] !== '') throw new RegexError('a negated class inside a class is not supported', at);
      out.push(members);
      at += posix[0].length;
      continue;
    }
    // A ] in first place, and [ anywhere, stand for themselves.
    out.push(char === ']' || char === '[' ? `\\${char}` : char);
    at++;
  }
  throw new RegexError('the class [ is not closed', start);
}
