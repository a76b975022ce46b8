import { VALUE_BYTES, type AttributeList } from '../otlp/attributes.ts';
import { SPAN_ID_BYTES, TRACE_ID_BYTES } from '../otlp/span.ts';
import { EMPTY } from '../wire/cursor.ts';
import { writeHexDigits } from '../wire/hex.ts';
import { ConditionError, didYouMean } from './condition-error.ts';
import type { Item } from './item.ts';
import { SPAN_KIND_NAMES } from './ottl-enums.ts';
import type { Key, PathNode } from './ottl-parser.ts';
import type { CompiledValue, ConditionContext, Load, ValueType } from './ottl-value.ts';
import { descending, loadTraceStateMember } from './ottl-keys.ts';
import { Slot } from './slot.ts';
import { valueText } from './value-text.ts';

type Bind = (item: Item, slot: Slot) => void;
/** `bind` reads a field; `attributes` a list that needs a key; `any` an AnyValue that may have keys. */
type Field =
  | { readonly type: ValueType; readonly bind: Bind }
  | { readonly attributes: (item: Item) => AttributeList; readonly bytes: (item: Item) => Buffer }
  | { readonly keyed: (key: Buffer) => Bind; readonly type: ValueType; readonly bind: Bind };
type Fields = ReadonlyMap<string, Field>;

const ZEROS = Buffer.alloc(TRACE_ID_BYTES);

const text = (bind: Bind): Field => ({ type: 'string', bind });
const int = (bind: Bind): Field => ({ type: 'int', bind });

/** An id as bytes. An absent one reads as zeros, as pdata's TraceID and SpanID do. */
function id(size: number, range: (item: Item, slot: Slot) => void): Field {
  return {
    type: 'bytes',
    bind: (item, slot) => {
      range(item, slot);
      if (slot.stop - slot.start !== size) slot.setRange(VALUE_BYTES, ZEROS, 0, size);
    },
  };
}

/** An id as lower-case hex digits, in a buffer of the field's own. */
function idText(field: Field): Field {
  const { bind } = field as { bind: Bind };
  const digits = Buffer.alloc(TRACE_ID_BYTES * 2);
  return text((item, slot) => {
    bind(item, slot);
    slot.setText(digits, 0, writeHexDigits(digits, 0, slot.bytes, slot.start, slot.stop));
  });
}

const spanTraceId = id(TRACE_ID_BYTES, (item, slot) =>
  slot.setRange(VALUE_BYTES, item.span.bytes, item.span.traceIdStart, item.span.traceIdStop),
);
const spanId = id(SPAN_ID_BYTES, (item, slot) => slot.setRange(VALUE_BYTES, item.span.bytes, item.span.spanIdStart, item.span.spanIdStop));
const parentSpanId = id(SPAN_ID_BYTES, (item, slot) =>
  slot.setRange(VALUE_BYTES, item.span.bytes, item.span.parentIdStart, item.span.parentIdStop),
);
const logTraceId = id(TRACE_ID_BYTES, (item, slot) =>
  slot.setRange(VALUE_BYTES, item.log.bytes, item.log.traceIdStart, item.log.traceIdStop),
);
const logSpanId = id(SPAN_ID_BYTES, (item, slot) => slot.setRange(VALUE_BYTES, item.log.bytes, item.log.spanIdStart, item.log.spanIdStop));

