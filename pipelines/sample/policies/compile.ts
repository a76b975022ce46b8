import { OperatorError } from '../../base/errors.ts';
import type { AttributeList } from '../../otlp/attributes.ts';
import type { SpanView } from '../../otlp/span.ts';
import type { PolicySettings } from '../settings.ts';
import { DROPPED, KEPT, NO_POLICY, type TraceTable } from '../trace-table.ts';
import { Attribute, NumberInRange } from './attribute.ts';
import { ConsistentProbability, SaltedProbability } from './chance.ts';
import { Layout, type DecisionMoment, type Policy } from './policy.ts';
import { RateLimit, type Place } from './rate-limit.ts';
import { AlwaysSample, Latency, SpanCount, StatusCode } from './shape.ts';
import { MatchesPattern, OneOfTexts } from './text.ts';

const POLICIES_MAX = 1000;

/** Keeps a trace that every sub-policy keeps; they are asked in order until one refuses, so a rate limit behind others is charged only for what passed them (sampling/and.go). Its probability is the smallest of theirs. */
class Every implements Policy {
  readonly folds = false;
  private readonly policies: readonly Policy[];
  constructor(policies: readonly Policy[]) {
    this.policies = policies;
  }
  resource(): void {}
  fold(): void {}
  verdict(table: TraceTable, slot: number, moment: DecisionMoment): number {
    let probability = 1;
    for (const policy of this.policies) {
      const one = policy.verdict(table, slot, moment);
      if (one === 0) return 0;
      if (one < probability) probability = one;
    }
    return probability;
  }
}

/**
 * The policies of a pipeline, compiled: what looks at spans stands in one flat list, whatever the nesting; verdicts keep the tree.
 * To add a policy: its settings in settings.ts, a class in this folder, one line in `make`.
 */
export class PolicyProgram {
  readonly names: readonly string[];
  readonly isDrop: readonly boolean[];
  /** Words of state a trace. */
  readonly words: number;
  readonly needsResource: boolean;
  /** In the order in which the settings name them, nested ones in their place: the note's order. */
  readonly limits: readonly RateLimit[];
  private readonly top: readonly Policy[];
  private readonly folding: readonly Policy[];

  /** @throws OperatorError for settings that make no sense */
  constructor(settings: readonly PolicySettings[], place: Place = { partition: 0, partitions: 1 }) {
    const compiler = new Compiler(place);
    if (settings.length > POLICIES_MAX) throw new OperatorError(`${settings.length} policies`, `at most ${POLICIES_MAX} are possible`);
    this.names = settings.map((one) => one.name);
    this.isDrop = settings.map((one) => one.type === 'drop');
    this.top = settings.map((one) => compiler.make(one));
    this.folding = compiler.folding;
    this.limits = compiler.limits;
    this.words = compiler.layout.words;
    this.needsResource = compiler.layout.needsResource;
  }

  resource(bytes: Buffer, attributes: AttributeList): void {
    for (const policy of this.folding) policy.resource(bytes, attributes);
  }

  fold(table: TraceTable, slot: number, span: SpanView): void {
    const at = slot * table.stride;
    for (const policy of this.folding) policy.fold(table.words, at, span);
  }

  /**
   * Decides the trace in `slot` (tailsamplingprocessor/processor.go, makeDecision): drop policies first, and the first that
   * matches ends it; then every other policy is asked, the first that keeps gives its name, the largest probability of all that
   * keep gives the weight.
   */
  decide(table: TraceTable, slot: number, moment: DecisionMoment): void {
    const { top, isDrop } = this;
    for (let index = 0; index < top.length; index++) {
      if (isDrop[index] === true && top[index]!.verdict(table, slot, moment) > 0) {
        table.verdict[slot] = DROPPED;
        table.policy[slot] = index;
        return;
      }
    }
    let policy = NO_POLICY;
    let probability = 0;
    for (let index = 0; index < top.length; index++) {
      if (isDrop[index] === true) continue;
      const one = top[index]!.verdict(table, slot, moment);
      if (one > 0 && policy === NO_POLICY) policy = index;
      if (one > probability) probability = one;
    }
    table.verdict[slot] = policy === NO_POLICY ? DROPPED : KEPT;
    table.policy[slot] = policy;
    table.probability[slot] = probability;
  }
}

class Compiler {
  readonly layout = new Layout();
  readonly folding: Policy[] = [];
  readonly limits: RateLimit[] = [];
  private readonly place: Place;

  constructor(place: Place) {
    this.place = place;
  }

  make(settings: PolicySettings, nested = false): Policy {
    const policy = this.build(settings, nested);
    if (policy.folds) this.folding.push(policy);
    if (policy instanceof RateLimit) this.limits.push(policy);
    return policy;
  }

  private build(settings: PolicySettings, nested: boolean): Policy {
    const { layout } = this;
    switch (settings.type) {
      case 'always_sample':
        return new AlwaysSample();
      case 'latency':
        return new Latency(settings.threshold_ms, settings.upperThreshold_ms ?? 0);
      case 'status_code':
        return new StatusCode(settings.statusCodes, layout);
      case 'probabilistic': {
        const probability = Math.min(1, Math.max(0, settings.samplingPercentage / 100));
        const salt = settings.hashSalt ?? '';
        return salt === '' ? new ConsistentProbability(probability, layout) : new SaltedProbability(probability, salt);
      }
      case 'string_attribute': {
        const test = settings.enabledRegexMatching === true ? new MatchesPattern(settings.values) : new OneOfTexts(settings.values);
        return new Attribute(settings.key, test, settings.invertMatch ?? false, layout);
      }
      case 'numeric_attribute':
        return new Attribute(
          settings.key,
          new NumberInRange(settings.minValue ?? -Infinity, settings.maxValue ?? Infinity),
          settings.invertMatch ?? false,
          layout,
        );
      case 'span_count':
        return new SpanCount(settings.minSpans, settings.maxSpans ?? 0);
      case 'rate_limiting':
        return new RateLimit(settings.spansPerSecond, this.place);
      case 'and':
        return this.every(settings.name, settings.subPolicies);
      case 'drop':
        if (nested) throw new OperatorError(`policy ${settings.name}: drop inside another policy`, 'put it at the top level');
        return this.every(settings.name, settings.subPolicies);
    }
  }

  private every(name: string, subPolicies: readonly PolicySettings[]): Policy {
    if (subPolicies.length === 0) throw new OperatorError(`policy ${name} has no sub-policies`, 'name at least one');
    return new Every(subPolicies.map((sub) => this.make(sub, true)));
  }
}
