import { Reject } from '../base/errors.ts';
import type { Signal } from '../otlp/walk.ts';
import { Cursor, WIRE_LEN, WIRE_VARINT, u64ToNumber } from '../wire/cursor.ts';
import { Writer } from '../wire/writer.ts';
import type { Codec } from './topic.ts';

/*
 * The value of a record of the dead-letter topic, in protobuf's wire format so that it can grow:
 *
 *   DeadLetter {
 *     string stage = 1;            who refused it: a consumer group such as write.clickhouse, or ingest
 *     string signal = 2;           traces, metrics, logs
 *     string topic = 3; uint32 partition = 4; uint64 offset = 5; uint64 time_ms = 6;     the record it was in (time_ms: append time); offset and time_ms are 0 for ingest
 *     uint32 item = 7;             its place in that record, from 0: span, log record or data point
 *     uint32 items = 8;            how many of them `data` holds
 *     string table = 9;            empty where it never came to a table
 *     string reason = 10;          a word, such as violated_constraint
 *     string message = 11;         what ClickHouse said
 *     bytes trace_id = 12; bytes span_id = 13;      of the first item, where it has any
 *     string codec = 14; uint32 raw_bytes = 15;     of `data`, as in the headers of a record
 *     bytes data = 16;             the items under their resources and scopes (OTLP Data), or a record that could not be read, as it was
 *   }
 */
export interface DeadLetter {
  readonly stage: string;
  readonly signal: Signal;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly time_ms: number;
  readonly item: number;
  readonly items: number;
  readonly table: string;
  readonly reason: string;
  readonly message: string;
  readonly traceId: Buffer;
  readonly spanId: Buffer;
  readonly codec: Codec;
  readonly raw_bytes: number;
  /** Empty where the item was too large: only its ids are kept. */
  readonly data: Buffer;
}

/** All letters are on its partition 0, whatever it has: they are rare, and their offset is then their number. */
export const DEAD_TOPIC = 'dead';
export const DEAD_PARTITION = 0;
/** Of `message`, in characters. */
const MESSAGE_CHARACTERS_MAX = 1_000;

/** The same for a letter that was appended again after a crash, and for no other one. */
export function keyOf(letter: DeadLetter): string {
  const { stage, topic, partition, offset, time_ms, item, table } = letter;
  return `${stage}:${topic}:${partition}:${offset}:${time_ms}:${item}:${table}`;
}

export function encodeDeadLetter(letter: DeadLetter): Buffer {
  const w = new Writer(letter.data.length + 512);
  const text = (field: number, value: string): void => {
    if (value !== '') w.stringField(field, value);
  };
  const bytes = (field: number, value: Buffer): void => {
    if (value.length > 0) w.bytesField(field, value, 0, value.length);
  };
  text(1, letter.stage);
  text(2, letter.signal);
  text(3, letter.topic);
  w.varintField(4, letter.partition);
  w.varintField(5, letter.offset);
  w.varintField(6, letter.time_ms);
  w.varintField(7, letter.item);
  w.varintField(8, letter.items);
  text(9, letter.table);
  text(10, letter.reason);
  text(11, letter.message.slice(0, MESSAGE_CHARACTERS_MAX));
  bytes(12, letter.traceId);
  bytes(13, letter.spanId);
  text(14, letter.codec);
  w.varintField(15, letter.raw_bytes);
  bytes(16, letter.data);
  return w.view();
}

/** `data` and the ids point into `value`. @throws Reject where this is no dead letter */
export function decodeDeadLetter(value: Buffer): DeadLetter {
  const numbers = new Map<number, number>();
  const ranges = new Map<number, Buffer>();
  const cursor = new Cursor().reset(value, 0, value.length);
  while (cursor.next()) {
    if (cursor.wire === WIRE_VARINT) numbers.set(cursor.field, u64ToNumber(cursor.lo, cursor.hi));
    else if (cursor.wire === WIRE_LEN) ranges.set(cursor.field, value.subarray(cursor.start, cursor.stop));
  }
  const number = (field: number): number => numbers.get(field) ?? 0;
  const bytes = (field: number): Buffer => ranges.get(field) ?? value.subarray(0, 0);
  const text = (field: number): string => bytes(field).toString('utf8');
  const signal = text(2);
  const codec = text(14);
  if (signal !== 'traces' && signal !== 'metrics' && signal !== 'logs')
    throw new Reject('dead_letter', `signal "${signal}" in a dead letter`);
  if (codec !== 'none' && codec !== 'zstd') throw new Reject('dead_letter', `codec "${codec}" in a dead letter`);
  return {
    stage: text(1),
    signal,
    topic: text(3),
    partition: number(4),
    offset: number(5),
    time_ms: number(6),
    item: number(7),
    items: number(8),
    table: text(9),
    reason: text(10),
    message: text(11),
    traceId: bytes(12),
    spanId: bytes(13),
    codec,
    raw_bytes: number(15),
    data: bytes(16),
  };
}
