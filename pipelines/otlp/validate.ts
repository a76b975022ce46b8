import { Reject } from '../base/errors.ts';
import { Cursor, EMPTY, WIRE_LEN } from '../wire/cursor.ts';
import { Writer } from '../wire/writer.ts';
import { Copier } from './copier.ts';
import { NO_FAULT, faultNames } from './validate-fault.ts';
import { ItemChecker, type ValidateSettings } from './validate-item.ts';
import { POINT, RESOURCE_MESSAGE, SCOPE_MESSAGE, STRIDE, actions, children, itemMessage } from './validate-table.ts';
import { Walker, type ItemVisitor, type Signal } from './walk.ts';

/**
 * What came out of a check. Items are spans, log records, metrics; units are what OTLP's partial success counts: spans, log
 * records, DATA POINTS. `accepted + rejectedItems` is all items; the map's values add up to what stands beside it.
 */
export interface Verdict {
  /** The request's own buffer where nothing was refused, else a Data message of what was not. Borrowed until the next check. */
  bytes: Buffer;
  /** Items in `bytes`. */
  accepted: number;
  /** Items that `bytes` no longer holds; for the stage's counters. A metric that lost some of its data points is still accepted. */
  rejectedItems: number;
  readonly itemReasons: Map<string, number>;
  /** Units in the request, and those refused; for the reply. A faulty metric without data points counts as one. */
  units: number;
  rejected: number;
  readonly reasons: Map<string, number>;
  /** One line for the sender; empty where nothing was refused. */
  message: string;
}

const WRITER_KEEP_BYTES_MAX = 4 << 20;
const unitNames: Readonly<Record<Signal, string>> = { traces: 'spans', metrics: 'data points', logs: 'log records' };

/** In the order of `faultNames`: what is wrong, so that a person can act on it. */
function explanationsOf(signal: Signal, { attributesMax, nestingMax, eventsMax }: ValidateSettings): readonly string[] {
  const logs = signal === 'logs';
  const times = { traces: 'start, end or event time', metrics: 'time missing or', logs: 'time or observed time' }[signal];
  return [
    '',
    logs ? 'neither empty nor 16 bytes, or given twice' : 'not 16 bytes, all zero, or given twice',
    logs ? 'neither empty nor 8 bytes' : 'not 8 bytes, or all zero',
    'neither empty nor 8 bytes',
    'a link whose ids are not 16 and 8 bytes',
    'an exemplar whose ids are neither empty nor 16 and 8 bytes',
    'a string that is not UTF-8',
    `more than ${attributesMax} attributes`,
    `a value nested deeper than ${nestingMax}`,
    `${times} outside 2000-01-01 … now + 1 day`,
    `more than ${eventsMax} events and links`,
  ];
}

/** Items of one request. 64 MiB hold 30 million empty spans, which would keep the process from everyone else for seconds. */
const ITEMS_MAX = 500_000;

/**
 * Decides what of a request is taken. Damage of the wire format is no matter of single items: it throws, and the whole request
 * is answered with 400 / INVALID_ARGUMENT. A span, log record or data point that is at fault by itself is left out with a
 * reason and the rest is kept (OTLP specification, Partial Success). A fault of a resource or scope is a fault of all items
 * under it; a fault of a metric (its name, its metadata) of all its data points. One object serves one check at a time.
 */
export class Validator implements ItemVisitor {
  readonly signal: Signal;
  private readonly explanations: readonly string[];
  private readonly checker: ItemChecker;
  private readonly walker = new Walker();
  private readonly cursor = new Cursor();
  private readonly inner = new Cursor();
  private writer = new Writer(0);
  private readonly copier = new Copier(this.writer);
  private readonly units = new Int32Array(faultNames.length);
  private readonly items = new Int32Array(faultNames.length);
  private bytes: Buffer = EMPTY;
  private rebuilding = false;
  private count = 0;
  private anyFault = false;
  private resourceFault = NO_FAULT;
  private scopeFault = NO_FAULT;
  private readonly verdict: Verdict = {
    bytes: EMPTY,
    accepted: 0,
    rejectedItems: 0,
    itemReasons: new Map(),
    units: 0,
    rejected: 0,
    reasons: new Map(),
    message: '',
  };

  constructor(signal: Signal, settings: ValidateSettings) {
    this.signal = signal;
    this.explanations = explanationsOf(signal, settings);
    this.checker = new ItemChecker(signal, settings);
  }

  /** `now_ms` is the receiver's clock. The verdict is the same object each time. @throws Malformed where the whole request is to be refused */
  check(bytes: Buffer, now_ms: number): Verdict {
    const { verdict } = this;
    this.bytes = bytes;
    this.rebuilding = this.anyFault = false;
    this.count = 0;
    this.units.fill(0);
    this.items.fill(0);
    verdict.bytes = bytes;
    verdict.accepted = verdict.rejectedItems = verdict.units = verdict.rejected = 0;
    verdict.reasons.clear();
    verdict.itemReasons.clear();
    verdict.message = '';
    this.checker.begin(bytes, now_ms);
    this.walker.walk(bytes, 0, bytes.length, this);
    if (this.anyFault) this.rebuild();
    this.bytes = EMPTY;
    return verdict;
  }

