import { ConditionError, didYouMean } from './condition-error.ts';
import { tokenize, type Token } from './ottl-lexer.ts';

/*
 * Conditions of OTTL (opentelemetry-collector-contrib, pkg/ottl/GRAMMAR.md and LANGUAGE.md), the part that is supported now:
 *
 *   condition := term ("or" term)*
 *   term      := factor ("and" factor)*
 *   factor    := "not"? ( value compare value | value | "(" condition ")" )
 *   value     := "nil" | "true" | "false" | string | int | float | bytes | ENUM | path | call
 *   path      := name keys? ("." name keys?)*
 *   call      := Name "(" ( argument ("," argument)* )? ")"         argument := (name "=")? value
 *   keys      := ( "[" (string | int) "]" )+
 */
export type CompareOp = '==' | '!=' | '<' | '<=' | '>' | '>=';
/** A string or an index. */
export type Key = { readonly text: Buffer; readonly column: number } | { readonly index: number; readonly column: number };

export type ConditionNode =
  | { readonly kind: 'or' | 'and'; readonly items: readonly ConditionNode[] }
  | { readonly kind: 'not'; readonly item: ConditionNode }
  | { readonly kind: 'compare'; readonly op: CompareOp; readonly left: ValueNode; readonly right: ValueNode; readonly column: number }
  | { readonly kind: 'value'; readonly value: ValueNode };

export type ValueNode = { readonly column: number } & (
  | { readonly kind: 'nil' }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'string' | 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'int'; readonly value: bigint }
  | { readonly kind: 'double'; readonly value: number }
  | { readonly kind: 'enum'; readonly name: string }
  | PathNode
  | CallNode
);

export interface PathNode {
  readonly kind: 'path';
  readonly column: number;
  readonly segments: readonly { readonly name: string; readonly keys: readonly Key[]; readonly column: number }[];
}

export interface CallNode {
  readonly kind: 'call';
  readonly column: number;
  readonly name: string;
  readonly args: readonly { readonly name: string | undefined; readonly value: ValueNode }[];
}

/** Conditions nested deeper than this are refused: they would only be a way to exhaust the stack. */
const NESTING_MAX = 64;
const INT_MIN = -(2n ** 63n);
const INT_MAX = 2n ** 63n - 1n;

/** @throws ConditionError */
export function parseCondition(text: string): ConditionNode {
  const parser = new Parser(tokenize(text));
  const node = parser.condition();
  parser.end();
  return node;
}

class Parser {
  private readonly tokens: readonly Token[];
  private at = 0;
  private depth = 0;

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  condition(): ConditionNode {
    const items = [this.term()];
    while (this.takeWord('or')) items.push(this.term());
    return items.length === 1 ? items[0]! : { kind: 'or', items };
  }

  end(): void {
    const token = this.peek();
    if (token.kind === 'end') return;
    if (token.kind === 'math') throw notYet('arithmetic', token);
    if (token.text === '=') throw new ConditionError('= sets a value and is not a comparison', token.column, 'write ==');
    if (token.kind === 'name') {
      throw new ConditionError(`expected and, or, or the end, found ${token.text}`, token.column, didYouMean(token.text, ['and', 'or']));
    }
    throw new ConditionError(`expected and, or, or the end, found ${token.text}`, token.column);
  }

  private term(): ConditionNode {
    const items = [this.factor()];
    while (this.takeWord('and')) items.push(this.factor());
    return items.length === 1 ? items[0]! : { kind: 'and', items };
  }

  private factor(): ConditionNode {
    if (++this.depth > NESTING_MAX) throw new ConditionError(`nested more than ${NESTING_MAX} deep`, this.peek().column);
    const node = this.negation();
    this.depth--;
    return node;
  }

  private negation(): ConditionNode {
    if (this.takeWord('not')) return { kind: 'not', item: this.factor() };
    if (this.take('(')) {
      const inner = this.condition();
      this.expect(')');
      return inner;
    }
    const left = this.value();
    const token = this.peek();
    if (token.kind !== 'compare') return { kind: 'value', value: left };
    this.at++;
    return { kind: 'compare', op: token.text as CompareOp, left, right: this.value(), column: left.column };
  }

