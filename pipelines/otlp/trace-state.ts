import { sameBytes } from './attributes.ts';
import { TRACE_ID_BYTES, type SpanView } from './span.ts';
import type { Writer } from '../wire/writer.ts';

/*
 * W3C Trace Context Level 2, tracestate:      list   = member *( OWS "," OWS member ), at most 32;  member = key "=" value
 * OpenTelemetry, TraceState handling:         member "ot", value = sub *( ";" sub ), at most 256 characters;  sub = key ":" value
 * OpenTelemetry, TraceState probability sampling:
 *   th   rejection threshold T: 1 to 14 hex digits, trailing zeros left out, so "8" is 0x80000000000000 of 2^56
 *   rv   explicit randomness R: 14 hex digits; without it R is the last 56 bits of the trace id
 *   A span is kept when R >= T; it then stands for 2^56 / (2^56 − T) spans.
 */
const TRACE_STATE = 3; // of Span and of Link
const OT_VALUE_CHARACTERS_MAX = 256;
const TRACE_STATE_MEMBERS_MAX = 32;
const DIGITS = 14;
const HIGH_UNIT = 0x100_0000; // 2^24: one more than the highest upper half
const PROBABILITY_MIN = 2 ** -56;

/** A 56-bit number in two unsigned halves, `hi` 24 bits and `lo` 32: a threshold T or a randomness R. T may be 2^56 (hi = 2^24), which keeps nothing and has no written form. */
export class ThresholdView {
  hi = 0;
  lo = 0;

  set(hi: number, lo: number): this {
    this.hi = hi;
    this.lo = lo;
    return this;
  }

  /** By fields, not by `set`: an argument above 2^31 costs an object where the call is not inlined. */
  copyFrom(other: ThresholdView): void {
    this.hi = other.hi;
    this.lo = other.lo;
  }
}

/** R >= T: the span is kept. Also tells whether one threshold is at least another. */
export function atLeast(left: ThresholdView, right: ThresholdView): boolean {
  return left.hi > right.hi || (left.hi === right.hi && left.lo >= right.lo);
}

/** T = 2^56: no R reaches it. */
export function keepsNothing(threshold: ThresholdView): boolean {
  return threshold.hi >= HIGH_UNIT;
}

/** The share of spans that T keeps: 1 − T / 2^56, 0 to 1. */
export function probabilityOf(threshold: ThresholdView): number {
  return (HIGH_UNIT - threshold.hi - threshold.lo / 0x1_0000_0000) / HIGH_UNIT;
}

/** How many spans one kept span stands for: 1 / probability, from 1; Infinity for a threshold that keeps nothing. */
export function adjustedCount(threshold: ThresholdView): number {
  return 1 / probabilityOf(threshold);
}

/**
 * T of a sampling probability, 0 to 1 (values outside are cut), rounded to `precision` significant hex digits (1 to 14) as
 * the specification's "converting floating-point probability" does: leading 0 and f digits do not count. Below 2^-56 nothing is kept.
 * Does not allocate when `into` is handed in.
 */
export function thresholdFromProbability(probability: number, precision = 4, into = new ThresholdView()): ThresholdView {
  if (probability >= 1) return into.set(0, 0);
  if (!(probability >= PROBABILITY_MIN)) return into.set(HIGH_UNIT, 0);
  // Scaling by a power of two is exact; the subtraction from 2^56 is done by halves, because a double holds 53 bits.
  const scaled = Math.round(probability * 2 ** 56);
  const keptHi = Math.floor(scaled / 0x1_0000_0000);
  const keptLo = scaled - keptHi * 0x1_0000_0000;
  let lo = keptLo === 0 ? 0 : 0x1_0000_0000 - keptLo;
  let hi = HIGH_UNIT - keptHi - (keptLo === 0 ? 0 : 1);
  const leading = Math.max(leadingZeroDigits(keptHi, keptLo), leadingZeroDigits(hi, lo));
  const shift = 4 * (DIGITS - Math.min(DIGITS, precision + leading));
  if (shift > 32) {
    const step = 2 ** (shift - 32);
    hi = Math.floor((hi + step / 2) / step) * step;
    lo = 0;
  } else if (shift > 0) {
    const step = 2 ** shift;
    lo = Math.floor((lo + step / 2) / step) * step;
    if (lo >= 0x1_0000_0000) {
      lo -= 0x1_0000_0000;
      hi++;
    }
  }
  into.hi = hi;
  into.lo = lo;
  return into;
}

