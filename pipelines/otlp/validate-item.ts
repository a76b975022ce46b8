import { Malformed } from '../base/errors.ts';
import { Cursor, EMPTY, WIRE_I32, WIRE_I64, WIRE_LEN, WIRE_VARINT, u32, u64ToNumber } from '../wire/cursor.ts';
import { isUtf8Range } from './utf8.ts';
import {
  FAULT_ATTRIBUTES,
  FAULT_EVENTS,
  FAULT_EXEMPLAR_ID,
  FAULT_LINK_ID,
  FAULT_NESTING,
  FAULT_PARENT_ID,
  FAULT_SPAN_ID,
  FAULT_TIMESTAMP,
  FAULT_TRACE_ID,
  FAULT_UTF8,
  NO_FAULT,
  faultNames,
} from './validate-fault.ts';
import * as t from './validate-table.ts';
import type { Signal } from './walk.ts';

/** What one item may hold. */
export interface ValidateSettings {
  /** Attributes of one item: its own, those of its events, links and exemplars, and the entries of nested kvlists. Resource and scope: each by itself. */
  readonly attributesMax: number;
  /** Levels of AnyValue: a plain attribute value is 1. */
  readonly nestingMax: number;
  /** Events and links of one span, together. */
  readonly eventsMax: number;
}

export const defaultValidateSettings: ValidateSettings = { attributesMax: 1024, nestingMax: 32, eventsMax: 8192 };

const TIME_MIN_MS = Date.UTC(2000, 0, 1);
const TIME_AHEAD_MAX_MS = 86_400_000;
const NS_PER_MS = 1e6;

// Which of the fields that must be there have come, for the message under way.
const SEEN_TRACE_ID = 1;
const SEEN_SPAN_ID = 2;
const SEEN_START = 4;
const SEEN_END = 8;
const SEEN_POINT_TIME = 16;
const SEEN_LINK_TRACE_ID = 32;
const SEEN_LINK_SPAN_ID = 64;
const LINK_MUST = SEEN_LINK_TRACE_ID | SEEN_LINK_SPAN_ID;
const SPAN_MUST = SEEN_TRACE_ID | SEEN_SPAN_ID | SEEN_START | SEEN_END;

/**
 * Judges one item, resource or scope at a time, to its last nested field. Damage of the wire format throws Malformed, also
 * where the item is at fault already; only what lies deeper than `nestingMax` is not looked at. Of several faults the
 * first one on the wire counts; what is missing is seen last. Recursion is bounded: only AnyValue nests in itself.
 */
export class ItemChecker {
  /** After `item`: how many data points a metric held; 1 for spans and log records. */
  points = 0;
  /** After `item` of a metric: data points at fault, by fault. */
  readonly pointFaults = new Int32Array(faultNames.length);
  private readonly signal: Signal;
  private readonly settings: ValidateSettings;
  private readonly cursors: Cursor[] = [];
  private bytes: Buffer = EMPTY;
  private timeMax_ns = 0;
  private fault = NO_FAULT;
  private seen = 0;
  private attributes = 0;
  private events = 0;
  private depth = 0;

  constructor(signal: Signal, settings: ValidateSettings) {
    this.signal = signal;
    this.settings = settings;
  }

  begin(bytes: Buffer, now_ms: number): void {
    this.bytes = bytes;
    this.timeMax_ns = (now_ms + TIME_AHEAD_MAX_MS) * NS_PER_MS;
  }

  /** Judges a Resource or InstrumentationScope with its schema URL. */
  head(message: number, start: number, stop: number, urlStart: number, urlStop: number): number {
    this.clear();
    this.message(message, start, stop, 0);
    this.text(urlStart, urlStop);
    return this.fault;
  }

  /** Judges a span, a log record or a metric. A metric's data points are counted in `points` and `pointFaults`; the answer is the fault of the metric itself. */
  item(start: number, stop: number): number {
    this.clear();
    this.points = 0;
    if (this.signal === 'metrics') this.pointFaults.fill(0);
    else this.points = 1;
    this.message(t.itemMessage[this.signal], start, stop, 0);
    if (this.signal === 'traces' && (this.seen & SPAN_MUST) !== SPAN_MUST) {
      if ((this.seen & SEEN_TRACE_ID) === 0) this.blame(FAULT_TRACE_ID);
      if ((this.seen & SEEN_SPAN_ID) === 0) this.blame(FAULT_SPAN_ID);
      this.blame(FAULT_TIMESTAMP);
    }
    return this.fault;
  }

