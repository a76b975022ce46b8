import { VALUE_BOOL, VALUE_BYTES, VALUE_STRING, sameBytes } from '../otlp/attributes.ts';
import { ConditionError, didYouMean } from './condition-error.ts';
import type { Item } from './item.ts';
import { OTTL_ENUMS } from './ottl-enums.ts';
import { compileCall } from './ottl-functions.ts';
import type { CompareOp, ConditionNode, ValueNode } from './ottl-parser.ts';
import { compilePath } from './ottl-paths.ts';
import type { CompiledValue, ConditionContext, ValueType } from './ottl-value.ts';
import { Slot, compareSlots } from './slot.ts';

/** Decides one item. Closures are made here, once; running one allocates nothing but what the functions' own notes say. */
export type Test = (item: Item) => boolean;

/** @throws ConditionError */
export function compileNode(node: ConditionNode, context: ConditionContext): Test {
  switch (node.kind) {
    case 'or':
      return any(node.items.map((item) => compileNode(item, context)));
    case 'and':
      return every(node.items.map((item) => compileNode(item, context)));
    case 'not': {
      const test = compileNode(node.item, context);
      return (item) => !test(item);
    }
    case 'compare':
      return compileCompare(node.op, node.left, node.right, context);
    default:
      return compileBoolean(node.value, context);
  }
}

function any(tests: readonly Test[]): Test {
  return (item) => {
    for (let i = 0; i < tests.length; i++) if (tests[i]!(item)) return true;
    return false;
  };
}

function every(tests: readonly Test[]): Test {
  return (item) => {
    for (let i = 0; i < tests.length; i++) if (!tests[i]!(item)) return false;
    return true;
  };
}

/** A value alone is a condition only when it is true, false or a function that answers with one of them. */
function compileBoolean(node: ValueNode, context: ConditionContext): Test {
  const value = compileValue(node, context);
  if (node.kind === 'path') throw new ConditionError('a path alone is not a condition', node.column, `compare it: ${pathText(node)} == …`);
  if (value.type !== 'bool') throw new ConditionError(`a condition is true or false, this is ${article(value.type)}`, node.column);
  const { load } = value;
  return (item) => {
    const slot = load(item);
    return slot.kind === VALUE_BOOL && slot.lo !== 0;
  };
}

const REVERSED: Readonly<Record<CompareOp, CompareOp>> = { '==': '==', '!=': '!=', '<': '>', '<=': '>=', '>': '<', '>=': '<=' };

function compileCompare(op: CompareOp, leftNode: ValueNode, rightNode: ValueNode, context: ConditionContext): Test {
  const left = compileValue(leftNode, context);
  const right = compileValue(rightNode, context);
  checkTypes(leftNode, left.type, rightNode, right.type);
  if (left.constant !== undefined && right.constant === undefined) return compareLoads(REVERSED[op], right, left);
  return compareLoads(op, left, right);
}

function compareLoads(op: CompareOp, left: CompiledValue, right: CompiledValue): Test {
  const { constant } = right;
  if (left.constant !== undefined && constant !== undefined) {
    const verdict = compareSlots(op, left.constant, constant);
    return () => verdict;
  }
  const leftLoad = left.load;
  if (constant === undefined) {
    const rightLoad = right.load;
    return (item) => compareSlots(op, leftLoad(item), rightLoad(item));
  }
  if (constant.kind === VALUE_STRING && (op === '==' || op === '!=')) {
    const { bytes, start } = constant;
    const size = constant.stop - start;
    const equal = op === '==';
    return (item) => {
      const slot = leftLoad(item);
      const same = slot.kind === VALUE_STRING && slot.stop - slot.start === size && sameBytes(slot.bytes, slot.start, bytes, start, size);
      return same === equal;
    };
  }
  return (item) => compareSlots(op, leftLoad(item), constant);
}

function compileValue(node: ValueNode, context: ConditionContext): CompiledValue {
  switch (node.kind) {
    case 'nil':
      return literal('nil', new Slot());
    case 'bool':
      return literal('bool', new Slot().setBool(node.value));
    case 'string':
      return literal('string', new Slot().setText(node.bytes, 0, node.bytes.length));
    case 'bytes':
      return literal('bytes', new Slot().setRange(VALUE_BYTES, node.bytes, 0, node.bytes.length));
    case 'int': {
      const unsigned = BigInt.asUintN(64, node.value);
      return literal('int', new Slot().setInt(Number(unsigned & 0xffff_ffffn), Number(unsigned >> 32n)));
    }
    case 'double':
      return literal('double', new Slot().setDouble(node.value));
    case 'enum': {
      const value = OTTL_ENUMS.get(node.name);
      if (value === undefined) throw new ConditionError(`unknown enum ${node.name}`, node.column, didYouMean(node.name, OTTL_ENUMS.keys()));
      return literal('int', new Slot().setInt(value, 0));
    }
    case 'path':
      return compilePath(node, context);
    default:
      return compileCall(node, context, (index) => compileValue(node.args[index]!.value, context));
  }
}

function literal(type: ValueType, slot: Slot): CompiledValue {
  return { type, load: () => slot, constant: slot };
}

/** Two types that are known and differ make a comparison that never changes: a mistake, which OTTL itself lets pass. */
function checkTypes(leftNode: ValueNode, left: ValueType, rightNode: ValueNode, right: ValueType): void {
  if (left === right || left === 'any' || right === 'any' || left === 'nil' || right === 'nil') return;
  if (isNumber(left) && isNumber(right)) return;
  const path = leftNode.kind === 'path' ? leftNode : rightNode.kind === 'path' ? rightNode : undefined;
  const hint = path === undefined ? undefined : typeHint(pathText(path), path === leftNode ? right : left);
  throw new ConditionError(`${article(left)} is compared with ${article(right)}: the result is always the same`, leftNode.column, hint);
}

const isNumber = (type: ValueType): boolean => type === 'int' || type === 'double';

function typeHint(path: string, other: ValueType): string | undefined {
  const field = path.slice(path.lastIndexOf('.') + 1);
  if (other !== 'string') return undefined;
  if (field === 'kind') return `write ${path} == SPAN_KIND_SERVER, or ${path}.string == "Server"`;
  if (field === 'code') return `write ${path} == STATUS_CODE_ERROR`;
  if (field === 'severity_number') return `write ${path} >= SEVERITY_NUMBER_WARN`;
  if (field === 'type') return `write ${path} == METRIC_DATA_TYPE_SUM`;
  if (field.endsWith('_id')) return `write ${path}.string`;
  return undefined;
}

function pathText(node: ValueNode): string {
  return node.kind === 'path' ? node.segments.map((segment) => segment.name).join('.') : '';
}

function article(type: ValueType): string {
  return type === 'int' ? 'an int' : type === 'any' ? 'an attribute' : type === 'bytes' || type === 'nil' ? type : `a ${type}`;
}
