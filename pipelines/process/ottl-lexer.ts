import { ConditionError } from './condition-error.ts';

/*
 * Tokens of OTTL (opentelemetry-collector-contrib, pkg/ottl/GRAMMAR.md):
 *
 *   bytes   0x hex hex …           float   [+-] digits . digits [exponent]      int  [+-] digits
 *   string  " … " with Go's escapes
 *   name    letter (letter | digit | _)*      keywords and enum names are names too
 *   compare == != >= <= > <        math  + - * /        punctuation ( ) [ ] { } , . : =
 */
type TokenKind = 'bytes' | 'float' | 'int' | 'string' | 'name' | 'compare' | 'math' | 'punctuation' | 'end';

/** `column` counts from 1. `bytes` is the value of a string or of a byte literal. */
export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly column: number;
  readonly bytes: Buffer | undefined;
}

const PATTERNS: readonly (readonly [TokenKind, RegExp])[] = [
  ['bytes', /0x[a-fA-F0-9]+/y],
  ['float', /[-+]?\d*\.\d+(?:[eE][-+]?\d+)?/y],
  ['int', /[-+]?\d+/y],
  ['string', /"(?:\\.|[^\\"])*"/sy],
  ['name', /[A-Za-z_][A-Za-z0-9_]*/y],
  ['compare', /==|!=|>=|<=|>|</y],
  ['math', /[-+*/]/y],
  ['punctuation', /[()[\]{},.:=]/y],
];
const SPACE = /\s+/y;

/** @throws ConditionError */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const space = matchAt(SPACE, text, at);
    if (space !== undefined) {
      at += space.length;
      continue;
    }
    const token = tokenAt(text, at, tokens.at(-1));
    tokens.push(token);
    at += token.text.length;
  }
  tokens.push({ kind: 'end', text: '', column: text.length + 1, bytes: undefined });
  return tokens;
}

function tokenAt(text: string, at: number, before: Token | undefined): Token {
  const column = at + 1;
  for (const [kind, pattern] of PATTERNS) {
    const found = matchAt(pattern, text, at);
    if (found === undefined) continue;
    // After a value, + and − are arithmetic, not the sign of the next number.
    if ((kind === 'int' || kind === 'float') && /^[-+]/.test(found) && before !== undefined && endsValue(before)) continue;
    if (kind === 'bytes' && found.length % 2 === 1) throw new ConditionError('a byte literal needs an even number of hex digits', column);
    const bytes = kind === 'string' ? unquote(found, column) : kind === 'bytes' ? Buffer.from(found.slice(2), 'hex') : undefined;
    return { kind, text: found, column, bytes };
  }
  throw unknownCharacter(text, at);
}

function unknownCharacter(text: string, at: number): ConditionError {
  const char = text[at]!;
  const column = at + 1;
  if (char === '"') return new ConditionError('the string is not closed', column, 'end it with "');
  if (char === "'") return new ConditionError('strings stand in double quotes', column, 'write "…"');
  if (text.startsWith('&&', at)) return new ConditionError('unknown operator &&', column, 'write and');
  if (text.startsWith('||', at)) return new ConditionError('unknown operator ||', column, 'write or');
  if (char === '!') return new ConditionError('unknown operator !', column, 'write not');
  return new ConditionError(`unexpected character ${JSON.stringify(char)}`, column);
}

function endsValue(token: Token): boolean {
  if (token.kind === 'punctuation') return token.text === ')' || token.text === ']';
  if (token.kind === 'name') return !['and', 'or', 'not'].includes(token.text);
  return token.kind !== 'compare' && token.kind !== 'math';
}

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

const SIMPLE_ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13, '"': 0x22, "'": 0x27, '\\': 0x5c };

/** The bytes of a quoted string with Go's escapes (strconv.Unquote). \x and octal escapes are bytes, not characters. */
function unquote(quoted: string, column: number): Buffer {
  const parts: Buffer[] = [];
  const body = quoted.slice(1, -1);
  const escape = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))/gsu;
  let from = 0;
  for (const found of body.matchAll(escape)) {
    parts.push(Buffer.from(body.slice(from, found.index)));
    from = found.index + found[0].length;
    const [, hex, short, long, octal, char] = found;
    const codePoint = short ?? long;
    if (hex !== undefined) parts.push(Buffer.of(Number.parseInt(hex, 16)));
    else if (octal !== undefined) parts.push(Buffer.of(Number.parseInt(octal, 8) & 0xff));
    else if (codePoint !== undefined && Number.parseInt(codePoint, 16) <= 0x10ffff) {
      parts.push(Buffer.from(String.fromCodePoint(Number.parseInt(codePoint, 16))));
    } else if (char !== undefined && SIMPLE_ESCAPES[char] !== undefined) parts.push(Buffer.of(SIMPLE_ESCAPES[char]));
    else
      throw new ConditionError(`unknown escape ${found[0]}`, column + 1 + found.index, `write \\${found[0]} for a backslash in a string`);
  }
  parts.push(Buffer.from(body.slice(from)));
  return Buffer.concat(parts);
}