const SCOPE_FIELDS: Fields = new Map<string, Field>([
  ['name', text((item, slot) => slot.setText(item.scope.bytes, item.scope.nameStart, item.scope.nameStop))],
  ['version', text((item, slot) => slot.setText(item.scope.bytes, item.scope.versionStart, item.scope.versionStop))],
  ['attributes', { attributes: (item) => item.scope.scopeAttributes, bytes: (item) => item.scope.bytes }],
]);
const RESOURCE_FIELDS: Fields = new Map<string, Field>([
  ['attributes', { attributes: (item) => item.scope.resourceAttributes, bytes: (item) => item.scope.bytes }],
]);
const SPAN_FIELDS: Fields = new Map<string, Field>([
  ['attributes', { attributes: (item) => item.span.attributes, bytes: (item) => item.span.bytes }],
  ['name', text((item, slot) => slot.setText(item.span.bytes, item.span.nameStart, item.span.nameStop))],
  ['kind', int((item, slot) => slot.setInt(item.span.kind, 0))],
  [
    'kind.string',
    text((item, slot) => {
      const name = SPAN_KIND_NAMES[item.span.kind] ?? EMPTY;
      slot.setText(name, 0, name.length);
    }),
  ],
  ['status.code', int((item, slot) => slot.setInt(item.span.statusCode, 0))],
  ['status.message', text((item, slot) => slot.setText(item.span.bytes, item.span.statusMessageStart, item.span.statusMessageStop))],
  ['trace_id', spanTraceId],
  ['trace_id.string', idText(spanTraceId)],
  ['span_id', spanId],
  ['span_id.string', idText(spanId)],
  ['parent_span_id', parentSpanId],
  ['parent_span_id.string', idText(parentSpanId)],
  [
    'trace_state',
    {
      type: 'string',
      bind: (item, slot) => slot.setText(item.span.bytes, item.span.traceStateStart, item.span.traceStateStop),
      keyed: (key) => (item, slot) => loadTraceStateMember(item.span, key, slot),
    },
  ],
  ['start_time_unix_nano', int((item, slot) => slot.setInt(item.span.startLo | 0, item.span.startHi | 0))],
  ['end_time_unix_nano', int((item, slot) => slot.setInt(item.span.endLo | 0, item.span.endHi | 0))],
]);
const EVENT_FIELDS: Fields = new Map<string, Field>([
  ['attributes', { attributes: (item) => item.event.attributes, bytes: (item) => item.event.bytes }],
  ['name', text((item, slot) => slot.setText(item.event.bytes, item.event.nameStart, item.event.nameStop))],
  ['time_unix_nano', int((item, slot) => slot.setInt(item.event.timeLo | 0, item.event.timeHi | 0))],
]);
const bodyBind: Bind = (item, slot) => slot.setAny(item.log.bytes, item.log.bodyStart, item.log.bodyStop);
const LOG_FIELDS: Fields = new Map<string, Field>([
  ['attributes', { attributes: (item) => item.log.attributes, bytes: (item) => item.log.bytes }],
  ['body', { type: 'any', bind: bodyBind }],
  [
    'body.string',
    text((item, slot) => {
      bodyBind(item, slot);
      valueText(slot, slot, 'base64');
    }),
  ],
  ['severity_number', int((item, slot) => slot.setInt(item.log.severityNumber, 0))],
  ['severity_text', text((item, slot) => slot.setText(item.log.bytes, item.log.severityTextStart, item.log.severityTextStop))],
  ['event_name', text((item, slot) => slot.setText(item.log.bytes, item.log.eventNameStart, item.log.eventNameStop))],
  ['trace_id', logTraceId],
  ['trace_id.string', idText(logTraceId)],
  ['span_id', logSpanId],
  ['span_id.string', idText(logSpanId)],
  ['flags', int((item, slot) => slot.setInt(item.log.flags, 0))],
  ['time_unix_nano', int((item, slot) => slot.setInt(item.log.timeLo | 0, item.log.timeHi | 0))],
  ['observed_time_unix_nano', int((item, slot) => slot.setInt(item.log.observedLo | 0, item.log.observedHi | 0))],
]);
const METRIC_FIELDS: Fields = new Map<string, Field>([
  ['name', text((item, slot) => slot.setText(item.metric.bytes, item.metric.nameStart, item.metric.nameStop))],
  ['description', text((item, slot) => slot.setText(item.metric.bytes, item.metric.descriptionStart, item.metric.descriptionStop))],
  ['unit', text((item, slot) => slot.setText(item.metric.bytes, item.metric.unitStart, item.metric.unitStop))],
  ['type', int((item, slot) => slot.setInt(item.metric.type, 0))],
  ['aggregation_temporality', int((item, slot) => slot.setInt(item.metric.temporality, 0))],
  ['is_monotonic', { type: 'bool', bind: (item, slot) => slot.setBool(item.metric.monotonic) }],
]);

const SURROUNDING: readonly (readonly [string, Fields])[] = [
  ['resource', RESOURCE_FIELDS],
  ['instrumentation_scope', SCOPE_FIELDS],
  ['scope', SCOPE_FIELDS],
];
const OWN_FIELDS: Readonly<Record<ConditionContext, Fields>> = {
  span: SPAN_FIELDS,
  spanevent: EVENT_FIELDS,
  log: LOG_FIELDS,
  metric: METRIC_FIELDS,
};
const PREFIXES: Readonly<Record<ConditionContext, ReadonlyMap<string, Fields>>> = {
  span: new Map([['span', SPAN_FIELDS], ...SURROUNDING]),
  spanevent: new Map([['spanevent', EVENT_FIELDS], ['span', SPAN_FIELDS], ...SURROUNDING]),
  log: new Map([['log', LOG_FIELDS], ...SURROUNDING]),
  metric: new Map([['metric', METRIC_FIELDS], ...SURROUNDING]),
};
const ALL_CONTEXTS = ['span', 'spanevent', 'log', 'metric', 'datapoint', 'resource', 'scope', 'instrumentation_scope'];
// Valid OTTL that this compiler does not know yet: said as such, not as a mistake of the user's.
const LATER = new Set([
  'cache',
  'events',
  'links',
  'dropped_attributes_count',
  'dropped_events_count',
  'dropped_links_count',
  'start_time',
  'end_time',
  'time',
  'observed_time',
  'data_points',
  'flags',
  'schema_url',
  'profile',
  'otelcol',
]);

