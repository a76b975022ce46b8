import { hash } from 'node:crypto';
import { hashBytes } from '../base/hash.ts';
import { OperatorError } from '../base/errors.ts';
import { VALUE_BOOL, VALUE_DOUBLE, VALUE_EMPTY, VALUE_INT, VALUE_STRING, sameBytes } from '../otlp/attributes.ts';
import { EMPTY } from '../wire/cursor.ts';
import { Writer } from '../wire/writer.ts';
import { FROM_SCRATCH, FROM_SETTINGS, type AttributeEdit } from './attribute-edit.ts';
import { BytesPattern } from './bytes-pattern.ts';
import { PatternError } from './pattern-parser.ts';
import { Slot, intToNumber } from './slot.ts';
import { parseDecimal, valueText } from './value-text.ts';

/** A value in a configuration. Whole numbers become ints, others doubles. */
export type SettingsValue = string | number | boolean | readonly SettingsValue[] | { readonly [key: string]: SettingsValue };

/** One action of the Collector's attributes and resource processors. */
export interface AttributeAction {
  readonly action: 'insert' | 'update' | 'upsert' | 'delete' | 'hash' | 'convert' | 'extract';
  readonly key?: string;
  /** delete, hash: keys that match, in RE2's syntax, beside `key`. */
  readonly pattern?: string;
  readonly value?: SettingsValue;
  readonly fromAttribute?: string;
  /** Taken when `fromAttribute` is not there. */
  readonly defaultValue?: SettingsValue;
  readonly convertedType?: 'string' | 'int' | 'double';
}

/** Hashes remembered by one hash action, and the longest value that is. */
const HASH_MEMO_ENTRIES = 1024;
const HASH_MEMO_BYTES_MAX = 512;

type Step = (edit: AttributeEdit) => void;

/** Actions compiled to steps over an AttributeEdit that must be made with `constants`. */
export interface CompiledActions {
  readonly constants: Buffer;
  readonly steps: readonly Step[];
}

/** @throws OperatorError naming the action that cannot be */
export function compileActions(actions: readonly AttributeAction[]): CompiledActions {
  const constants = new Writer();
  const steps = actions.map((action, index) => compileAction(action, `actions[${index}]`, constants));
  return { constants: constants.copy(), steps };
}

/** Applies every step in order; `edit.changed` tells whether anything came of it. */
export function applyActions(edit: AttributeEdit, steps: readonly Step[]): void {
  for (let i = 0; i < steps.length; i++) steps[i]!(edit);
}

function compileAction(action: AttributeAction, where: string, constants: Writer): Step {
  const fail = (what: string, hint: string): OperatorError => new OperatorError(`${where}: ${action.action} ${what}`, hint);
  const { key } = action;
  switch (action.action) {
    case 'delete':
    case 'hash':
      if (key === undefined && action.pattern === undefined) throw fail('needs a key or a pattern', 'set key, pattern or both');
      return onMatching(key, action.pattern, where, action.action === 'delete' ? (edit, index) => edit.remove(index) : hasher());
    case 'extract':
      throw fail('is not supported yet', 'remove the action');
    case 'convert': {
      if (key === undefined) throw fail('needs a key', 'set key');
      const { convertedType } = action;
      if (convertedType === undefined) throw fail('needs a type', 'set converted_type to string, int or double');
      const convert = converter(convertedType);
      return onMatching(key, undefined, where, convert);
    }
    default: {
      if (key === undefined) throw fail('needs a key', 'set key');
      if ((action.value === undefined) === (action.fromAttribute === undefined))
        throw fail('needs one source', 'set either value or from_attribute');
      return putter(action.action, key, action, constants);
    }
  }
}