  /** Judges one data point. */
  point(message: number, start: number, stop: number): number {
    this.clear();
    this.pointFields(message, start, stop, 0);
    return this.fault;
  }

  private clear(): void {
    this.fault = NO_FAULT;
    this.seen = this.attributes = this.events = this.depth = 0;
  }

  private blame(fault: number): void {
    if (this.fault === NO_FAULT) this.fault = fault;
  }

  private pointFields(message: number, start: number, stop: number, level: number): void {
    this.message(message, start, stop, level);
    if ((this.seen & SEEN_POINT_TIME) === 0) this.blame(FAULT_TIMESTAMP);
  }

  /** A data point within its metric: its fault and its attributes are its own. */
  private pointOfMetric(message: number, start: number, stop: number, level: number): void {
    const { fault, attributes, seen } = this;
    this.fault = NO_FAULT;
    this.attributes = this.seen = 0;
    this.pointFields(message, start, stop, level);
    this.points++;
    if (this.fault !== NO_FAULT) this.pointFaults[this.fault]!++;
    this.fault = fault;
    this.attributes = attributes;
    this.seen = seen;
  }

  private message(message: number, start: number, stop: number, level: number): void {
    const cursor = (this.cursors[level] ??= new Cursor()).reset(this.bytes, start, stop);
    const base = message * t.STRIDE;
    while (cursor.next()) {
      if (cursor.field >= t.STRIDE) continue;
      const slot = base + cursor.field;
      const action = t.actions[slot]!;
      switch (action) {
        case t.SKIP:
          break;
        case t.STRING:
          cursor.expect(WIRE_LEN);
          this.text(cursor.start, cursor.stop);
          break;
        case t.KEY_VALUE:
          cursor.expect(WIRE_LEN);
          if (++this.attributes > this.settings.attributesMax) this.blame(FAULT_ATTRIBUTES);
          if (!this.plainAttribute(cursor.start, cursor.stop)) this.message(t.KEY_VALUE_MESSAGE, cursor.start, cursor.stop, level + 1);
          break;
        case t.ANY_VALUE:
          cursor.expect(WIRE_LEN);
          if (this.depth === this.settings.nestingMax) {
            this.blame(FAULT_NESTING);
            break;
          }
          this.depth++;
          this.message(t.ANY_VALUE_MESSAGE, cursor.start, cursor.stop, level + 1);
          this.depth--;
          break;
        case t.MESSAGE:
          cursor.expect(WIRE_LEN);
          this.message(t.children[slot]!, cursor.start, cursor.stop, level + 1);
          break;
        case t.EVENT:
          cursor.expect(WIRE_LEN);
          if (++this.events > this.settings.eventsMax) this.blame(FAULT_EVENTS);
          this.seen &= ~LINK_MUST;
          this.message(t.children[slot]!, cursor.start, cursor.stop, level + 1);
          if (t.children[slot] === t.LINK_MESSAGE && (this.seen & LINK_MUST) !== LINK_MUST) this.blame(FAULT_LINK_ID);
          break;
        case t.POINT:
          cursor.expect(WIRE_LEN);
          this.pointOfMetric(t.children[slot]!, cursor.start, cursor.stop, level + 1);
          break;
        case t.VARINT:
          cursor.expect(WIRE_VARINT);
          break;
        case t.I64:
          cursor.expect(WIRE_I64);
          break;
        case t.I32:
          cursor.expect(WIRE_I32);
          break;
        case t.REPEATED_I64:
          if (cursor.wire === WIRE_I64) break;
          cursor.expect(WIRE_LEN);
          if ((cursor.stop - cursor.start) % 8 !== 0) throw new Malformed('packed field is not whole 8-byte numbers', cursor.start);
          break;
        case t.REPEATED_VARINT:
          if (cursor.wire === WIRE_VARINT) break;
          cursor.expect(WIRE_LEN);
          this.packedVarints(cursor.start, cursor.stop);
          break;
        case t.START_TIME:
        case t.END_TIME:
        case t.POINT_TIME:
        case t.OPTIONAL_TIME:
          cursor.expect(WIRE_I64);
          this.time(action, cursor.start);
          break;
        default: // ids, and bytes values, of which nothing is asked
          cursor.expect(WIRE_LEN);
          this.id(action, cursor.start, cursor.stop);
      }
    }
  }

