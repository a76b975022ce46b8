import { itemOf, schema, type FieldRow, type Rule } from './schema.ts';
import type { Signal } from './walk.ts';

/*
 * schema.ts turned into flat arrays: what to do with field f of message m stands at m × STRIDE + f. The checker of
 * items (validate-item.ts) walks by these alone, so no object is touched per field.
 */
export const STRIDE = 32;

export const SKIP = 0; // unknown field: any wire type
export const STRING = 1;
const BYTES = 2;
export const VARINT = 3;
export const I64 = 4;
export const I32 = 5;
export const REPEATED_I64 = 6; // packed, or one by one
export const REPEATED_VARINT = 7; // packed, or one by one
export const MESSAGE = 8;
export const KEY_VALUE = 9; // counts as an attribute
export const ANY_VALUE = 10; // counts as a level of nesting
export const EVENT = 11; // events and links count together
export const POINT = 12; // a data point: judged by itself
export const SPAN_TRACE_ID = 13;
export const SPAN_ID = 14;
export const PARENT_ID = 15;
export const LINK_TRACE_ID = 16;
export const LINK_SPAN_ID = 17;
export const LOG_TRACE_ID = 18;
export const LOG_SPAN_ID = 19;
export const EXEMPLAR_TRACE_ID = 20;
export const EXEMPLAR_SPAN_ID = 21;
export const START_TIME = 22;
export const END_TIME = 23;
export const POINT_TIME = 24;
export const OPTIONAL_TIME = 25;

const ofRule: Readonly<Record<Exclude<Rule, 'repeated'>, number>> = {
  span_trace_id: SPAN_TRACE_ID,
  span_id: SPAN_ID,
  parent_id: PARENT_ID,
  link_trace_id: LINK_TRACE_ID,
  link_span_id: LINK_SPAN_ID,
  log_trace_id: LOG_TRACE_ID,
  log_span_id: LOG_SPAN_ID,
  exemplar_trace_id: EXEMPLAR_TRACE_ID,
  exemplar_span_id: EXEMPLAR_SPAN_ID,
  start_time: START_TIME,
  end_time: END_TIME,
  point_time: POINT_TIME,
  optional_time: OPTIONAL_TIME,
};

const ofScalar: Readonly<Record<string, number>> = {
  string: STRING,
  bytes: BYTES,
  id: BYTES,
  bool: VARINT,
  enum: VARINT,
  uint32: VARINT,
  sint32: VARINT,
  int64: VARINT,
  uint64: VARINT,
  fixed32: I32,
  fixed64: I64,
  sfixed64: I64,
  double: I64,
};

const ofMessage: Readonly<Record<string, number>> = {
  KeyValue: KEY_VALUE,
  AnyValue: ANY_VALUE,
  Event: EVENT,
  Link: EVENT,
  NumberDataPoint: POINT,
  HistogramDataPoint: POINT,
  ExponentialHistogramDataPoint: POINT,
  SummaryDataPoint: POINT,
};

const names = Object.keys(schema);

function actionOf([, type, rule]: FieldRow): number {
  if (schema[type] !== undefined) return ofMessage[type] ?? MESSAGE;
  const scalar = ofScalar[type]!;
  if (rule === undefined) return scalar;
  if (rule === 'repeated') return scalar === VARINT ? REPEATED_VARINT : REPEATED_I64;
  return ofRule[rule];
}

/** The index of a message of schema.ts. */
function messageIndex(name: string): number {
  const index = names.indexOf(name);
  if (index === -1) throw new Error(`schema.ts has no message ${name}`);
  return index;
}

export const actions = new Uint8Array(names.length * STRIDE);
/** The message that a field holds; −1 for scalars. */
export const children = new Int16Array(names.length * STRIDE).fill(-1);

for (const [index, name] of names.entries()) {
  for (const row of Object.values(schema[name]!)) {
    const slot = index * STRIDE + row[0];
    actions[slot] = actionOf(row);
    if (schema[row[1]] !== undefined) children[slot] = messageIndex(row[1]);
  }
}

export const KEY_VALUE_MESSAGE = messageIndex('KeyValue');
export const ANY_VALUE_MESSAGE = messageIndex('AnyValue');
export const LINK_MESSAGE = messageIndex('Link');
export const RESOURCE_MESSAGE = messageIndex('Resource');
export const SCOPE_MESSAGE = messageIndex('InstrumentationScope');
export const itemMessage: Readonly<Record<Signal, number>> = {
  traces: messageIndex(itemOf.traces),
  metrics: messageIndex(itemOf.metrics),
  logs: messageIndex(itemOf.logs),
};