/** insert (only where the key is not there), update (only where it is), upsert. */
function putter(kind: 'insert' | 'update' | 'upsert', key: string, action: AttributeAction, constants: Writer): Step {
  const wanted = Buffer.from(key);
  const from = action.fromAttribute === undefined ? undefined : Buffer.from(action.fromAttribute);
  const fallback = action.value ?? action.defaultValue;
  const keyStart = constants.length;
  constants.raw(wanted, 0, wanted.length);
  const keyStop = constants.length;
  if (fallback !== undefined) writeAnyValue(constants, fallback);
  const valueStop = constants.length;
  return (edit) => {
    const index = edit.find(wanted);
    if (kind === 'insert' ? index >= 0 : kind === 'update' && index < 0) return;
    let source = FROM_SETTINGS;
    let start = keyStop;
    let stop = valueStop;
    const fromIndex = from === undefined ? -1 : edit.find(from);
    if (fromIndex >= 0) {
      source = edit.valueSource(fromIndex);
      start = edit.valueStart(fromIndex);
      stop = edit.valueStop(fromIndex);
    } else if (fallback === undefined) return;
    if (index >= 0) edit.setValue(index, source, start, stop);
    else edit.append(keyStart, keyStop, source, start, stop);
  };
}

/** Runs `change` on the attribute `key` and on all whose key matches `pattern`; from the last to the first, so that `change` may remove. */
function onMatching(
  key: string | undefined,
  pattern: string | undefined,
  where: string,
  change: (edit: AttributeEdit, index: number) => void,
): Step {
  const wanted = key === undefined ? undefined : Buffer.from(key);
  const compiled = pattern === undefined ? undefined : compilePattern(pattern, where);
  return (edit) => {
    for (let index = edit.count - 1; index >= 0; index--) {
      const bytes = edit.keyBytes(index);
      const start = edit.keyStart(index);
      const stop = edit.keyStop(index);
      const named = wanted !== undefined && stop - start === wanted.length && sameBytes(bytes, start, wanted, 0, wanted.length);
      if (named || compiled?.matches(bytes, start, stop) === true) change(edit, index);
    }
  };
}

/** @throws OperatorError */
function compilePattern(pattern: string, where: string): BytesPattern {
  try {
    return new BytesPattern(pattern);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new OperatorError(`${where}: the pattern ${pattern} cannot be used: ${error.message}`, 'patterns are written in RE2 syntax');
  }
}

/**
 * The value becomes the SHA-256 of its bytes in hex (Collector: attraction/hasher.go): a string's UTF-8, one byte for a bool, eight bytes little endian
 * for an int or a double; of anything else, and of the empty string, an empty string. Hashing allocates, so hashes are remembered.
 */
function hasher(): (edit: AttributeEdit, index: number) => void {
  const values: Buffer[] = [];
  const hashes: Buffer[] = [];
  for (let i = 0; i < HASH_MEMO_ENTRIES; i++) {
    values.push(UNUSED);
    hashes.push(EMPTY);
  }
  const slot = new Slot();
  const number = Buffer.alloc(8);
  return (edit, index) => {
    const bytes = edit.valueBytes(index);
    const start = edit.valueStart(index);
    const stop = edit.valueStop(index);
    const size = stop - start;
    const entry = hashBytes(bytes, start, stop) % HASH_MEMO_ENTRIES;
    const known = values[entry]!;
    let encoded = hashes[entry]!;
    if (known.length !== size || !sameBytes(bytes, start, known, 0, size)) {
      encoded = encodeString(sha256Of(slot.setAny(bytes, start, stop), number));
      if (size <= HASH_MEMO_BYTES_MAX) {
        values[entry] = Buffer.from(bytes.subarray(start, stop));
        hashes[entry] = encoded;
      }
    }
    setScratch(edit, index, encoded);
  };
}
// Longer than any value that is remembered, so that an unused entry equals none.
const UNUSED = Buffer.alloc(HASH_MEMO_BYTES_MAX + 1);

function sha256Of(value: Slot, number: Buffer): string {
  switch (value.kind) {
    case VALUE_STRING:
      return value.stop === value.start ? '' : hash('sha256', value.bytes.subarray(value.start, value.stop), 'hex');
    case VALUE_BOOL:
      return hash('sha256', Buffer.of(value.lo === 0 ? 0 : 1), 'hex');
    case VALUE_INT:
      number.writeUInt32LE(value.lo >>> 0, 0);
      number.writeUInt32LE(value.hi >>> 0, 4);
      return hash('sha256', number, 'hex');
    case VALUE_DOUBLE:
      number.writeDoubleLE(value.double, 0);
      return hash('sha256', number, 'hex');
    default:
      return '';
  }
}

