import { OperatorError } from '../base/errors.ts';
import type { Signal } from '../otlp/walk.ts';
import type { SettingsValue } from './attribute-actions.ts';
import { compileNode, type Test } from './ottl-compile.ts';
import type { ConditionNode, ValueNode } from './ottl-parser.ts';

interface MatchAttribute {
  readonly key: string;
  /** Without it the key's presence matches. */
  readonly value?: SettingsValue;
}

/** An `include` or `exclude` block of the Collector's attributes processor. Every list that is there must match; of services, names, kinds, libraries and bodies any one, of attributes and resources all. */
export interface MatchSettings {
  readonly matchType: 'strict' | 'regexp';
  readonly services?: readonly string[];
  readonly spanNames?: readonly string[];
  /** SPAN_KIND_SERVER and so on. */
  readonly spanKinds?: readonly string[];
  readonly logBodies?: readonly string[];
  readonly logSeverityTexts?: readonly string[];
  readonly attributes?: readonly MatchAttribute[];
  readonly resources?: readonly MatchAttribute[];
  readonly libraries?: readonly { readonly name: string; readonly version?: string }[];
}

/** Builds the condition that the blocks stand for: they mean nothing that OTTL could not say. @throws OperatorError, ConditionError */
export function compileMatch(include: MatchSettings | undefined, exclude: MatchSettings | undefined, signal: Signal): Test | undefined {
  const context = signal === 'traces' ? 'span' : 'log';
  const included = include === undefined ? undefined : compileNode(nodeOf(include, 'include', signal), context);
  const excluded = exclude === undefined ? undefined : compileNode(nodeOf(exclude, 'exclude', signal), context);
  if (included === undefined && excluded === undefined) return undefined;
  return (item) => (included === undefined || included(item)) && !(excluded !== undefined && excluded(item));
}

function nodeOf(settings: MatchSettings, where: string, signal: Signal): ConditionNode {
  const regexp = settings.matchType === 'regexp';
  const spanOnly = settings.services ?? settings.spanNames ?? settings.spanKinds;
  const logOnly = settings.logBodies ?? settings.logSeverityTexts;
  if (signal !== 'traces' && spanOnly !== undefined)
    throw new OperatorError(`${where}: services, span_names and span_kinds are for traces`, 'match logs by resources');
  if (signal !== 'logs' && logOnly !== undefined)
    throw new OperatorError(`${where}: log_bodies and log_severity_texts are for logs`, 'remove them');
  const items: ConditionNode[] = [];
  const oneOf = (path: ValueNode, texts: readonly string[] | undefined, asPattern = regexp): void => {
    if (texts !== undefined && texts.length > 0) items.push(either(texts.map((text) => matches(path, text, asPattern))));
  };
  oneOf(pathOf('resource', 'attributes', 'service.name'), settings.services);
  oneOf(pathOf(undefined, 'name'), settings.spanNames);
  if (settings.spanKinds !== undefined)
    items.push(either(settings.spanKinds.map((kind) => compare(pathOf(undefined, 'kind'), { kind: 'enum', name: kind, column: 1 }))));
  oneOf(pathOf(undefined, 'body'), settings.logBodies);
  oneOf(pathOf(undefined, 'severity_text'), settings.logSeverityTexts);
  for (const { key, value } of settings.attributes ?? []) items.push(matches(pathOf(undefined, 'attributes', key), value, regexp));
  for (const { key, value } of settings.resources ?? []) items.push(matches(pathOf('resource', 'attributes', key), value, regexp));
  if (settings.libraries !== undefined) {
    items.push(
      either(
        settings.libraries.map(({ name, version }) => {
          const named = matches(pathOf('scope', 'name'), name, regexp);
          return version === undefined ? named : { kind: 'and', items: [named, matches(pathOf('scope', 'version'), version, regexp)] };
        }),
      ),
    );
  }
  if (items.length === 0)
    throw new OperatorError(`${where} matches by nothing`, 'name at least one of services, span_names, attributes, resources, libraries');
  return { kind: 'and', items };
}

function either(items: readonly ConditionNode[]): ConditionNode {
  return { kind: 'or', items };
}

function matches(path: ValueNode, value: SettingsValue | undefined, regexp: boolean): ConditionNode {
  if (value === undefined) return { kind: 'compare', op: '!=', left: path, right: { kind: 'nil', column: 1 }, column: 1 };
  if (!regexp) return compare(path, literalOf(value));
  const pattern: ValueNode = { kind: 'string', bytes: Buffer.from(patternOf(value)), column: 1 };
  const call: ValueNode = {
    kind: 'call',
    name: 'IsMatch',
    args: [path, pattern].map((each) => ({ name: undefined, value: each })),
    column: 1,
  };
  return { kind: 'value', value: call };
}

function patternOf(value: SettingsValue): string {
  if (typeof value === 'string') return value;
  throw new OperatorError('a pattern is a string', 'put the value in quotes, or use match_type: strict');
}

function compare(left: ValueNode, right: ValueNode): ConditionNode {
  return { kind: 'compare', op: '==', left, right, column: 1 };
}

function literalOf(value: SettingsValue): ValueNode {
  if (typeof value === 'string') return { kind: 'string', bytes: Buffer.from(value), column: 1 };
  if (typeof value === 'boolean') return { kind: 'bool', value, column: 1 };
  if (typeof value === 'number')
    return Number.isSafeInteger(value) ? { kind: 'int', value: BigInt(value), column: 1 } : { kind: 'double', value, column: 1 };
  throw new OperatorError('include and exclude cannot match a list or a map', 'match a string, number or bool');
}

function pathOf(prefix: string | undefined, name: string, key?: string): ValueNode {
  const keys = key === undefined ? [] : [{ text: Buffer.from(key), column: 1 }];
  const own = { name, keys, column: 1 };
  return { kind: 'path', segments: prefix === undefined ? [own] : [{ name: prefix, keys: [], column: 1 }, own], column: 1 };
}
