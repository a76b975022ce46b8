import {
  VALUE_ARRAY,
  VALUE_BOOL,
  VALUE_BYTES,
  VALUE_DOUBLE,
  VALUE_EMPTY,
  VALUE_INT,
  VALUE_KVLIST,
  VALUE_STRING,
  sameBytes,
} from '../otlp/attributes.ts';
import { SPAN_ID_BYTES, TRACE_ID_BYTES } from '../otlp/span.ts';
import { Cursor, WIRE_LEN } from '../wire/cursor.ts';
import { ConditionError, didYouMean } from './condition-error.ts';
import type { CallNode } from './ottl-parser.ts';
import type { CompiledValue, ConditionContext, Load, ValueType } from './ottl-value.ts';
import { PatternError } from './pattern-parser.ts';
import { BytesPattern } from './bytes-pattern.ts';
import { Slot, compareSlots, intToNumber } from './slot.ts';
import { parseDecimal, valueText } from './value-text.ts';

interface FunctionEntry {
  readonly parameters: readonly string[];
  readonly result: ValueType;
  /** `call` is for the columns of errors. */
  build(args: readonly CompiledValue[], call: CallNode): Load;
}

/** A test of the argument's type: false for nil, as every Is… of OTTL. */
function isKind(kind: number): FunctionEntry {
  return {
    parameters: ['target'],
    result: 'bool',
    build: ([target]) => {
      const slot = new Slot();
      return (item) => slot.setBool(target!.load(item).kind === kind);
    },
  };
}

/** HasPrefix, HasSuffix. Anything but two strings fails, as OTTL's StringGetter does. */
function hasAffix(name: string, atEnd: boolean): FunctionEntry {
  return {
    parameters: ['target', name],
    result: 'bool',
    build: ([target, affix]) => {
      const slot = new Slot();
      return (item) => {
        const value = target!.load(item);
        const part = affix!.load(item);
        if (value.kind !== VALUE_STRING || part.kind !== VALUE_STRING) {
          item.failed = true;
          return slot.setBool(false);
        }
        const size = part.stop - part.start;
        const from = atEnd ? value.stop - size : value.start;
        return slot.setBool(value.stop - value.start >= size && sameBytes(value.bytes, from, part.bytes, part.start, size));
      };
    },
  };
}

/** TraceID, SpanID: from a byte literal, or from hex digits. */
function idLiteral(size: number): FunctionEntry {
  return {
    parameters: ['bytes'],
    result: 'bytes',
    build: ([argument], call) => {
      const { constant } = argument!;
      const column = call.args[0]!.value.column;
      if (constant === undefined || (constant.kind !== VALUE_BYTES && constant.kind !== VALUE_STRING)) {
        throw new ConditionError(`${call.name} takes a literal of ${size} bytes`, column, `write ${call.name}(0x${'0'.repeat(size * 2)})`);
      }
      const raw = constant.bytes.subarray(constant.start, constant.stop);
      const id = constant.kind === VALUE_BYTES ? raw : Buffer.from(raw.toString('latin1'), 'hex');
      if (id.length !== size) throw new ConditionError(`${call.name} takes ${size} bytes, this is ${id.length}`, column);
      const slot = new Slot().setRange(VALUE_BYTES, id, 0, size);
      return () => slot;
    },
  };
}

const FUNCTIONS: ReadonlyMap<string, FunctionEntry> = new Map<string, FunctionEntry>([
  ['IsMatch', { parameters: ['target', 'pattern'], result: 'bool', build: buildIsMatch }],
  ['IsString', isKind(VALUE_STRING)],
  ['IsInt', isKind(VALUE_INT)],
  ['IsBool', isKind(VALUE_BOOL)],
  ['IsDouble', isKind(VALUE_DOUBLE)],
  ['IsMap', isKind(VALUE_KVLIST)],
  ['IsList', isKind(VALUE_ARRAY)],
  ['HasPrefix', hasAffix('prefix', false)],
  ['HasSuffix', hasAffix('suffix', true)],
  ['Len', { parameters: ['target'], result: 'int', build: buildLen }],
  ['Int', { parameters: ['value'], result: 'any', build: buildInt }],
  ['Double', { parameters: ['value'], result: 'any', build: buildDouble }],
  ['ContainsValue', { parameters: ['target', 'item'], result: 'bool', build: buildContainsValue }],
  ['TraceID', idLiteral(TRACE_ID_BYTES)],
  ['SpanID', idLiteral(SPAN_ID_BYTES)],
  ['IsRootSpan', { parameters: [], result: 'bool', build: buildIsRootSpan }],
]);

