import {
  VALUE_ARRAY,
  VALUE_BOOL,
  VALUE_BYTES,
  VALUE_DOUBLE,
  VALUE_EMPTY,
  VALUE_INT,
  VALUE_KVLIST,
  VALUE_STRING,
  ValueView,
} from '../otlp/attributes.ts';
import { EMPTY, i64ToNumber } from '../wire/cursor.ts';
import type { CompareOp } from './ottl-parser.ts';

/** A value while a condition is evaluated: an AnyValue with the buffer that its range lies in. Made when the condition is compiled, filled for every item. VALUE_EMPTY is nil. */
export class Slot extends ValueView {
  bytes: Buffer = EMPTY;

  setNil(): this {
    this.kind = VALUE_EMPTY;
    return this;
  }

  setText(bytes: Buffer, start: number, stop: number): this {
    return this.setRange(VALUE_STRING, bytes, start, stop);
  }

  setRange(kind: number, bytes: Buffer, start: number, stop: number): this {
    this.kind = kind;
    this.bytes = bytes;
    this.start = start;
    this.stop = stop;
    return this;
  }

  /** Two's complement halves, signed or unsigned. Hand them over signed (`| 0`): a half above 2^31 costs an object where the call is not inlined. */
  setInt(lo: number, hi: number): this {
    this.kind = VALUE_INT;
    this.lo = lo;
    this.hi = hi;
    return this;
  }

  setBool(value: boolean): this {
    this.kind = VALUE_BOOL;
    this.lo = value ? 1 : 0;
    this.hi = 0;
    return this;
  }

  setDouble(value: number): this {
    this.kind = VALUE_DOUBLE;
    this.double = value;
    return this;
  }

  /** Reads the AnyValue at bytes[start, stop). @throws Malformed */
  setAny(bytes: Buffer, start: number, stop: number): this {
    this.bytes = bytes;
    this.parse(bytes, start, stop);
    return this;
  }
}

/** The halves of an int or bool as a double. */
export function intToNumber(slot: Slot): number {
  return i64ToNumber(slot.lo >>> 0, slot.hi);
}

/** An int or a double as a double; undefined kinds are the caller's to exclude. */
function toNumber(slot: Slot): number {
  return slot.kind === VALUE_INT ? intToNumber(slot) : slot.double;
}

/**
 * OTTL's comparison rules (pkg/ottl/LANGUAGE.md, Comparison Rules): int with double compares as double; strings and bytes
 * compare byte by byte; false < true; nil equals nil only; values of other types differ, which is true for != and false for all else.
 * Lists and maps are equal when their encodings are (the Collector also takes maps with another key order as equal).
 */
export function compareSlots(op: CompareOp, left: Slot, right: Slot): boolean {
  const leftKind = left.kind;
  const rightKind = right.kind;
  if (leftKind === VALUE_INT) {
    if (rightKind === VALUE_INT) return holds(op, compareInts(left, right));
    if (rightKind === VALUE_DOUBLE) return holdsNumber(op, intToNumber(left), right.double);
    return op === '!=';
  }
  if (leftKind === VALUE_DOUBLE) {
    return rightKind === VALUE_INT || rightKind === VALUE_DOUBLE ? holdsNumber(op, left.double, toNumber(right)) : op === '!=';
  }
  if (leftKind !== rightKind) return op === '!=';
  switch (leftKind) {
    case VALUE_EMPTY:
      return op === '==' || op === '<=' || op === '>=';
    case VALUE_BOOL:
      return holds(op, (left.lo === 0 ? 0 : 1) - (right.lo === 0 ? 0 : 1));
    case VALUE_STRING:
    case VALUE_BYTES:
      return holds(op, compareBytes(left, right));
    case VALUE_ARRAY:
    case VALUE_KVLIST:
      return op === '==' ? compareBytes(left, right) === 0 : op === '!=' && compareBytes(left, right) !== 0;
    default:
      return op === '!=';
  }
}

function holds(op: CompareOp, order: number): boolean {
  switch (op) {
    case '==':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    default:
      return order >= 0;
  }
}

/** Apart from `holds` because NaN has no order. */
function holdsNumber(op: CompareOp, left: number, right: number): boolean {
  switch (op) {
    case '==':
      return left === right;
    case '!=':
      return left !== right;
    case '<':
      return left < right;
    case '<=':
      return left <= right;
    case '>':
      return left > right;
    default:
      return left >= right;
  }
}

function compareInts(left: Slot, right: Slot): number {
  const high = (left.hi | 0) - (right.hi | 0);
  return high !== 0 ? high : (left.lo >>> 0) - (right.lo >>> 0);
}

/** Negative, 0 or positive, as Go's bytes.Compare. */
function compareBytes(left: Slot, right: Slot): number {
  const leftSize = left.stop - left.start;
  const rightSize = right.stop - right.start;
  const size = Math.min(leftSize, rightSize);
  for (let i = 0; i < size; i++) {
    const difference = left.bytes[left.start + i]! - right.bytes[right.start + i]!;
    if (difference !== 0) return difference;
  }
  return leftSize - rightSize;
}

/** The number that an int, a double or a string that spells one holds; NaN for anything else. */
export function numberIn(value: Slot): number {
  if (value.kind === VALUE_INT || value.kind === VALUE_DOUBLE) return toNumber(value);
  if (value.kind !== VALUE_STRING || value.stop === value.start) return Number.NaN;
  return Number(value.bytes.toString('latin1', value.start, value.stop));
}
