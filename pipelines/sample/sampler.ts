import { Gate } from './gate.ts';
import { Judge } from './judge.ts';
import { ChainedLives, ReplayGuard } from './lives.ts';
import { SampleMetrics, type Limit } from './metrics.ts';
import { writeNote, type SampleNote } from './note.ts';
import { PolicyProgram } from './policies/compile.ts';
import type { DecisionMoment } from './policies/policy.ts';
import type { Place, RateLimit } from './policies/rate-limit.ts';
import { RecordWindow, distance } from './record-window.ts';
import type { SamplerSettings } from './settings.ts';
import type { SourceRecord, Unpack } from './source-record.ts';
import { KEPT, NO_POLICY, NO_SLOT, TraceTable, UNDECIDED } from './trace-table.ts';

const RECORD_COST_BYTES = 128;
const SLOT_NUMBER_BYTES = 4;

/** Gets the kept spans of one source record: a Data message, borrowed until the call returns. `offset` is the source record's. */
export type SampledSink = (bytes: Buffer, items: number, offset: number) => void;

export interface SamplerParts {
  readonly settings: SamplerSettings;
  readonly sink: SampledSink;
  readonly unpack: Unpack;
  /** Default: one partition. */
  readonly place?: Place;
  /** Spreads chosen trace ids over the table; any number, without influence on results. Default 0. */
  readonly hashSeed?: number;
}

/**
 * Tail sampling on one partition: judge and gate (DESIGN, sample). Records in, at most one output for each; a pure function of the log.
 *
 * A trace lives from its first record f. It is alive for record x as long as f ≥ horizon(x), the oldest record r with
 *     time(r) ≥ time(x) − (decisionWait + lateWait)   and   appearances of traces in records [r, x) ≤ traces_max.
 * A span of a trace that is not alive begins a new life. A record r is emitted before the first record x with time(x) ≥ time(r) + decisionWait, or
 * early: when bytes of the records [r, x] exceed heldBytes_max, or when r falls behind horizon(x). A trace is decided when its first
 * record is emitted, so decisions come in log order, and every span of a held record belongs to a slot that is still there
 * (held records are never behind the horizon): slots need no reference count.
 *
 * Restart. All of these rules look only at records between r and x. So with c the committed offset, s = horizon(c), and
 * q = horizon(s), a replay that begins with nothing at record q comes to the same state at c, but for two things:
 *  - A trace that already lived before q begins too early in the replay. A life that began before q has no spans from s on (it is alive
 *    for x only while horizon(x) ≤ its first record < q), so what replay makes of its spans is gone at c, unless
 *    a later life began before c over it. Those lives are known at the commit: while spans of an old life are within the horizon
 *    its slot stays, and a life that begins over such a slot is remembered (lives.ts). The note names the trace and the
 *    record where its last life before c began; replay passes over its spans in earlier records.
 *  - Rate limits are not folds of that window: see policies/rate-limit.ts, `LimitState`.
 * Both ride in the note. test/sim/sample-replay.test.ts holds all this against random logs and crashes.
 */
export class Sampler {
  readonly metrics: SampleMetrics;
  private readonly settings: SamplerSettings;
  private readonly sink: SampledSink;
  private readonly unpack: Unpack;
  private readonly program: PolicyProgram;
  private readonly table: TraceTable;
  private readonly window = new RecordWindow();
  private readonly gate: Gate;
  private readonly lives = new ChainedLives();
  private readonly judge: Judge;
  /** Leases of blocks of log time up to this one are settled, and ride in the note: see services/sample-budget.ts. */
  settledBlock = -1;
  /** Records before this offset are read again without a trace outside: nothing is emitted or counted. */
  private liveFrom = 0;
  private replayFrom = 0;
  private nextOffset = 0;
  private now_ms = -Infinity;
  private appearances = 0;

  private readonly moment: DecisionMoment = { offset: 0, spanIndex: 0, time_ms: 0, replay: false };

  /** @throws OperatorError for policies that make no sense */
  constructor({ settings, sink, unpack, place, hashSeed }: SamplerParts) {
    this.settings = settings;
    this.sink = sink;
    this.unpack = unpack;
    this.program = new PolicyProgram(settings.policies, place);
    this.metrics = new SampleMetrics(settings.policies.length);
    this.table = new TraceTable(this.program.words, hashSeed);
    this.gate = new Gate(this.table, this.program.names);
    this.judge = new Judge(this.program, this.table, this.window, this.lives, this.metrics);
  }

