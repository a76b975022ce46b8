import { VALUE_ARRAY, VALUE_KVLIST, sameBytes } from '../otlp/attributes.ts';
import type { SpanView } from '../otlp/span.ts';
import { Cursor, WIRE_LEN } from '../wire/cursor.ts';
import type { Key } from './ottl-parser.ts';
import type { Load } from './ottl-value.ts';
import type { Slot } from './slot.ts';

/** Follows keys into maps and lists. What is not there, or is no map or list, is nil. */
export function descending(load: Load, keys: readonly Key[]): Load {
  const cursor = new Cursor();
  const pair = new Cursor();
  return (item) => {
    const slot = load(item);
    for (const key of keys) {
      if ('text' in key ? !intoMap(slot, key.text, cursor, pair) : !intoList(slot, key.index, cursor)) return slot.setNil();
    }
    return slot;
  };
}

function intoMap(slot: Slot, key: Buffer, cursor: Cursor, pair: Cursor): boolean {
  if (slot.kind !== VALUE_KVLIST) return false;
  const { bytes } = slot;
  cursor.reset(bytes, slot.start, slot.stop);
  while (cursor.next()) {
    if (cursor.field !== 1) continue;
    cursor.expect(WIRE_LEN);
    let found = false;
    let start = 0;
    let stop = 0;
    pair.reset(bytes, cursor.start, cursor.stop);
    while (pair.next()) {
      if (pair.field > 2) continue;
      pair.expect(WIRE_LEN);
      if (pair.field === 1) found = pair.stop - pair.start === key.length && sameBytes(bytes, pair.start, key, 0, key.length);
      else {
        start = pair.start;
        stop = pair.stop;
      }
    }
    if (found) {
      slot.setAny(bytes, start, stop);
      return true;
    }
  }
  return false;
}

function intoList(slot: Slot, index: number, cursor: Cursor): boolean {
  if (slot.kind !== VALUE_ARRAY) return false;
  cursor.reset(slot.bytes, slot.start, slot.stop);
  let at = 0;
  while (cursor.next()) {
    if (cursor.field !== 1 || at++ !== index) continue;
    cursor.expect(WIRE_LEN);
    slot.setAny(slot.bytes, cursor.start, cursor.stop);
    return true;
  }
  return false;
}

/** One member of the trace state; the empty string where there is none, as the Collector's trace.TraceState.Get gives. */
export function loadTraceStateMember(span: SpanView, key: Buffer, slot: Slot): void {
  const { bytes, traceStateStart, traceStateStop } = span;
  slot.setText(bytes, 0, 0);
  for (let at = traceStateStart; at < traceStateStop;) {
    let end = at;
    while (end < traceStateStop && bytes[end] !== 0x2c) end++;
    let from = at;
    while (from < end && (bytes[from] === 0x20 || bytes[from] === 0x09)) from++;
    let to = end;
    while (to > from && (bytes[to - 1] === 0x20 || bytes[to - 1] === 0x09)) to--;
    if (to - from > key.length && bytes[from + key.length] === 0x3d && sameBytes(bytes, from, key, 0, key.length)) {
      slot.setText(bytes, from + key.length + 1, to);
      return;
    }
    at = end + 1;
  }
}
