import { StageCounters } from '../base/counters.ts';

/** The settings that let records be emitted early (settings.ts). */
export type Limit = 'heldBytes_max' | 'traces_max';

/** What one sampler counts besides its spans; plain fields, read at scrape. Records read again at a restart count nothing. */
export class SampleMetrics {
  /** Spans: in = out + dropped{sampled_out, drop_policy, malformed, invalid_trace_id} + held. */
  readonly stage: StageCounters;
  tracesNew = 0;
  tracesKept = 0;
  tracesDropped = 0;
  /** By the index of the deciding policy: traces that a keeping policy kept, or a drop policy dropped. */
  readonly tracesByPolicy: Float64Array;
  /** Traces decided before decision_wait was over, because a limit was reached. */
  earlyTraces = 0;
  /** Records emitted before decision_wait was over, by the limit that was reached. */
  readonly earlyRecords: Record<Limit, number> = { heldBytes_max: 0, traces_max: 0 };
  /** Spans that came after their trace's decision and followed it. */
  lateKept = 0;
  lateDropped = 0;
  /** Commits whose note could not hold all that a restart needs: decisions may differ after a crash. */
  noteOverflow = 0;
  /** Times that traces were forgotten before decision_wait + late_wait was over, because traces_max was reached; counted in records. */
  forgottenEarly = 0;
  /** Gauges. */
  heldBytes = 0;
  heldRecords = 0;
  slots = 0;
  slotsAllocated = 0;
  records = 0;

  constructor(policies: number, name = 'sample') {
    this.stage = new StageCounters(name);
    this.tracesByPolicy = new Float64Array(policies);
  }

  /** Adds what another counted, without what it holds. */
  addCounts(from: SampleMetrics): void {
    addCounts(this.stage, from.stage);
    this.tracesNew += from.tracesNew;
    this.tracesKept += from.tracesKept;
    this.tracesDropped += from.tracesDropped;
    for (const [index, traces] of from.tracesByPolicy.entries()) this.tracesByPolicy[index]! += traces;
    this.earlyTraces += from.earlyTraces;
    this.earlyRecords.heldBytes_max += from.earlyRecords.heldBytes_max;
    this.earlyRecords.traces_max += from.earlyRecords.traces_max;
    this.lateKept += from.lateKept;
    this.lateDropped += from.lateDropped;
    this.noteOverflow += from.noteOverflow;
    this.forgottenEarly += from.forgottenEarly;
  }

  /** Adds what another holds now. */
  addGauges(from: SampleMetrics): void {
    addHeld(this.stage, from.stage);
    this.heldBytes += from.heldBytes;
    this.heldRecords += from.heldRecords;
    this.slots += from.slots;
    this.slotsAllocated += from.slotsAllocated;
    this.records += from.records;
  }
}

/** Adds what came in and went out again. What `from` still holds counts where it is now, or when the log brings it again. */
export function addCounts(to: StageCounters, from: StageCounters): void {
  to.in += from.in - from.held;
  to.out += from.out;
  for (const [reason, items] of from.dropped) to.drop(reason, items);
}

export function addHeld(to: StageCounters, from: StageCounters): void {
  to.in += from.held;
  to.held += from.held;
}