  // ---- ItemVisitor: called by the walker ----

  resource(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.resourceFault = this.checker.head(RESOURCE_MESSAGE, start, stop, urlStart, urlStop);
    if (this.rebuilding) this.copier.resource(start, stop, urlStart, urlStop);
  }

  scope(start: number, stop: number, urlStart: number, urlStop: number): void {
    const fault = this.checker.head(SCOPE_MESSAGE, start, stop, urlStart, urlStop);
    this.scopeFault = this.resourceFault === NO_FAULT ? fault : this.resourceFault;
    if (this.rebuilding) this.copier.scope(start, stop, urlStart, urlStop);
  }

  item(start: number, stop: number): void {
    const { checker, verdict } = this;
    if (++this.count > ITEMS_MAX) throw new Reject('items', `more than ${ITEMS_MAX} items in one request: send smaller ones`);
    const own = checker.item(start, stop);
    const fault = this.scopeFault === NO_FAULT ? own : this.scopeFault;
    const faulty = this.signal === 'metrics' ? this.faultyPoints() : 0;
    const whole = fault !== NO_FAULT || (faulty > 0 && faulty === checker.points);
    if (this.rebuilding) {
      if (whole) return;
      if (faulty === 0) this.copier.item(start, stop);
      else this.copyGoodPoints(start, stop);
      return;
    }
    const units = Math.max(checker.points, fault === NO_FAULT ? 0 : 1);
    verdict.units += units;
    if (!whole) verdict.accepted++;
    if (!whole && faulty === 0) return;
    this.anyFault = true;
    if (fault !== NO_FAULT) {
      this.units[fault]! += units;
      this.items[fault]!++;
      return;
    }
    let first = NO_FAULT;
    for (let f = 1; f < faultNames.length; f++) {
      const points = checker.pointFaults[f]!;
      this.units[f]! += points;
      if (points > 0 && first === NO_FAULT) first = f;
    }
    if (whole) this.items[first]!++;
  }

  private faultyPoints(): number {
    let points = 0;
    for (let f = 1; f < faultNames.length; f++) points += this.checker.pointFaults[f]!;
    return points;
  }

  /** The second pass judges again, rather than keeping a list of what the first one found: it is rare, and needs no memory by item. */
  private rebuild(): void {
    const { verdict, bytes } = this;
    if (this.writer.bytes.length > WRITER_KEEP_BYTES_MAX) this.writer = new Writer(0);
    this.writer.reset();
    this.rebuilding = true;
    this.count = 0;
    this.copier.begin(bytes, this.writer);
    this.walker.walk(bytes, 0, bytes.length, this);
    this.copier.finish();
    this.copier.begin(EMPTY, this.writer);
    verdict.bytes = this.writer.view();
    for (let f = 1; f < faultNames.length; f++) {
      const units = this.units[f]!;
      const items = this.items[f]!;
      if (units > 0) verdict.reasons.set(faultNames[f]!, units);
      if (items > 0) verdict.itemReasons.set(faultNames[f]!, items);
      verdict.rejected += units;
      verdict.rejectedItems += items;
    }
    verdict.message = this.explain();
  }

  /** Metric { …; Gauge | Sum | Histogram | … data = 5, 7, 9, 10, 11 }, each with `repeated …DataPoint data_points = 1`: all fields as they are, but for the points at fault. */
  private copyGoodPoints(start: number, stop: number): void {
    const { bytes, checker, copier, writer } = this;
    const metric = itemMessage.metrics;
    const mark = copier.openItem(stop - start);
    const cursor = this.cursor.reset(bytes, start, stop);
    let fieldAt = cursor.pos;
    for (; cursor.next(); fieldAt = cursor.pos) {
      const data = cursor.field < STRIDE ? children[metric * STRIDE + cursor.field]! : -1;
      const pointSlot = data * STRIDE + 1;
      if (data === -1 || cursor.wire !== WIRE_LEN || actions[pointSlot] !== POINT) {
        writer.raw(bytes, fieldAt, cursor.pos);
        continue;
      }
      const dataMark = writer.open(cursor.field, cursor.stop - cursor.start);
      const inner = this.inner.reset(bytes, cursor.start, cursor.stop);
      let innerAt = inner.pos;
      for (; inner.next(); innerAt = inner.pos) {
        if (inner.field === 1 && checker.point(children[pointSlot]!, inner.start, inner.stop) !== NO_FAULT) continue;
        writer.raw(bytes, innerAt, inner.pos);
      }
      writer.close(dataMark);
    }
    copier.closeItem(mark);
  }

  /** Such as `3 of 10 spans refused: 2 timestamp (…), 1 trace_id (…)`. */
  private explain(): string {
    const { verdict } = this;
    const parts = [...verdict.reasons]
      .toSorted(([, left], [, right]) => right - left)
      .map(([reason, units]) => `${units} ${reason} (${this.explanations[faultNames.findIndex((name) => name === reason)]})`);
    return `${verdict.rejected} of ${verdict.units} ${unitNames[this.signal]} refused: ${parts.join(', ')}`;
  }
}
