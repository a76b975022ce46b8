import { StageCounters } from '../base/counters.ts';
import { SpanView } from '../otlp/span.ts';
import {
  ThresholdView,
  atLeast,
  keepsNothing,
  probabilityOf,
  randomnessOf,
  readRandomness,
  readThreshold,
  thresholdFromProbability,
  writeTraceStateField,
} from '../otlp/trace-state.ts';
import { Cursor } from '../wire/cursor.ts';
import type { Writer } from '../wire/writer.ts';
import { copyWithout } from './attribute-edit.ts';
import { DROP, ItemPass, KEEP, REWRITE, type ItemHandler, type Verdict } from './item-pass.ts';
import type { Processor } from './processor.ts';
import type { ProbabilisticSamplerSettings } from './sampler-settings.ts';
import { fnv14Randomness, fnv14Threshold } from './sampling-hash.ts';
import type { ItemScope } from './scope.ts';
import { Slot, numberIn } from './slot.ts';

const TRACE_STATE = 3;
const PRIORITY = Buffer.from('sampling.priority');
const ALWAYS = new ThresholdView();

/** Whether a span has a randomness to go by, and an arriving threshold that agrees with it. */
type Randomness = 'usable' | 'missing' | 'contradicted';

/** Samples spans; threshold and randomness stand in the trace state. See probabilistic-sampler.ts. */
export class SpanSampler implements Processor, ItemHandler {
  readonly name: string;
  readonly counters: StageCounters;
  private readonly mode: ProbabilisticSamplerSettings['mode'];
  private readonly ratio: number;
  private readonly precision: number;
  private readonly seed: number;
  private readonly failClosed: boolean;
  private readonly configured: ThresholdView;
  private readonly span = new SpanView();
  private readonly randomness = new ThresholdView();
  private readonly arriving = new ThresholdView();
  private readonly threshold = new ThresholdView();
  private readonly value = new Slot();
  private readonly cursor = new Cursor();
  private readonly pass: ItemPass;

  constructor(name: string, settings: ProbabilisticSamplerSettings) {
    this.name = name;
    this.mode = settings.mode;
    // The Collector reads the percentage as a 32-bit float; the same thresholds come out only if we do.
    const percentage = Math.fround(Math.min(settings.samplingPercentage, 100));
    this.ratio = percentage / 100;
    this.precision = settings.samplingPrecision;
    this.seed = settings.hashSeed;
    this.failClosed = settings.failClosed;
    this.configured = this.mode === 'hash_seed' ? fnv14Threshold(percentage) : thresholdFromProbability(this.ratio, this.precision);
    this.counters = new StageCounters(name);
    this.pass = new ItemPass(this, this.counters, 'not_sampled');
  }

  process(bytes: Buffer): Buffer {
    return this.pass.run(bytes);
  }

  decide(bytes: Buffer, start: number, stop: number): Verdict {
    const priority = this.priorityOf(this.span.parse(bytes, start, stop));
    if (priority === 0) return DROP;
    const randomness = this.readRandomness();
    if (randomness !== 'usable') {
      if (this.failClosed && priority === undefined) return DROP;
      return randomness === 'contradicted' ? REWRITE : KEEP;
    }
    return priority === undefined && !this.passes() ? DROP : REWRITE;
  }

  /** The span with `ot=th` (and `rv` where the hash gave the randomness) in its trace state; other fields as they stand. */
  rewrite(bytes: Buffer, start: number, stop: number, _scope: ItemScope, out: Writer): void {
    const { span } = this;
    const priority = this.priorityOf(span.parse(bytes, start, stop));
    const usable = this.readRandomness() === 'usable';
    copyWithout(out, this.cursor, bytes, start, stop, TRACE_STATE);
    // A threshold that contradicts the randomness says nothing true, so it is taken out.
    let threshold: ThresholdView | undefined;
    if (usable) {
      if (priority === undefined) this.passes();
      threshold = priority === undefined ? this.threshold : ALWAYS;
    }
    const explicit = usable && this.mode === 'hash_seed' ? this.randomness : undefined;
    writeTraceStateField(out, bytes, span.traceStateStart, span.traceStateStop, threshold, explicit);
  }

  /** Fills `randomness`. */
  private readRandomness(): Randomness {
    const { span, randomness } = this;
    if (this.mode === 'hash_seed') {
      // Whoever wrote th or rv samples by the specification; a hash beside it would contradict.
      if (this.arrivesWithThreshold() || readRandomness(span.bytes, span.traceStateStart, span.traceStateStop, randomness))
        return 'missing';
      fnv14Randomness(span.bytes, span.traceIdStart, span.traceIdStop, this.seed, randomness);
      return 'usable';
    }
    if (!randomnessOf(span, randomness)) return 'missing';
    return !this.arrivesWithThreshold() || atLeast(randomness, this.arriving) ? 'usable' : 'contradicted';
  }

  private arrivesWithThreshold(): boolean {
    const { span } = this;
    return readThreshold(span.bytes, span.traceStateStart, span.traceStateStop, this.arriving);
  }

  /** Fills `threshold` and compares the randomness with it. */
  private passes(): boolean {
    const { threshold, configured } = this;
    if (this.mode === 'proportional' && this.arrivesWithThreshold()) {
      thresholdFromProbability(probabilityOf(this.arriving) * this.ratio, this.precision, threshold);
    } else threshold.copyFrom(configured);
    return !keepsNothing(threshold) && atLeast(this.randomness, threshold);
  }

  /** OpenTracing's sampling.priority: 0 drops, above 0 keeps; undefined leaves it to chance. */
  private priorityOf(span: SpanView): 0 | 1 | undefined {
    const index = span.attributes.find(span.bytes, PRIORITY);
    if (index < 0) return undefined;
    const value = this.value.setAny(span.bytes, span.attributes.valueStart(index), span.attributes.valueStop(index));
    const number = numberIn(value);
    if (number === 0) return 0;
    return number > 0 ? 1 : undefined;
  }
}