  get limits(): readonly RateLimit[] {
    return this.program.limits;
  }

  /** Before the first push: the group has committed `offset`. With the note of that commit the caller pushes records from `note.from` on; without one, from `offset`. */
  restore(offset: number, note: SampleNote | undefined): void {
    this.liveFrom = this.nextOffset = offset;
    this.replayFrom = offset;
    if (note === undefined || note.committed !== offset) return;
    this.replayFrom = note.from;
    this.judge.guard = note.lives.length === 0 ? undefined : new ReplayGuard(note.lives);
    // Other policies than at the commit: their windows begin anew.
    if (note.limits.length !== this.program.limits.length) return;
    this.settledBlock = note.settledBlock;
    for (const [index, limit] of this.program.limits.entries()) limit.restore(note.limits[index]!);
  }

  /** Emits the oldest record if its wait is over at `logTime_ms`, a time that no later record falls below. False when there is none: a caller that wants its output in small pieces calls this until then, before `push` or `tick`. */
  emitNext(logTime_ms: number): boolean {
    const { window } = this;
    if (!window.isHeld() || window.timeOf(window.heldFrom) > logTime_ms - this.settings.decisionWait_ms) return false;
    this.emitOldest();
    return true;
  }

  /** The next record of the partition and its bytes by `unpack` (undefined where that failed), borrowed. Records before the replay's first are passed over. */
  push(record: SourceRecord, bytes: Buffer | undefined): void {
    const { offset } = record;
    if (offset < this.replayFrom) return;
    if (offset < this.nextOffset && this.window.next !== 0) throw new Error(`offset ${offset} after ${this.nextOffset - 1}`);
    this.advance(record.time_ms);
    const { window, metrics, judge } = this;
    const live = offset >= this.liveFrom;
    const serial = window.open(offset, this.now_ms, this.appearances);
    const readable = judge.fold(bytes, serial, offset, live);
    const { spanCount } = judge;
    this.appearances += Math.max(1, judge.distinct);
    this.nextOffset = offset + 1;
    if (live) {
      metrics.stage.in += spanCount;
      metrics.stage.held += spanCount;
      if (bytes === undefined) {
        metrics.stage.in += record.headers.items;
        metrics.stage.drop('malformed', record.headers.items);
      }
    }
    const cost = record.value.length + spanCount * SLOT_NUMBER_BYTES + RECORD_COST_BYTES;
    window.hold(serial, readable ? record : undefined, judge.slots.slice(0, spanCount), cost);
    metrics.heldBytes += cost;
    while (metrics.heldBytes > this.settings.heldBytes_max) this.emitOldest('heldBytes_max');
    this.afterwards();
  }

  /** The log's time has come to `logTime_ms`: every later record has this time or a later one. */
  tick(logTime_ms: number): void {
    this.advance(logTime_ms);
    this.afterwards();
  }

  /** What to commit: the oldest record that waits, or the next one. */
  position(): number {
    const { window } = this;
    return window.isHeld() ? window.offsetOf(window.heldFrom) : this.nextOffset;
  }

  /** False while records before the committed offset are read again: then `position` and `note` mean nothing. */
  isLive(): boolean {
    return this.nextOffset >= this.liveFrom && (!this.window.isHeld() || this.window.offsetOf(this.window.heldFrom) >= this.liveFrom);
  }

  /** The note for a commit at `position()`, at most `characters_max` long. Commit it, or call again for a later position. */
  note(characters_max: number): string {
    const { window } = this;
    const committed = this.position();
    const horizon = window.horizonOf(window.heldFrom);
    const seek = window.horizonOf(horizon);
    const from_ms = horizon === window.next ? this.now_ms : window.timeOf(horizon);
    const { text, overflow } = writeNote(
      {
        from: seek === window.next ? committed : window.offsetOf(seek),
        committed,
        settledBlock: this.settledBlock,
        limits: this.program.limits.map((limit) => limit.state(from_ms)),
        lives: this.lives.noted(window, seek, window.heldFrom),
      },
      characters_max,
    );
    if (overflow > 0) this.metrics.noteOverflow++;
    return text;
  }

