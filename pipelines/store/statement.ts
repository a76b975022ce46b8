/**
 * Just enough of ClickHouse's grammar to route a statement: what kind it is, which format it asks for, and where the
 * data of an INSERT begins. Everything else is the engine's to understand.
 *
 *   statement = … [ "FORMAT" name ] [ "SETTINGS" … ] [ ";" ]
 *   insert    = "INSERT" "INTO" target [ "(" columns ")" ] [ "SETTINGS" … ] ( "VALUES" data | "FORMAT" name [ "SETTINGS" … ] data | "SELECT" … | "FROM INFILE" … )
 *   comment   = "--" to the line's end | "#!" or "# " to the line's end | "/*" … "*" "/"
 */
export interface Statement {
  /** First word, upper case: SELECT, WITH, INSERT, SHOW … An opening bracket counts as SELECT. Empty for an empty text. */
  readonly kind: string;
  /** The trailing FORMAT of a query that answers, as it was written. */
  readonly format: string | undefined;
  /** Set where the statement is an INSERT that brings its data along. */
  readonly insert: InsertData | undefined;
}

interface InsertData {
  /** `Values` for VALUES. */
  readonly format: string;
  /** The text up to FORMAT or VALUES. */
  readonly head: string;
  /** Index in the text of the first character of the data. */
  readonly dataStart: number;
}

interface Token {
  readonly word: string;
  readonly start: number;
  readonly stop: number;
  readonly depth: number;
}

/** @param text the statement, which may go on into the data of an INSERT (then read as latin1, so that indices are bytes) */
export function readStatement(text: string): Statement {
  const tokens = new Tokens(text);
  const first = tokens.next();
  if (first === undefined) return { kind: '', format: undefined, insert: undefined };
  const kind = first.word === '(' ? 'SELECT' : first.word.toUpperCase();
  if (kind === 'INSERT') return { kind, format: undefined, insert: readInsert(text, tokens) };
  return { kind, format: readFormat(tokens), insert: undefined };
}

function readInsert(text: string, tokens: Tokens): InsertData | undefined {
  let before = '';
  for (let token = tokens.next(); token !== undefined; token = tokens.next()) {
    const word = token.word.toUpperCase();
    if (token.depth === 0) {
      if (word === 'SELECT' || word === 'WITH' || word === 'INFILE' || word === 'WATCH' || word === 'EXPLAIN') return undefined;
      // A table, a database or a column may bear these names: as a target they come after INTO, TABLE or a dot.
      if (before !== 'INTO' && before !== 'TABLE' && before !== '.') {
        if (word === 'VALUES') return { format: 'Values', head: text.slice(0, token.start), dataStart: token.stop };
        if (word === 'FORMAT') {
          const name = tokens.next();
          if (name === undefined) return undefined;
          const head = text.slice(0, token.start);
          if (name.word.toUpperCase() === 'VALUES') return { format: 'Values', head, dataStart: name.stop };
          return { format: name.word, head, dataStart: afterLineEnd(text, name.stop) };
        }
      }
    }
    before = word;
  }
  return undefined;
}

/** Spaces and one line end after the format's name belong to the statement (ParserInsertQuery). */
function afterLineEnd(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\t' || text[at] === '\f') at++;
  if (text[at] === ';') at++;
  if (text[at] === '\r' && text[at + 1] === '\n') return at + 2;
  return text[at] === '\n' ? at + 1 : at;
}

function readFormat(tokens: Tokens): string | undefined {
  let format: string | undefined;
  let inSettings = false;
  let previous = '';
  for (let token = tokens.next(); token !== undefined; token = tokens.next()) {
    const word = token.word.toUpperCase();
    if (previous === 'FORMAT') format = token.word;
    // After its name only SETTINGS may come; anything else means that `format` was a column or an alias.
    else if (format !== undefined && !inSettings && word !== ';') {
      if (word === 'SETTINGS') inSettings = true;
      else format = undefined;
    }
    previous = token.depth === 0 && format === undefined ? word : '';
  }
  return format;
}

/** Words, and single characters for everything else; comments and string contents are passed over. */
class Tokens {
  private readonly text: string;
  private at = 0;
  private depth = 0;

  constructor(text: string) {
    this.text = text;
  }

  next(): Token | undefined {
    this.skipBlank();
    const { text } = this;
    const start = this.at;
    if (start >= text.length) return undefined;
    const char = text[start]!;
    if (isWord(char)) {
      while (this.at < text.length && isWord(text[this.at]!)) this.at++;
      return { word: text.slice(start, this.at), start, stop: this.at, depth: this.depth };
    }
    if (char === "'" || char === '"' || char === '`') {
      this.skipQuoted(char);
      // Quoted: never a keyword.
      return { word: `${char}…`, start, stop: this.at, depth: this.depth };
    }
    this.at++;
    const depth = this.depth;
    if (char === '(' || char === '[' || char === '{') this.depth++;
    else if (char === ')' || char === ']' || char === '}') this.depth = Math.max(0, this.depth - 1);
    return { word: char, start, stop: this.at, depth };
  }

  private skipBlank(): void {
    const { text } = this;
    for (;;) {
      while (this.at < text.length && /\s/.test(text[this.at]!)) this.at++;
      const pair = text.slice(this.at, this.at + 2);
      if (pair === '--' || pair === '#!' || pair === '# ') this.at = indexAfter(text, '\n', this.at);
      else if (pair === '/*') this.at = indexAfter(text, '*/', this.at + 2);
      else return;
    }
  }

  private skipQuoted(quote: string): void {
    const { text } = this;
    for (this.at++; this.at < text.length; this.at++) {
      if (text[this.at] === '\\') this.at++;
      else if (text[this.at] === quote) {
        if (text[this.at + 1] !== quote) break;
        this.at++;
      }
    }
    this.at++;
  }
}

function indexAfter(text: string, end: string, from: number): number {
  const at = text.indexOf(end, from);
  return at < 0 ? text.length : at + end.length;
}

function isWord(char: string): boolean {
  return (char >= 'a' && char <= 'z') || (char >= 'A' && char <= 'Z') || (char >= '0' && char <= '9') || char === '_' || char > '\x7f';
}