  /**
   * Nearly every attribute of a mesh is a short string: `0A k key… 12 v 0A s string…`, one byte a length. Seen as a whole it
   * takes half the time of walking its two messages. Says whether it was that.
   */
  private plainAttribute(start: number, stop: number): boolean {
    const bytes = this.bytes;
    const size = stop - start;
    if (size < 6 || size > 0x7f || bytes[start] !== 0x0a || this.depth === this.settings.nestingMax) return false;
    const keyStop = start + 2 + bytes[start + 1]!;
    const left = stop - keyStop;
    if (left < 4 || bytes[keyStop] !== 0x12 || bytes[keyStop + 1] !== left - 2) return false;
    if (bytes[keyStop + 2] !== 0x0a || bytes[keyStop + 3] !== left - 4) return false;
    this.text(start + 2, keyStop);
    this.text(keyStop + 4, stop);
    return true;
  }

  private text(start: number, stop: number): void {
    if (!isUtf8Range(this.bytes, start, stop)) this.blame(FAULT_UTF8);
  }

  private time(action: number, at: number): void {
    const lo = u32(this.bytes, at);
    const hi = u32(this.bytes, at + 4);
    if (action === t.OPTIONAL_TIME && lo === 0 && hi === 0) return;
    if (action === t.START_TIME) this.seen |= SEEN_START;
    else if (action === t.END_TIME) this.seen |= SEEN_END;
    else if (action === t.POINT_TIME) this.seen |= SEEN_POINT_TIME;
    // As a double: off by at most 256 ns, which does not matter at these borders.
    const ns = u64ToNumber(lo, hi);
    if (ns < TIME_MIN_MS * NS_PER_MS || ns > this.timeMax_ns) this.blame(FAULT_TIMESTAMP);
  }

  private id(action: number, start: number, stop: number): void {
    const size = stop - start;
    switch (action) {
      case t.SPAN_TRACE_ID:
        // Twice is refused: the splitter takes the first, protobuf's rule is the last, and they may differ.
        if (size !== 16 || this.allZero(start, stop) || (this.seen & SEEN_TRACE_ID) !== 0) this.blame(FAULT_TRACE_ID);
        this.seen |= SEEN_TRACE_ID;
        break;
      case t.SPAN_ID:
        if (size !== 8 || this.allZero(start, stop)) this.blame(FAULT_SPAN_ID);
        this.seen |= SEEN_SPAN_ID;
        break;
      case t.PARENT_ID:
        if (size !== 0 && size !== 8) this.blame(FAULT_PARENT_ID);
        break;
      case t.LINK_TRACE_ID:
        if (size !== 16) this.blame(FAULT_LINK_ID);
        this.seen |= SEEN_LINK_TRACE_ID;
        break;
      case t.LINK_SPAN_ID:
        if (size !== 8) this.blame(FAULT_LINK_ID);
        this.seen |= SEEN_LINK_SPAN_ID;
        break;
      case t.LOG_TRACE_ID:
        if ((size !== 0 && size !== 16) || (this.seen & SEEN_TRACE_ID) !== 0) this.blame(FAULT_TRACE_ID);
        this.seen |= SEEN_TRACE_ID;
        break;
      case t.LOG_SPAN_ID:
        if (size !== 0 && size !== 8) this.blame(FAULT_SPAN_ID);
        break;
      case t.EXEMPLAR_TRACE_ID:
        if (size !== 0 && size !== 16) this.blame(FAULT_EXEMPLAR_ID);
        break;
      case t.EXEMPLAR_SPAN_ID:
        if (size !== 0 && size !== 8) this.blame(FAULT_EXEMPLAR_ID);
        break;
    }
  }

  private allZero(start: number, stop: number): boolean {
    for (let at = start; at < stop; at++) if (this.bytes[at] !== 0) return false;
    return true;
  }

  private packedVarints(start: number, stop: number): void {
    let from = start;
    for (let at = start; at < stop; at++) {
      // The tenth byte holds bit 63 alone.
      if (at - from === 9 && this.bytes[at]! > 1) throw new Malformed('varint longer than 64 bits', from);
      if (this.bytes[at]! < 0x80) from = at + 1;
    }
    if (from !== stop) throw new Malformed('truncated varint', from);
  }
}