// The other converters of pkg/ottl/ottlfuncs: known words, so that the error can say so.
const LATER = new Set(
  (
    'Base64Decode Base64Encode Bool CommunityID Concat ConvertAttributesToElementsXML ConvertCase ConvertTextToElementsXML Day Decode Duration ElementsXML ' +
    'ExtractGrokPatterns ExtractPatterns FNV FormatTime GetSemconv GetXML HasAttrKeyOnDatapoint HasAttrOnDatapoint Hex Hour Hours Index InsertXML IsInCIDR ' +
    'IsValidLuhn Keys Log MD5 Microseconds Milliseconds Minute Minutes Month Murmur3Hash Murmur3Hash128 Nanosecond Nanoseconds Normalize Now ParseCSV ParseInt ' +
    'ParseJSON ParseKeyValue ParseSeverity ParseSimplifiedXML ParseXML ProfileID RemoveXML Replace Second Seconds SHA1 SHA256 SHA512 SliceToMap Sort Split ' +
    'String Substring Time ToCamelCase ToKeyValueString ToLowerCase ToSnakeCase ToUpperCase Trim TrimPrefix TrimSuffix TruncateTime Unix UnixMicro UnixMilli ' +
    'UnixNano UnixSeconds URL UserAgent UUID UUIDv7 Values Weekday XXH128 XXH3 Year'
  ).split(' '),
);

/** @throws ConditionError for an unknown function, or arguments that it does not take */
export function compileCall(call: CallNode, context: ConditionContext, compileArgument: (index: number) => CompiledValue): CompiledValue {
  const entry = FUNCTIONS.get(call.name);
  if (entry === undefined) {
    if (LATER.has(call.name)) throw new ConditionError(`the function ${call.name} is not supported yet`, call.column);
    if (/^[a-z]/.test(call.name)) {
      const converter = call.name.charAt(0).toUpperCase() + call.name.slice(1);
      if (!FUNCTIONS.has(converter)) throw new ConditionError(`${call.name} changes data and is not a condition`, call.column);
    }
    throw new ConditionError(`unknown function ${call.name}`, call.column, didYouMean(call.name, FUNCTIONS.keys()));
  }
  if (call.name === 'IsRootSpan' && context !== 'span' && context !== 'spanevent')
    throw new ConditionError(`a ${context} has no span`, call.column);
  const args: (CompiledValue | undefined)[] = entry.parameters.map(() => undefined);
  let named = false;
  for (const [index, argument] of call.args.entries()) {
    if (argument.name === undefined && named)
      throw new ConditionError('arguments without a name stand before those with one', argument.value.column);
    named ||= argument.name !== undefined;
    const at = argument.name === undefined ? index : entry.parameters.indexOf(argument.name);
    if (at < 0)
      throw new ConditionError(
        `${call.name} has no argument ${argument.name}`,
        argument.value.column,
        didYouMean(argument.name!, entry.parameters),
      );
    if (at >= args.length || args[at] !== undefined) throw wrongCount(call, entry);
    args[at] = compileArgument(index);
  }
  if (args.includes(undefined)) throw wrongCount(call, entry);
  return { type: entry.result, load: entry.build(args as CompiledValue[], call) };
}

function wrongCount(call: CallNode, entry: FunctionEntry): ConditionError {
  const count = entry.parameters.length;
  return new ConditionError(
    `${call.name} takes ${count} argument${count === 1 ? '' : 's'}, not ${call.args.length}`,
    call.column,
    `write ${call.name}(${entry.parameters.join(', ')})`,
  );
}

