import { VALUE_DOUBLE, VALUE_INT, VALUE_STRING, ValueView, type AttributeList } from '../../otlp/attributes.ts';
import type { SpanView } from '../../otlp/span.ts';
import { i64ToNumber } from '../../wire/cursor.ts';
import type { TraceTable } from '../trace-table.ts';
import type { Layout, Policy } from './policy.ts';

/** Tells whether one attribute value is one that the policy looks for. */
export interface ValueTest {
  matches(bytes: Buffer, value: ValueView): boolean;
}

/**
 * Any span or resource of the trace has the attribute with a value that the test matches; with `invertMatch`, none has
 * (sampling/{string,numeric}_tag_filter.go and util.go). A trace without the attribute is kept by an inverted policy.
 */
export class Attribute implements Policy {
  readonly folds = true;
  private readonly key: Buffer;
  private readonly test: ValueTest;
  private readonly invert: boolean;
  private readonly word: number;
  private readonly mask: number;
  private readonly value = new ValueView();
  private resourceMatches = false;

  constructor(key: string, test: ValueTest, invert: boolean, layout: Layout) {
    this.key = Buffer.from(key);
    this.test = test;
    this.invert = invert;
    ({ word: this.word, mask: this.mask } = layout.bit());
    layout.needsResource = true;
  }

  resource(bytes: Buffer, attributes: AttributeList): void {
    this.resourceMatches = this.any(bytes, attributes);
  }

  fold(words: Uint32Array, at: number, span: SpanView): void {
    const word = at + this.word;
    if ((words[word]! & this.mask) !== 0) return;
    if (this.resourceMatches || this.any(span.bytes, span.attributes)) words[word]! |= this.mask;
  }

  verdict(table: TraceTable, slot: number): number {
    const matched = (table.words[slot * table.stride + this.word]! & this.mask) !== 0;
    return matched === this.invert ? 0 : 1;
  }

  private any(bytes: Buffer, attributes: AttributeList): boolean {
    const index = attributes.find(bytes, this.key);
    if (index < 0) return false;
    return this.test.matches(bytes, this.value.parse(bytes, attributes.valueStart(index), attributes.valueStop(index)));
  }
}

const POW10_MAX = 15;

/**
 * An int, a double, or a string that is a decimal number (−12, 503, 0.25), within [min, max]. The Collector looks at ints alone; Envoy sends
 * every attribute as a string, http.status_code too, so strings count here. Ints beyond 2^53 are compared as doubles.
 */
export class NumberInRange implements ValueTest {
  private readonly min: number;
  private readonly max: number;
  constructor(min: number, max: number) {
    this.min = min;
    this.max = max;
  }

  matches(bytes: Buffer, value: ValueView): boolean {
    let number: number;
    if (value.kind === VALUE_INT) number = i64ToNumber(value.lo, value.hi);
    else if (value.kind === VALUE_DOUBLE) number = value.double;
    else if (value.kind === VALUE_STRING) number = decimal(bytes, value.start, value.stop);
    else return false;
    return number >= this.min && number <= this.max;
  }
}

/** The number that bytes[start, stop) write as [+-]digits[.digits], without a string; NaN for anything else. At most 15 digits behind the point count. */
export function decimal(bytes: Buffer, start: number, stop: number): number {
  let at = start;
  const sign = bytes[at];
  if (at < stop && (sign === 0x2d || sign === 0x2b)) at++;
  let digits = 0;
  let number = 0;
  let fraction = -1;
  let scale = 1;
  for (; at < stop; at++) {
    const byte = bytes[at]!;
    if (byte === 0x2e && fraction < 0) {
      fraction = 0;
      continue;
    }
    if (byte < 0x30 || byte > 0x39) return Number.NaN;
    digits++;
    if (fraction >= POW10_MAX) continue;
    if (fraction >= 0) {
      fraction++;
      scale *= 10;
    }
    number = number * 10 + (byte - 0x30);
  }
  if (digits === 0) return Number.NaN;
  return (sign === 0x2d ? -number : number) / scale;
}
