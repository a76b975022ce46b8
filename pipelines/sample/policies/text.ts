import { OperatorError } from '../../base/errors.ts';
import { VALUE_STRING, sameBytes, type ValueView } from '../../otlp/attributes.ts';
import { BytesPattern } from '../../process/bytes-pattern.ts';
import { PatternError } from '../../process/pattern-parser.ts';
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

/**
 * A non-empty string value that one of the patterns finds a match in: RE2's syntax, unanchored, as Go's MatchString. They run over the
 * bytes as they are (process/bytes-pattern.ts), so the Collector's cache of verdicts is not needed.
 */
export class MatchesPattern implements ValueTest {
  private readonly patterns: readonly BytesPattern[];

  /** @throws OperatorError for a pattern that does not compile */
  constructor(values: readonly string[]) {
    this.patterns = values.map(compilePattern);
  }

  matches(bytes: Buffer, value: ValueView): boolean {
    if (value.kind !== VALUE_STRING || value.start === value.stop) return false;
    for (const pattern of this.patterns) if (pattern.matches(bytes, value.start, value.stop)) return true;
    return false;
  }
}

function compilePattern(source: string): BytesPattern {
  try {
    return new BytesPattern(source);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new OperatorError(`not a regular expression: ${source}`, error.message);
  }
}