/** What cannot be converted stays (Collector: attraction/type_converter.go). */
function converter(type: 'string' | 'int' | 'double'): (edit: AttributeEdit, index: number) => void {
  const slot = new Slot();
  const result = new Slot();
  return (edit, index) => {
    const { scratch } = edit;
    slot.setAny(edit.valueBytes(index), edit.valueStart(index), edit.valueStop(index));
    if (type === 'string') {
      if (slot.kind === VALUE_STRING) return;
      valueText(slot, result, 'base64');
      setScratch(edit, index, encodeString(result.bytes.toString('utf8', result.start, result.stop)));
      return;
    }
    if (slot.kind === VALUE_EMPTY) return;
    const toInt = type === 'int';
    if (slot.kind === (toInt ? VALUE_INT : VALUE_DOUBLE)) return;
    const number = numberOf(slot, result, toInt);
    if (number === undefined) return;
    const start = scratch.length;
    if (!toInt) scratch.doubleField(VALUE_DOUBLE, number);
    else {
      scratch.tag(VALUE_INT, 0);
      scratch.varint64(result.lo, result.hi);
    }
    edit.setValue(index, FROM_SCRATCH, start, scratch.length);
  };
}

/** For an int the exact halves are left in `result`. */
function numberOf(slot: Slot, result: Slot, toInt: boolean): number | undefined {
  switch (slot.kind) {
    case VALUE_INT:
    case VALUE_BOOL:
      result.setInt(slot.lo | 0, slot.hi | 0);
      return intToNumber(slot);
    case VALUE_DOUBLE: {
      if (!Number.isFinite(slot.double)) return undefined;
      const whole = Math.trunc(slot.double);
      result.setInt(whole | 0, Math.floor(whole / 0x1_0000_0000) | 0);
      return whole;
    }
    case VALUE_STRING: {
      if (parseDecimal(slot, result).kind === VALUE_INT) return intToNumber(result);
      if (toInt) return undefined;
      const text = slot.bytes.toString('latin1', slot.start, slot.stop);
      return /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/.test(text) ? Number(text) : undefined;
    }
    default:
      return undefined;
  }
}

function setScratch(edit: AttributeEdit, index: number, encoded: Buffer): void {
  const start = edit.scratch.length;
  edit.scratch.raw(encoded, 0, encoded.length);
  edit.setValue(index, FROM_SCRATCH, start, edit.scratch.length);
}

function encodeString(text: string): Buffer {
  const writer = new Writer(text.length + 8);
  writer.stringField(VALUE_STRING, text);
  return writer.copy();
}

/** The fields of an AnyValue. For settings: it takes objects and makes them bytes once. */
function writeAnyValue(writer: Writer, value: SettingsValue): void {
  if (typeof value === 'string') writer.stringField(1, value);
  else if (typeof value === 'boolean') writer.varintField(2, value ? 1 : 0);
  else if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) writer.doubleField(4, value);
    else {
      writer.tag(3, 0);
      writer.varint64(value >>> 0, Math.floor(value / 0x1_0000_0000) >>> 0);
    }
  } else if (Array.isArray(value)) {
    const list = writer.open(5);
    for (const item of value as readonly SettingsValue[]) {
      const mark = writer.open(1);
      writeAnyValue(writer, item);
      writer.close(mark);
    }
    writer.close(list);
  } else {
    const list = writer.open(6);
    for (const [key, item] of Object.entries(value)) {
      const mark = writer.open(1);
      writer.stringField(1, key);
      const inner = writer.open(2);
      writeAnyValue(writer, item);
      writer.close(inner);
      writer.close(mark);
    }
    writer.close(list);
  }
}
