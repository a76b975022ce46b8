import { sameBytes } from '../otlp/attributes.ts';
import { Copier } from '../otlp/copier.ts';
import {
  ThresholdView,
  adjustedCount,
  atLeast,
  readThreshold,
  thresholdFromProbability,
  writeTraceStateField,
} from '../otlp/trace-state.ts';
import { Walker, type ItemVisitor } from '../otlp/walk.ts';
import { Cursor, EMPTY, WIRE_LEN } from '../wire/cursor.ts';
import { Writer, varintSize } from '../wire/writer.ts';
import { KEPT, NO_SLOT, type TraceTable } from './trace-table.ts';

/*
 * A kept span leaves as it came, but for
 *
 *   Span.trace_state = 3   ot=th:T set, where no greater T is there already
 *   Span.attributes  = 9   SampleRate: int_value, the adjusted count rounded; tailsampling.policy: string_value, the policy that kept it.
 *                          Attributes of these two names that came with the span are replaced.
 *
 * in that order behind its other fields: their order on the wire means nothing in protobuf.
 */
const TRACE_STATE = 3;
const ATTRIBUTES = 9;
const SAMPLE_RATE_KEY = Buffer.from('SampleRate');
const POLICY_KEY = Buffer.from('tailsampling.policy');
const KEY_TAG = 0x0a;
/** What is added to a span: a good guess for the length prefix. */
const ADDED_BYTES = 96;
const WRITER_KEEP_BYTES_MAX = 8 << 20;
const SAMPLE_RATE_MAX = 2 ** 53;

/** Writes the kept spans of one record as a Data message of their own. */
export class Gate implements ItemVisitor {
  private readonly table: TraceTable;
  /** For each policy its whole attribute field. */
  private readonly policyFields: readonly Buffer[];
  private readonly walker = new Walker();
  private readonly cursor = new Cursor();
  private readonly pair = new Cursor();
  private out = new Writer(64 << 10);
  private readonly copier = new Copier(this.out);
  private readonly ours = new ThresholdView();
  private readonly theirs = new ThresholdView();
  private probability = 1;
  /** SampleRate of `ours`. */
  private rate = 1;
  private bytes: Buffer = EMPTY;
  private slots: Int32Array = new Int32Array(0);
  private index = 0;

  constructor(table: TraceTable, policyNames: readonly string[]) {
    this.table = table;
    this.policyFields = policyNames.map(policyField);
  }

  /** Kept spans of the last `write`. */
  get items(): number {
    return this.copier.items;
  }

  /** `slots[i]` is the slot of the i-th span. The message is borrowed until the next call; empty where nothing is kept. @throws Malformed */
  write(bytes: Buffer, slots: Int32Array): Buffer {
    if (this.out.bytes.length > WRITER_KEEP_BYTES_MAX) this.out = new Writer(64 << 10);
    this.out.reset();
    this.bytes = bytes;
    this.slots = slots;
    this.index = 0;
    this.copier.begin(bytes, this.out);
    this.walker.walk(bytes, 0, bytes.length, this);
    this.copier.finish();
    this.bytes = EMPTY;
    return this.out.view();
  }

  // ---- ItemVisitor: called by the walker ----

  resource(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.copier.resource(start, stop, urlStart, urlStop);
  }

  scope(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.copier.scope(start, stop, urlStart, urlStop);
  }

  item(start: number, stop: number): void {
    const slot = this.slots[this.index++]!;
    if (slot === NO_SLOT || this.table.verdict[slot] !== KEPT) return;
    const probability = this.table.probability[slot]!;
    if (probability !== this.probability) {
      this.probability = probability;
      this.rate = sampleRate(thresholdFromProbability(probability, undefined, this.ours));
    }
    const mark = this.copier.openItem(stop - start + ADDED_BYTES);
    this.copySpan(start, stop);
    const field = this.policyFields[this.table.policy[slot]!]!;
    this.out.raw(field, 0, field.length);
    this.copier.closeItem(mark);
  }

  /** All but the last attribute. */
  private copySpan(start: number, stop: number): void {
    const { bytes, out } = this;
    const cursor = this.cursor.reset(bytes, start, stop);
    let stateStart = 0;
    let stateStop = 0;
    // Fields are copied in runs; a run ends where a field is left out.
    let run = start;
    let field = start;
    while (cursor.next()) {
      if (cursor.field === TRACE_STATE) {
        cursor.expect(WIRE_LEN);
        stateStart = cursor.start;
        stateStop = cursor.stop;
        out.raw(bytes, run, field);
        run = cursor.pos;
      } else if (cursor.field === ATTRIBUTES && this.isOurs(cursor.start, cursor.stop)) {
        out.raw(bytes, run, field);
        run = cursor.pos;
      }
      field = cursor.pos;
    }
    out.raw(bytes, run, stop);
    const { ours, theirs } = this;
    writeTraceStateField(out, bytes, stateStart, stateStop, ours);
    const lowered = readThreshold(bytes, stateStart, stateStop, theirs) && atLeast(theirs, ours);
    this.writeSampleRate(lowered ? sampleRate(theirs) : this.rate);
  }

  private isOurs(start: number, stop: number): boolean {
    const { bytes } = this;
    if (bytes[start] === KEY_TAG) {
      const length = bytes[start + 1];
      if (length === SAMPLE_RATE_KEY.length) return sameBytes(bytes, start + 2, SAMPLE_RATE_KEY, 0, length);
      if (length === POLICY_KEY.length) return sameBytes(bytes, start + 2, POLICY_KEY, 0, length);
      return false;
    }
    const pair = this.pair.reset(bytes, start, stop);
    while (pair.next()) if (pair.field === 1) return this.isOurKey(pair.start, pair.stop);
    return false;
  }

  private isOurKey(start: number, stop: number): boolean {
    const size = stop - start;
    return (
      (size === SAMPLE_RATE_KEY.length && sameBytes(this.bytes, start, SAMPLE_RATE_KEY, 0, size)) ||
      (size === POLICY_KEY.length && sameBytes(this.bytes, start, POLICY_KEY, 0, size))
    );
  }

  private writeSampleRate(rate: number): void {
    const { out } = this;
    const width = rate < 0x1000_0000 ? varintSize(rate) : rate < 2 ** 35 ? 5 : rate < 2 ** 42 ? 6 : rate < 2 ** 49 ? 7 : 8;
    // KeyValue { key = 1, value = 2 { int_value = 3 } }
    out.tag(ATTRIBUTES, WIRE_LEN);
    out.varint(2 + SAMPLE_RATE_KEY.length + 2 + 1 + width);
    out.bytesField(1, SAMPLE_RATE_KEY, 0, SAMPLE_RATE_KEY.length);
    out.tag(2, WIRE_LEN);
    out.varint(1 + width);
    out.varintField(3, rate);
  }
}

function sampleRate(threshold: ThresholdView): number {
  return Math.min(SAMPLE_RATE_MAX, Math.round(adjustedCount(threshold)));
}

function policyField(name: string): Buffer {
  const out = new Writer(128);
  const attribute = out.open(ATTRIBUTES);
  out.bytesField(1, POLICY_KEY, 0, POLICY_KEY.length);
  const value = out.open(2);
  out.stringField(1, name);
  out.close(value);
  out.close(attribute);
  return out.copy();
}