  private value(): ValueNode {
    const token = this.peek();
    const { column } = token;
    this.at++;
    switch (token.kind) {
      case 'string':
      case 'bytes':
        return { kind: token.kind, bytes: token.bytes!, column };
      case 'int': {
        const value = BigInt(token.text.replace('+', ''));
        if (value < INT_MIN || value > INT_MAX) throw new ConditionError(`${token.text} does not fit in 64 bits`, column);
        return { kind: 'int', value, column };
      }
      case 'float':
        return { kind: 'double', value: Number(token.text), column };
      case 'name':
        return this.named(token);
      case 'end':
        throw new ConditionError('a value is missing at the end', column);
      case 'compare':
      case 'math':
        throw new ConditionError(`expected a value, found ${token.text}`, column);
      default:
        if (token.text === '[') throw notYet('a list', token);
        if (token.text === '{') throw notYet('a map', token);
        if (token.text === '=') throw new ConditionError('= sets a value and is not a comparison', column, 'write ==');
        throw new ConditionError(`expected a value, found ${token.text}`, column);
    }
  }

  private named(token: Token): ValueNode {
    const { text, column } = token;
    if (text === 'nil') return { kind: 'nil', column };
    if (text === 'true' || text === 'false') return { kind: 'bool', value: text === 'true', column };
    if (text === 'and' || text === 'or' || text === 'not') throw new ConditionError(`expected a value, found ${text}`, column);
    if (this.take('(')) return this.call(token);
    if (/^[A-Z]/.test(text)) {
      if (/^[A-Z][A-Z0-9_]*$/.test(text)) return { kind: 'enum', name: text, column };
      throw new ConditionError(`${text} is neither a path nor an enum`, column, `a function needs arguments: ${text}(…)`);
    }
    const segments = [{ name: text, keys: this.keys(), column }];
    while (this.take('.')) {
      const next = this.peek();
      if (next.kind !== 'name') throw new ConditionError(`expected a field name after the dot`, next.column);
      this.at++;
      segments.push({ name: next.text, keys: this.keys(), column: next.column });
    }
    return { kind: 'path', segments, column };
  }

  private call(name: Token): CallNode {
    const args: { name: string | undefined; value: ValueNode }[] = [];
    if (!this.take(')')) {
      do {
        const named = this.peek().kind === 'name' && this.tokens[this.at + 1]?.text === '=' ? this.peek().text : undefined;
        if (named !== undefined) this.at += 2;
        args.push({ name: named, value: this.value() });
      } while (this.take(','));
      this.expect(')');
    }
    const after = this.peek();
    if (after.text === '[') throw notYet('an index on the result of a function', after);
    return { kind: 'call', name: name.text, args, column: name.column };
  }

  private keys(): Key[] {
    const keys: Key[] = [];
    while (this.take('[')) {
      const token = this.peek();
      this.at++;
      if (token.kind === 'string') keys.push({ text: token.bytes!, column: token.column });
      else if (token.kind === 'int') keys.push({ index: Number(token.text), column: token.column });
      else if (token.kind === 'name') throw notYet('a key that is an expression', token, 'write the key as "a string"');
      else throw new ConditionError('a key is a string or an index', token.column, 'write ["key"]');
      this.expect(']');
    }
    return keys;
  }

  private peek(): Token {
    return this.tokens[this.at]!;
  }

  private take(text: string): boolean {
    const token = this.peek();
    if (token.kind !== 'punctuation' || token.text !== text) return false;
    this.at++;
    return true;
  }

  private takeWord(word: string): boolean {
    const token = this.peek();
    if (token.kind !== 'name' || token.text !== word) return false;
    this.at++;
    return true;
  }

  private expect(text: string): void {
    if (this.take(text)) return;
    const token = this.peek();
    if (token.kind === 'math') throw notYet('arithmetic', token);
    throw new ConditionError(`expected ${text}, found ${token.kind === 'end' ? 'the end' : token.text}`, token.column);
  }
}

function notYet(what: string, token: Token, suggestion?: string): ConditionError {
  return new ConditionError(`${what} is not supported yet`, token.column, suggestion);
}