/** nil matches nothing; a value that is no string is matched by its text (OTTL's StringLikeGetter). */
function buildIsMatch([target, pattern]: readonly CompiledValue[], call: CallNode): Load {
  const at = call.args.find((argument) => argument.name === 'pattern') ?? call.args[1]!;
  const { constant } = pattern!;
  if (constant === undefined) throw new ConditionError('a pattern that is not a literal is not supported yet', at.value.column);
  if (constant.kind !== VALUE_STRING) throw new ConditionError('a pattern is a string', at.value.column);
  const compiled = compilePattern(constant.bytes.toString('utf8', constant.start, constant.stop), at.value.column);
  const slot = new Slot();
  const scratch = new Slot();
  return (item) => {
    const value = target!.load(item);
    if (value.kind === VALUE_EMPTY) return slot.setBool(false);
    const text = valueText(value, scratch, 'hex');
    return slot.setBool(compiled.matches(text.bytes, text.start, text.stop));
  };
}

function compilePattern(source: string, column: number): BytesPattern {
  try {
    return new BytesPattern(source);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new ConditionError(`the pattern cannot be used: ${error.message}`, column + 1 + error.at);
  }
}

/** Bytes of a string, entries of a list or map. */
function buildLen([target]: readonly CompiledValue[]): Load {
  const slot = new Slot();
  const cursor = new Cursor();
  return (item) => {
    const value = target!.load(item);
    if (value.kind === VALUE_STRING || value.kind === VALUE_BYTES) return slot.setInt(value.stop - value.start, 0);
    if (value.kind !== VALUE_ARRAY && value.kind !== VALUE_KVLIST) {
      item.failed = true;
      return slot.setNil();
    }
    let count = 0;
    cursor.reset(value.bytes, value.start, value.stop);
    while (cursor.next()) if (cursor.field === 1) count++;
    return slot.setInt(count, 0);
  };
}

/** Doubles are cut towards zero, strings read as decimal; what is no number is nil. */
function buildInt([target]: readonly CompiledValue[]): Load {
  const slot = new Slot();
  return (item) => {
    const value = target!.load(item);
    switch (value.kind) {
      case VALUE_INT:
      case VALUE_BOOL:
        return slot.setInt(value.lo | 0, value.hi | 0);
      case VALUE_DOUBLE:
        return Number.isFinite(value.double) ? setTruncated(slot, value.double) : slot.setNil();
      case VALUE_STRING:
        return parseDecimal(value, slot);
      default:
        return slot.setNil();
    }
  };
}

function setTruncated(slot: Slot, value: number): Slot {
  const whole = Math.trunc(value);
  return slot.setInt(whole | 0, Math.floor(whole / 0x1_0000_0000) | 0);
}

function buildDouble([target]: readonly CompiledValue[]): Load {
  const slot = new Slot();
  return (item) => {
    const value = target!.load(item);
    switch (value.kind) {
      case VALUE_INT:
      case VALUE_BOOL:
        return slot.setDouble(intToNumber(value));
      case VALUE_DOUBLE:
        return slot.setDouble(value.double);
      case VALUE_STRING: {
        if (parseDecimal(value, slot).kind === VALUE_INT) return slot.setDouble(intToNumber(slot));
        const text = value.bytes.toString('latin1', value.start, value.stop);
        const number = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/.test(text) ? Number(text) : Number.NaN;
        return Number.isNaN(number) ? slot.setNil() : slot.setDouble(number);
      }
      default:
        return slot.setNil();
    }
  };
}

function buildContainsValue([target, wanted]: readonly CompiledValue[]): Load {
  const slot = new Slot();
  const element = new Slot();
  const cursor = new Cursor();
  return (item) => {
    const list = target!.load(item);
    if (list.kind !== VALUE_ARRAY) {
      item.failed = true;
      return slot.setBool(false);
    }
    cursor.reset(list.bytes, list.start, list.stop);
    const value = wanted!.load(item);
    while (cursor.next()) {
      if (cursor.field !== 1) continue;
      cursor.expect(WIRE_LEN);
      if (compareSlots('==', element.setAny(cursor.bytes, cursor.start, cursor.stop), value)) return slot.setBool(true);
    }
    return slot.setBool(false);
  };
}

function buildIsRootSpan(): Load {
  const slot = new Slot();
  return (item) => {
    const { bytes, parentIdStart, parentIdStop } = item.span;
    let any = 0;
    for (let at = parentIdStart; at < parentIdStop; at++) any |= bytes[at]!;
    return slot.setBool(any === 0);
  };
}
