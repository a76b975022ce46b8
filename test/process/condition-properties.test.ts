import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ConditionError } from '../../pipelines/process/condition-error.ts';
import { compileCondition } from '../../pipelines/process/condition.ts';
import { traces, type AttributeValue } from '../kit/otlp.ts';
import { firstItem } from './matching.ts';

/*
 * The compiled condition must equal a naive evaluation over plain values. The naive one is written from the
 * comparison table of LANGUAGE.md, knows nothing of bytes, and shares no code with the compiler.
 */
type Plain = string | bigint | number | boolean | Buffer | undefined;
type Op = '==' | '!=' | '<' | '<=' | '>' | '>=';
type Tree =
  | { kind: 'and' | 'or'; left: Tree; right: Tree }
  | { kind: 'not'; of: Tree }
  | { kind: 'compare'; op: Op; left: Operand; right: Operand };
type Operand = { key: string } | { literal: Plain };

const KEYS = ['a', 'b', 'c'];
const plain: fc.Arbitrary<Plain> = fc.oneof(
  fc.constantFrom('', 'a', 'b', 'aa', 'é', 'ab"c\\'),
  fc.constantFrom(0n, 1n, -1n, 2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n, 4_294_967_296n),
  fc.constantFrom(0.5, -1.5, 1.5e-300, 0.1, 2.5),
  fc.boolean(),
  fc.constantFrom(Buffer.from('00', 'hex'), Buffer.from('00ff', 'hex')),
  fc.constant(undefined),
);
const operand: fc.Arbitrary<Operand> = fc.oneof(fc.record({ key: fc.constantFrom(...KEYS) }), fc.record({ literal: plain }));
const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({
      kind: fc.constant('compare' as const),
      op: fc.constantFrom<Op>('==', '!=', '<', '<=', '>', '>='),
      left: operand,
      right: operand,
    }),
    fc.record({ kind: fc.constantFrom('and' as const, 'or' as const), left: tie('tree'), right: tie('tree') }),
    fc.record({ kind: fc.constant('not' as const), of: tie('tree') }),
  ),
}));

function write(node: Tree): string {
  if (node.kind === 'compare') return `${writeOperand(node.left)} ${node.op} ${writeOperand(node.right)}`;
  if (node.kind === 'not') return `not (${write(node.of)})`;
  // Without parentheses where precedence allows it: the parser is under test too.
  const side = (child: Tree): string => (node.kind === 'and' && child.kind === 'or' ? `(${write(child)})` : write(child));
  return `${side(node.left)} ${node.kind} ${side(node.right)}`;
}

function writeOperand(side: Operand): string {
  if ('key' in side) return `attributes["${side.key}"]`;
  const { literal } = side;
  if (literal === undefined) return 'nil';
  if (typeof literal === 'string') return JSON.stringify(literal);
  if (Buffer.isBuffer(literal)) return `0x${literal.toString('hex')}`;
  return String(literal);
}

function evaluate(node: Tree, values: Record<string, Plain>): boolean {
  const get = (side: Operand): Plain => ('key' in side ? values[side.key] : side.literal);
  if (node.kind === 'compare') return compare(node.op, get(node.left), get(node.right));
  if (node.kind === 'not') return !evaluate(node.of, values);
  if (node.kind === 'and') return evaluate(node.left, values) && evaluate(node.right, values);
  return evaluate(node.left, values) || evaluate(node.right, values);
}

function compare(op: Op, left: Plain, right: Plain): boolean {
  const order = orderOf(left, right);
  if (order === undefined) return op === '!=';
  return { '==': order === 0, '!=': order !== 0, '<': order < 0, '<=': order <= 0, '>': order > 0, '>=': order >= 0 }[op];
}

function orderOf(left: Plain, right: Plain): number | undefined {
  if (left === undefined && right === undefined) return 0;
  if (typeof left === 'bigint' && typeof right === 'bigint') return left < right ? -1 : left > right ? 1 : 0;
  const numeric = (value: Plain): value is bigint | number => typeof value === 'bigint' || typeof value === 'number';
  if (numeric(left) && numeric(right)) return Number(left) - Number(right);
  if (typeof left === 'string' && typeof right === 'string') return Buffer.compare(Buffer.from(left), Buffer.from(right));
  if (typeof left === 'boolean' && typeof right === 'boolean') return Number(left) - Number(right);
  if (Buffer.isBuffer(left) && Buffer.isBuffer(right)) return Buffer.compare(left, right);
  return undefined;
}

/** Whether two literals of different types meet, which the compiler refuses. */
function refused(node: Tree): boolean {
  if (node.kind === 'compare') {
    if ('key' in node.left || 'key' in node.right) return false;
    const { literal: left } = node.left;
    const { literal: right } = node.right;
    return left !== undefined && right !== undefined && orderOf(left, right) === undefined;
  }
  return node.kind === 'not' ? refused(node.of) : refused(node.left) || refused(node.right);
}

test('a compiled condition equals a naive evaluation of plain values', () => {
  fc.assert(
    fc.property(tree, fc.record({ a: plain, b: plain, c: plain }), (node, values) => {
      const text = write(node);
      if (refused(node)) {
        assert.throws(() => compileCondition(text, 'span'), ConditionError);
        return;
      }
      const attributes = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Record<
        string,
        AttributeValue
      >;
      const item = firstItem('span', traces([{ attributes }]));
      assert.equal(compileCondition(text, 'span').matches(item), evaluate(node, values), text);
    }),
    { numRuns: 400 },
  );
});

test('any text compiles or gives a ConditionError with a column inside of it', () => {
  const word = fc.constantFrom(
    'name',
    'attributes',
    '["a"]',
    '==',
    '<',
    'and',
    'or',
    'not',
    '(',
    ')',
    '"x"',
    '1',
    '.5',
    'nil',
    'true',
    'IsMatch',
    ',',
    '.',
    '0xff',
    'kind',
    'STATUS_CODE_OK',
    '+',
    '"',
    '\\',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(word, { maxLength: 12 }).map((words) => words.join(' ')),
        fc.string(),
      ),
      (text) => {
        try {
          compileCondition(text, 'span');
        } catch (error) {
          assert.ok(error instanceof ConditionError, String(error));
          assert.ok(error.column >= 1 && error.column <= text.length + 1, `${error.column} of ${text.length}`);
        }
      },
    ),
    { numRuns: 500 },
  );
});
