import type { SpanView } from '../otlp/span.ts';
import { Item } from './item.ts';
import { compileNode, type Test } from './ottl-compile.ts';
import { parseCondition } from './ottl-parser.ts';
import type { ConditionContext } from './ottl-value.ts';
import type { ItemScope } from './scope.ts';

/**
 * A compiled OTTL condition. `matches` reads the fields of `item` that belong to the condition's context and decides; it allocates
 * nothing, save for functions that must turn a number, list or map into text.
 *
 * When a function cannot work with its argument (HasPrefix of nil), OTTL stops with an error: here the condition is then false,
 * whatever stands around the function, and `errors` counts it.
 */
export class Condition {
  readonly text: string;
  readonly context: ConditionContext;
  errors = 0;
  private readonly test: Test;

  constructor(text: string, context: ConditionContext, test: Test) {
    this.text = text;
    this.context = context;
    this.test = test;
  }

  /** @throws Malformed for an attribute value that is not protobuf */
  matches(item: Item): boolean {
    item.failed = false;
    const verdict = this.test(item);
    if (!item.failed) return verdict;
    this.errors++;
    return false;
  }
}

/** A condition on spans for those who have a span and its surroundings at hand, such as a sampling policy. */
export class SpanCondition {
  readonly condition: Condition;
  private readonly item = new Item();

  constructor(condition: Condition) {
    this.condition = condition;
  }

  /** `span` and `scope` must lie in the same buffer. @throws Malformed */
  matches(span: SpanView, scope: ItemScope): boolean {
    this.item.span = span;
    this.item.scope = scope;
    return this.condition.matches(this.item);
  }
}

/**
 * Compiles one condition, such as `attributes["http.method"] == "GET" and not IsMatch(name, "^/health")`.
 * The grammar that is supported stands in ottl-parser.ts, the paths in ottl-paths.ts, the functions in ottl-functions.ts.
 * @throws ConditionError with a column and, where one is known, a suggestion
 */
export function compileCondition(text: string, context: ConditionContext): Condition {
  return new Condition(text, context, compileNode(parseCondition(text), context));
}

/** @throws ConditionError */
export function compileSpanCondition(text: string): SpanCondition {
  return new SpanCondition(compileCondition(text, 'span'));
}