/** @throws ConditionError for a path that `context` does not have, with the nearest that it has */
export function compilePath(node: PathNode, context: ConditionContext): CompiledValue {
  const { segments } = node;
  const first = segments[0]!;
  if (first.name === 'datapoint') throw new ConditionError('conditions on data points are not supported yet', node.column);
  const prefixed = segments.length > 1 ? PREFIXES[context].get(first.name) : undefined;
  const fields = prefixed ?? OWN_FIELDS[context];
  const own = prefixed === undefined ? segments : segments.slice(1);
  const name = own.map((segment) => segment.name).join('.');
  const field = fields.get(name);
  if (field === undefined) throw unknownPath(node, name, context, prefixed === undefined ? undefined : first.name, fields);
  const keyedEarly = segments.slice(0, -1).find((segment) => segment.keys.length > 0);
  if (keyedEarly !== undefined) throw new ConditionError(`${keyedEarly.name} takes no key here`, keyedEarly.keys[0]!.column);
  return compileField(field, name, segments.at(-1)!.keys, node.column);
}

function compileField(field: Field, name: string, keys: readonly Key[], column: number): CompiledValue {
  const slot = new Slot();
  if ('attributes' in field) {
    const key = keys[0];
    if (key === undefined) throw new ConditionError(`${name} needs a key`, column, `write ${name}["key"]`);
    if (!('text' in key)) throw new ConditionError(`${name} takes a string as its key`, key.column, 'write ["key"]');
    const { attributes, bytes } = field;
    const wanted = key.text;
    const rest = keys.slice(1);
    const load: Load = (item) => {
      const list = attributes(item);
      const buffer = bytes(item);
      const index = list.find(buffer, wanted);
      return index < 0 ? slot.setNil() : slot.setAny(buffer, list.valueStart(index), list.valueStop(index));
    };
    return { type: 'any', load: rest.length === 0 ? load : descending(load, rest) };
  }
  const { bind } = field;
  if (keys.length === 0) {
    return {
      type: field.type,
      load: (item) => {
        bind(item, slot);
        return slot;
      },
    };
  }
  const key = keys[0]!;
  if ('keyed' in field && keys.length === 1 && 'text' in key) {
    const keyedBind = field.keyed(key.text);
    return {
      type: field.type,
      load: (item) => {
        keyedBind(item, slot);
        return slot;
      },
    };
  }
  if (field.type !== 'any') throw new ConditionError(`${name} takes no such key`, key.column);
  const load: Load = (item) => {
    bind(item, slot);
    return slot;
  };
  return { type: 'any', load: descending(load, keys) };
}

function unknownPath(node: PathNode, name: string, context: ConditionContext, prefix: string | undefined, fields: Fields): ConditionError {
  const first = node.segments[0]!;
  const whole = prefix === undefined ? name : `${prefix}.${name}`;
  if (LATER.has(prefix === undefined ? first.name : node.segments[1]!.name))
    return new ConditionError(`${whole} is not supported yet`, node.column);
  if (prefix === undefined && ALL_CONTEXTS.includes(first.name) && !PREFIXES[context].has(first.name)) {
    return new ConditionError(`a condition on a ${context} cannot read ${first.name}`, node.column);
  }
  const dot = prefix === undefined ? '' : `${prefix}.`;
  const candidates = [...fields.keys()].map((field) => dot + field);
  if (prefix === undefined)
    for (const [other, inner] of PREFIXES[context]) for (const field of inner.keys()) candidates.push(`${other}.${field}`);
  const column = prefix === undefined ? node.column : node.segments[1]!.column;
  const longer = candidates.find((candidate) => candidate.startsWith(`${whole}.`));
  return new ConditionError(
    `a ${prefix ?? context} has no ${name}`,
    column,
    didYouMean(whole, candidates) ?? (longer === undefined ? undefined : `did you mean ${longer}?`),
  );
}
