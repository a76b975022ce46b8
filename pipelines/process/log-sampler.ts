import { StageCounters } from '../base/counters.ts';
import { VALUE_STRING } from '../otlp/attributes.ts';
import { LogRecordView } from '../otlp/log-record.ts';
import {
  ThresholdView,
  atLeast,
  keepsNothing,
  probabilityOf,
  randomnessOfTraceId,
  readHex,
  thresholdFromProbability,
  writeHex,
} from '../otlp/trace-state.ts';
import { Cursor } from '../wire/cursor.ts';
import type { Writer } from '../wire/writer.ts';
import { AttributeEdit, FROM_SCRATCH, copyWithout } from './attribute-edit.ts';
import { DROP, ItemPass, KEEP, REWRITE, type ItemHandler, type Verdict } from './item-pass.ts';
import type { ProbabilisticSamplerSettings } from './sampler-settings.ts';
import type { Processor } from './processor.ts';
import { fnv14Randomness, fnv14Threshold } from './sampling-hash.ts';
import type { ItemScope } from './scope.ts';
import { Slot, numberIn } from './slot.ts';

const LOG_ATTRIBUTES = 6;
const THRESHOLD = Buffer.from('sampling.threshold');
const RANDOMNESS = Buffer.from('sampling.randomness');
const KEYS = Buffer.concat([THRESHOLD, RANDOMNESS]);

/** Samples log records. Threshold and randomness stand in the attributes sampling.threshold and sampling.randomness, as hex digits. See probabilistic-sampler.ts. */
export class LogSampler implements Processor, ItemHandler {
  readonly name: string;
  readonly counters: StageCounters;
  private readonly settings: ProbabilisticSamplerSettings;
  private readonly fromAttribute: Buffer | undefined;
  private readonly priority: Buffer | undefined;
  private readonly log = new LogRecordView();
  private readonly randomness = new ThresholdView();
  private readonly arriving = new ThresholdView();
  private readonly threshold = new ThresholdView();
  private readonly value = new Slot();
  private readonly edit = new AttributeEdit(KEYS);
  private readonly cursor = new Cursor();
  private readonly pass: ItemPass;

  constructor(name: string, settings: ProbabilisticSamplerSettings) {
    this.name = name;
    this.settings = settings;
    this.fromAttribute = settings.fromAttribute === undefined ? undefined : Buffer.from(settings.fromAttribute);
    this.priority = settings.samplingPriority === undefined ? undefined : Buffer.from(settings.samplingPriority);
    this.counters = new StageCounters(name);
    this.pass = new ItemPass(this, this.counters, 'not_sampled');
  }

  process(bytes: Buffer): Buffer {
    return this.pass.run(bytes);
  }

  decide(bytes: Buffer, start: number, stop: number): Verdict {
    this.log.parse(bytes, start, stop);
    const percentage = this.percentageOf();
    if (percentage === 0) return DROP;
    if (!this.readRandomness()) return this.settings.failClosed && percentage < 100 ? DROP : KEEP;
    return this.passes(percentage) ? REWRITE : DROP;
  }

  rewrite(bytes: Buffer, start: number, stop: number, _scope: ItemScope, out: Writer): void {
    const { edit } = this;
    this.log.parse(bytes, start, stop);
    this.readRandomness();
    this.passes(this.percentageOf());
    edit.load(bytes, start, stop, LOG_ATTRIBUTES);
    const raised = this.arrives(THRESHOLD, this.arriving, 1) && atLeast(this.arriving, this.threshold) ? this.arriving : this.threshold;
    this.put(THRESHOLD, 0, raised, 1);
    if (this.settings.mode === 'hash_seed') this.put(RANDOMNESS, THRESHOLD.length, this.randomness, 14);
    copyWithout(out, this.cursor, bytes, start, stop, LOG_ATTRIBUTES);
    edit.write(out, LOG_ATTRIBUTES);
  }

  private put(key: Buffer, keyStart: number, value: ThresholdView, digits_min: number): void {
    const { edit } = this;
    const start = edit.scratch.length;
    const mark = edit.scratch.open(VALUE_STRING);
    writeHex(edit.scratch, value, digits_min);
    edit.scratch.close(mark);
    const index = edit.find(key);
    if (index >= 0) edit.setValue(index, FROM_SCRATCH, start, edit.scratch.length);
    else edit.append(keyStart, keyStart + key.length, FROM_SCRATCH, start, edit.scratch.length);
  }

  private percentageOf(): number {
    const own = Math.fround(Math.min(this.settings.samplingPercentage, 100));
    if (this.priority === undefined || !this.load(this.priority)) return own;
    const number = numberIn(this.value);
    return number >= 0 ? Math.min(number, 100) : own;
  }

  /** Fills `randomness`; false where there is none, or where it contradicts the arriving threshold. */
  private readRandomness(): boolean {
    const { randomness, settings } = this;
    const hashing = settings.mode === 'hash_seed';
    const explicit = this.arrives(RANDOMNESS, randomness, 14);
    const arrived = this.arrives(THRESHOLD, this.arriving, 1);
    if (hashing && (explicit || arrived)) return false;
    if (!explicit && !this.ownRandomness(hashing)) return false;
    return !arrived || atLeast(randomness, this.arriving);
  }

  private ownRandomness(hashing: boolean): boolean {
    const { log, randomness, settings } = this;
    if (settings.attributeSource !== 'record' || !hashing) {
      if (hashing && log.traceIdStop > log.traceIdStart) {
        fnv14Randomness(log.bytes, log.traceIdStart, log.traceIdStop, settings.hashSeed, randomness);
        return true;
      }
      if (!hashing && randomnessOfTraceId(log.bytes, log.traceIdStart, log.traceIdStop, randomness)) return true;
    }
    if (this.fromAttribute === undefined || !this.load(this.fromAttribute)) return false;
    // The Collector hashes values of other kinds too; a record id is a string.
    const { value } = this;
    if (value.kind !== VALUE_STRING || value.stop === value.start) return false;
    fnv14Randomness(value.bytes, value.start, value.stop, settings.hashSeed, randomness);
    return true;
  }

  private passes(percentage: number): boolean {
    const { threshold, settings } = this;
    if (settings.mode === 'hash_seed') {
      fnv14Threshold(percentage, threshold);
    } else {
      const incoming = settings.mode === 'proportional' && this.arrives(THRESHOLD, this.arriving, 1) ? probabilityOf(this.arriving) : 1;
      thresholdFromProbability((incoming * percentage) / 100, settings.samplingPrecision, threshold);
    }
    return !keepsNothing(threshold) && atLeast(this.randomness, threshold);
  }

  private load(key: Buffer): boolean {
    const { attributes, bytes } = this.log;
    const index = attributes.find(bytes, key);
    if (index < 0) return false;
    this.value.setAny(bytes, attributes.valueStart(index), attributes.valueStop(index));
    return true;
  }

  private arrives(key: Buffer, into: ThresholdView, digits_min: number): boolean {
    const { value } = this;
    return this.load(key) && value.kind === VALUE_STRING && readHex(value.bytes, value.start, value.stop, digits_min, into);
  }
}