  // ---- the clock ----

  private advance(time_ms: number): void {
    if (time_ms > this.now_ms) this.now_ms = time_ms;
    const { window, settings } = this;
    const due_ms = this.now_ms - settings.decisionWait_ms;
    while (window.isHeld() && window.timeOf(window.heldFrom) <= due_ms) this.emitOldest();
    const alive_ms = due_ms - settings.lateWait_ms;
    for (;;) {
      const oldest = window.horizon;
      if (oldest === window.next) return;
      if (window.timeOf(oldest) >= alive_ms) {
        if (this.appearances - window.appearancesBefore(oldest) <= settings.traces_max) return;
        this.metrics.forgottenEarly++;
      }
      if (window.heldFrom === oldest) this.emitOldest('traces_max');
      this.forget(oldest);
      window.horizon = (oldest + 1) >>> 0;
    }
  }

  /** The horizon passes a record: slots last seen in it are done; those that began in it and were seen later wait for their last record to pass. */
  private forget(serial: number): void {
    const { window, table } = this;
    for (let slot = window.headOf(serial); slot !== NO_SLOT;) {
      const next = table.next[slot]!;
      const last = table.last[slot]!;
      if (last === serial) table.release(slot);
      else {
        table.next[slot] = window.headOf(last);
        window.setHead(last, slot);
      }
      slot = next;
    }
  }

  private afterwards(): void {
    const { window, metrics, table } = this;
    window.trim();
    this.lives.trim(window.tail);
    metrics.heldRecords = distance(window.next, window.heldFrom);
    metrics.records = window.size();
    metrics.slots = table.size;
    metrics.slotsAllocated = table.slots();
  }

  // ---- gate ----

  /** @param limit because of which the record goes before its wait is over */
  private emitOldest(limit?: Limit): void {
    const { window, table, metrics } = this;
    const serial = window.heldFrom;
    const offset = window.offsetOf(serial);
    const slots = window.slotsOf(serial)!;
    const live = offset >= this.liveFrom;
    let kept = 0;
    let byPolicy = 0;
    let unnamed = 0;
    for (let index = 0; index < slots.length; index++) {
      const slot = slots[index]!;
      if (slot === NO_SLOT) {
        unnamed++;
        continue;
      }
      if (table.verdict[slot] === UNDECIDED) this.decide(slot, serial, index, live, limit !== undefined);
      if (table.verdict[slot] === KEPT) kept++;
      else if (table.policy[slot] !== NO_POLICY) byPolicy++;
    }
    const record = window.recordOf(serial);
    metrics.heldBytes -= window.costOf(serial);
    window.letGo(serial);
    window.heldFrom = (serial + 1) >>> 0;
    if (!live) return;
    if (limit !== undefined) metrics.earlyRecords[limit]++;
    metrics.stage.held -= slots.length;
    if (record === undefined) {
      metrics.stage.drop('malformed', slots.length);
      return;
    }
    metrics.stage.drop('invalid_trace_id', unnamed);
    metrics.stage.drop('drop_policy', byPolicy);
    metrics.stage.drop('sampled_out', slots.length - kept - byPolicy - unnamed);
    metrics.stage.out += kept;
    if (kept === 0) return;
    this.sink(this.gate.write(this.unpack(record), slots), kept, offset);
  }

  private decide(slot: number, serial: number, index: number, live: boolean, early: boolean): void {
    const { table, metrics, moment, window } = this;
    if (table.first[slot] !== serial) throw new Error('a trace was undecided after its first record was emitted');
    moment.offset = window.offsetOf(serial);
    moment.spanIndex = index;
    moment.time_ms = window.timeOf(serial);
    moment.replay = !live;
    this.program.decide(table, slot, moment);
    if (!live) return;
    if (early) metrics.earlyTraces++;
    const policy = table.policy[slot]!;
    if (policy !== NO_POLICY) metrics.tracesByPolicy[policy]!++;
    if (table.verdict[slot] === KEPT) metrics.tracesKept++;
    else metrics.tracesDropped++;
  }
}
