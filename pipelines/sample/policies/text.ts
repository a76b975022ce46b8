import { hashBytes } from '../../base/hash.ts';
import { OperatorError } from '../../base/errors.ts';
import { VALUE_STRING, sameBytes, type ValueView } from '../../otlp/attributes.ts';
import type { ValueTest } from './attribute.ts';

/** A string value equal to one of the texts. Empty texts are left out, as in the Collector (string_tag_filter.go). */
export class OneOfTexts implements ValueTest {
  private readonly texts: readonly Buffer[];
  constructor(values: readonly string[]) {
    this.texts = values.filter((value) => value !== '').map((value) => Buffer.from(value));
  }
  matches(bytes: Buffer, value: ValueView): boolean {
    if (value.kind !== VALUE_STRING) return false;
    const size = value.stop - value.start;
    for (const text of this.texts) if (text.length === size && sameBytes(bytes, value.start, text, 0, size)) return true;
    return false;
  }
}

const CACHE_SIZE = 128;
/** Longer values are looked at each time: they would fill the cache's memory and seldom repeat. */
const CACHED_BYTES_MAX = 256;

/**
 * A non-empty string value that one of the regular expressions finds a match in (unanchored, as Go's MatchString). A regular
 * expression needs a string, so verdicts are remembered by the value's bytes: mesh attributes have few values. The cache
 * is direct-mapped; it spares work and never changes a verdict.
 */
export class MatchesRegex implements ValueTest {
  private readonly expressions: readonly RegExp[];
  private readonly keys: (Buffer | undefined)[];
  private readonly verdicts: Uint8Array;

  /** @throws OperatorError for an expression that does not compile */
  constructor(values: readonly string[], cacheMaxSize: number) {
    this.expressions = values.map(compileRegex);
    const size = 2 ** Math.ceil(Math.log2(cacheMaxSize > 0 ? cacheMaxSize : CACHE_SIZE));
    this.keys = Array.from<Buffer | undefined>({ length: size }).fill(undefined);
    this.verdicts = new Uint8Array(size);
  }

  matches(bytes: Buffer, value: ValueView): boolean {
    const { start, stop } = value;
    const size = stop - start;
    if (value.kind !== VALUE_STRING || size === 0) return false;
    if (size > CACHED_BYTES_MAX) return this.search(bytes, start, stop);
    const at = hashBytes(bytes, start, stop) & (this.keys.length - 1);
    const key = this.keys[at];
    if (key !== undefined && key.length === size && sameBytes(bytes, start, key, 0, size)) return this.verdicts[at] === 1;
    const found = this.search(bytes, start, stop);
    this.keys[at] = Buffer.from(bytes.subarray(start, stop));
    this.verdicts[at] = found ? 1 : 0;
    return found;
  }

  private search(bytes: Buffer, start: number, stop: number): boolean {
    const text = bytes.toString('utf8', start, stop);
    return this.expressions.some((expression) => expression.test(text));
  }
}

/** Users write Go's syntax (RE2). What differs and is common: flags at the start, `(?i)…`. @throws OperatorError */
export function compileRegex(source: string): RegExp {
  const flags = /^\(\?([ims]+)\)/.exec(source);
  try {
    return new RegExp(flags === null ? source : source.slice(flags[0].length), flags === null ? '' : flags[1]);
  } catch (error) {
    throw new OperatorError(`not a regular expression: ${source}`, error instanceof Error ? error.message : String(error));
  }
}
