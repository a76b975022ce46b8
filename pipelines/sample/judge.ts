import { Malformed } from '../base/errors.ts';
import { AttributeList, RESOURCE_ATTRIBUTES, parseAttributes } from '../otlp/attributes.ts';
import { SpanView, TRACE_ID_BYTES } from '../otlp/span.ts';
import { Walker, type ItemVisitor } from '../otlp/walk.ts';
import { EMPTY } from '../wire/cursor.ts';
import { lifeHashA, lifeHashB, type ChainedLives, type ReplayGuard } from './lives.ts';
import type { SampleMetrics } from './metrics.ts';
import type { PolicyProgram } from './policies/compile.ts';
import { distance, type RecordWindow } from './record-window.ts';
import { KEPT, NO_SLOT, UNDECIDED, type TraceTable } from './trace-table.ts';

/** Folds the spans of one record into their traces: finds or begins the life of each, feeds the policies, and leaves the slot of every span behind. */
export class Judge implements ItemVisitor {
  /** Of the record folded last: the slot of each span in its order (NO_SLOT: none), how many there are, and how many traces. */
  slots: Int32Array = new Int32Array(1024);
  spanCount = 0;
  distinct = 0;
  /** While records before the commit are read again. */
  guard: ReplayGuard | undefined;
  private readonly program: PolicyProgram;
  private readonly table: TraceTable;
  private readonly window: RecordWindow;
  private readonly lives: ChainedLives;
  private readonly metrics: SampleMetrics;
  private readonly walker = new Walker();
  private readonly span = new SpanView();
  private readonly resourceAttributes = new AttributeList();
  private bytes: Buffer = EMPTY;
  private serial = 0;
  private offset = 0;
  private live = true;

  constructor(program: PolicyProgram, table: TraceTable, window: RecordWindow, lives: ChainedLives, metrics: SampleMetrics) {
    this.program = program;
    this.table = table;
    this.window = window;
    this.lives = lives;
    this.metrics = metrics;
  }

  /**
   * Folds the record that `window.open` gave `serial`; `live`: it is not read again. False where the bytes are missing or cannot be read
   * to their end; what was read before counts for the traces all the same, today and in a replay.
   */
  fold(bytes: Buffer | undefined, serial: number, offset: number, live: boolean): boolean {
    this.spanCount = this.distinct = 0;
    this.serial = serial;
    this.offset = offset;
    this.live = live;
    if (live) this.guard = undefined;
    if (bytes === undefined) return false;
    this.bytes = bytes;
    try {
      this.walker.walk(bytes, 0, bytes.length, this);
      return true;
    } catch (error) {
      if (error instanceof Malformed) return false;
      throw error;
    } finally {
      this.bytes = EMPTY;
    }
  }

  // ---- ItemVisitor: called by the walker ----

  resource(start: number, stop: number): void {
    if (!this.program.needsResource) return;
    parseAttributes(this.bytes, start, stop, RESOURCE_ATTRIBUTES, this.resourceAttributes);
    this.program.resource(this.bytes, this.resourceAttributes);
  }

  scope(): void {}

  item(start: number, stop: number): void {
    const { bytes, table, metrics, serial } = this;
    const span = this.span.parse(bytes, start, stop);
    if (this.spanCount === this.slots.length) {
      const grown = new Int32Array(this.slots.length * 2);
      grown.set(this.slots);
      this.slots = grown;
    }
    const slot = span.traceIdStop - span.traceIdStart === TRACE_ID_BYTES ? this.slotOf(span.traceIdStart) : NO_SLOT;
    this.slots[this.spanCount++] = slot;
    if (slot === NO_SLOT) return;
    if (table.last[slot] !== serial) {
      table.last[slot] = serial;
      this.distinct++;
    }
    if (table.verdict[slot] === UNDECIDED) {
      table.addSpan(slot, span.startHi, span.startLo, span.endHi, span.endLo, stop - start);
      this.program.fold(table, slot, span);
    } else if (this.live) {
      if (table.verdict[slot] === KEPT) metrics.lateKept++;
      else metrics.lateDropped++;
    }
  }

  /** The slot of the life that a span of this trace belongs to; begins one where there is none. */
  private slotOf(idAt: number): number {
    const { bytes, table, window, serial } = this;
    const old = table.find(bytes, idAt);
    if (old !== NO_SLOT && distance(table.first[old]!, window.horizon) >= 0) return old;
    if (this.guard !== undefined && old === NO_SLOT) {
      const expected = this.guard.find(bytes, idAt);
      if (expected !== undefined) {
        if (this.offset < expected.life.offset) {
          if (expected.lastPassed !== serial) {
            expected.lastPassed = serial;
            this.distinct++;
          }
          return NO_SLOT;
        }
        if (this.offset === expected.life.offset) this.lives.add(expected.life.hashA, expected.life.hashB, serial, serial);
      }
    }
    if (old !== NO_SLOT) this.lives.add(lifeHashA(bytes, idAt), lifeHashB(bytes, idAt), serial, table.last[old]!);
    const slot = table.begin(bytes, idAt, serial);
    table.next[slot] = window.headOf(serial);
    window.setHead(serial, slot);
    this.distinct++;
    if (this.live) this.metrics.tracesNew++;
    return slot;
  }
}