function leadingZeroDigits(hi: number, lo: number): number {
  const zeros = hi !== 0 ? Math.clz32(hi) - 8 : 24 + Math.clz32(lo);
  return zeros >> 2;
}

// Where findMember and findSub left the value that they found. Read before the next call.
let foundStart = 0;
let foundStop = 0;

/** The threshold `ot=th` of the trace state bytes[start, stop). False, and `into` untouched, when there is none or it is malformed. */
export function readThreshold(bytes: Buffer, start: number, stop: number, into: ThresholdView): boolean {
  return findOt(bytes, start, stop) && findSub(bytes, foundStart, foundStop, TH) && readHex(bytes, foundStart, foundStop, 1, into);
}

/** The explicit randomness `ot=rv` of the trace state bytes[start, stop). False, and `into` untouched, when there is none or it is malformed. */
export function readRandomness(bytes: Buffer, start: number, stop: number, into: ThresholdView): boolean {
  return findOt(bytes, start, stop) && findSub(bytes, foundStart, foundStop, RV) && readHex(bytes, foundStart, foundStop, DIGITS, into);
}

/** R of a span: `ot=rv` where there is one, else the last 56 bits of its trace id. False when it has neither (id absent, of another length, or all zeros). */
export function randomnessOf(span: SpanView, into: ThresholdView): boolean {
  const { bytes } = span;
  if (span.traceStateStop > span.traceStateStart && readRandomness(bytes, span.traceStateStart, span.traceStateStop, into)) return true;
  return randomnessOfTraceId(bytes, span.traceIdStart, span.traceIdStop, into);
}

/** R of a trace id alone: its last 56 bits. False for an id that is not 16 bytes or is all zeros. */
export function randomnessOfTraceId(bytes: Buffer, start: number, stop: number, into: ThresholdView): boolean {
  if (stop - start !== TRACE_ID_BYTES) return false;
  let any = 0;
  for (let at = start; at < stop; at++) any |= bytes[at]!;
  if (any === 0) return false;
  const at = start + 9;
  into.hi = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
  into.lo = ((bytes[at + 3]! << 24) | (bytes[at + 4]! << 16) | (bytes[at + 5]! << 8) | bytes[at + 6]!) >>> 0;
  return true;
}

/**
 * Appends field `trace_state` of a Span to `writer`: the trace state bytes[start, stop) with `ot=th` set to `threshold`. Sampling
 * only ever lowers a probability, so a greater threshold that is there already stays. `undefined` removes `th`; `randomness` replaces `rv`.
 * The ot member comes first (W3C: a changed member moves to the front); other members and sub-keys are kept in
 * their order, as far as the limits of 32 members and 256 characters allow. Writes nothing when nothing is left.
 */
export function writeTraceStateField(
  writer: Writer,
  bytes: Buffer,
  start: number,
  stop: number,
  threshold: ThresholdView | undefined,
  randomness?: ThresholdView,
): void {
  const before = writer.length;
  const mark = writer.open(TRACE_STATE, stop - start + 8);
  const body = writer.length;
  writeOt(writer, bytes, start, stop, threshold, randomness);
  let members = writer.length === body ? 0 : 1;
  for (let at = start; at < stop && members < TRACE_STATE_MEMBERS_MAX;) {
    const end = indexOrStop(bytes, at, stop, COMMA);
    const from = skipSpace(bytes, at, end);
    const to = trimSpace(bytes, from, end);
    if (to > from && !isOt(bytes, from, to)) {
      if (members > 0) writer.byte(COMMA);
      writer.raw(bytes, from, to);
      members++;
    }
    at = end + 1;
  }
  if (members === 0) writer.length = before;
  else writer.close(mark);
}

const present = new ThresholdView();

function writeOt(
  writer: Writer,
  bytes: Buffer,
  start: number,
  stop: number,
  threshold: ThresholdView | undefined,
  randomness: ThresholdView | undefined,
): void {
  const before = writer.length;
  writer.raw(OT, 0, OT.length);
  const value = writer.length;
  if (threshold !== undefined) {
    if (keepsNothing(threshold)) throw new RangeError('a threshold that keeps nothing has no written form');
    const raised = readThreshold(bytes, start, stop, present) && atLeast(present, threshold) ? present : threshold;
    writer.raw(TH, 0, TH.length);
    writeHex(writer, raised, 1);
  }
  const explicit = randomness ?? (readRandomness(bytes, start, stop, present) ? present : undefined);
  if (explicit !== undefined) {
    if (writer.length > value) writer.byte(SEMICOLON);
    writer.raw(RV, 0, RV.length);
    writeHex(writer, explicit, DIGITS);
  }
  if (findOt(bytes, start, stop)) {
    const otStop = foundStop;
    for (let at = foundStart; at < otStop;) {
      const end = indexOrStop(bytes, at, otStop, SEMICOLON);
      const size = end - at;
      const known = startsWith(bytes, at, end, TH) || startsWith(bytes, at, end, RV);
      if (!known && size > 0 && writer.length - value + 1 + size <= OT_VALUE_CHARACTERS_MAX) {
        if (writer.length > value) writer.byte(SEMICOLON);
        writer.raw(bytes, at, end);
      }
      at = end + 1;
    }
  }
  if (writer.length === value) writer.length = before;
}

const COMMA = 0x2c;
const SEMICOLON = 0x3b;
const SPACE = 0x20;
const TAB = 0x09;
const OT = Buffer.from('ot=');
const TH = Buffer.from('th:');
const RV = Buffer.from('rv:');
const HEX = Buffer.from('0123456789abcdef');

function findOt(bytes: Buffer, start: number, stop: number): boolean {
  for (let at = start; at < stop;) {
    const end = indexOrStop(bytes, at, stop, COMMA);
    const from = skipSpace(bytes, at, end);
    if (isOt(bytes, from, end)) {
      foundStart = from + OT.length;
      foundStop = trimSpace(bytes, foundStart, end);
      return true;
    }
    at = end + 1;
  }
  return false;
}

function findSub(bytes: Buffer, start: number, stop: number, key: Buffer): boolean {
  for (let at = start; at < stop;) {
    const end = indexOrStop(bytes, at, stop, SEMICOLON);
    if (startsWith(bytes, at, end, key)) {
      foundStart = at + key.length;
      foundStop = end;
      return true;
    }
    at = end + 1;
  }
  return false;
}

/** Hex digits bytes[start, stop), at least `digits_min` and at most 14, as the upper digits of 56 bits. False, and `into` untouched, for anything else. */
export function readHex(bytes: Buffer, start: number, stop: number, digits_min: number, into: ThresholdView): boolean {
  const digits = stop - start;
  if (digits < digits_min || digits > DIGITS) return false;
  let hi = 0;
  let lo = 0;
  for (let i = 0; i < DIGITS; i++) {
    const digit = i < digits ? hexDigit(bytes[start + i]!) : 0;
    if (digit < 0) return false;
    if (i < 6) hi = (hi << 4) | digit;
    else lo = ((lo << 4) | digit) >>> 0;
  }
  into.hi = hi;
  into.lo = lo;
  return true;
}

/** Appends the hex digits of a threshold below 2^56, at least `digits_min`, trailing zeros left out. */
export function writeHex(writer: Writer, value: ThresholdView, digits_min: number): void {
  const from = writer.length;
  let length = digits_min;
  for (let i = 0; i < DIGITS; i++) {
    const digit = (i < 6 ? value.hi >>> (20 - 4 * i) : value.lo >>> (52 - 4 * i)) & 15;
    writer.byte(HEX[digit]!);
    if (digit !== 0 && i >= length) length = i + 1;
  }
  writer.length = from + length;
}

function hexDigit(char: number): number {
  if (char >= 0x30 && char <= 0x39) return char - 0x30;
  const lower = char | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function isOt(bytes: Buffer, start: number, stop: number): boolean {
  return startsWith(bytes, start, stop, OT);
}

function startsWith(bytes: Buffer, start: number, stop: number, prefix: Buffer): boolean {
  return stop - start >= prefix.length && sameBytes(bytes, start, prefix, 0, prefix.length);
}

function indexOrStop(bytes: Buffer, start: number, stop: number, char: number): number {
  let at = start;
  while (at < stop && bytes[at] !== char) at++;
  return at;
}

function skipSpace(bytes: Buffer, start: number, stop: number): number {
  let at = start;
  while (at < stop && (bytes[at] === SPACE || bytes[at] === TAB)) at++;
  return at;
}

function trimSpace(bytes: Buffer, start: number, stop: number): number {
  let at = stop;
  while (at > start && (bytes[at - 1] === SPACE || bytes[at - 1] === TAB)) at--;
  return at;
}
