import { thresholdFromProbability, probabilityOf, adjustedCount } from '../../pipelines/otlp/trace-state.ts';
import type { PolicySettings, SamplerSettings } from '../../pipelines/sample/settings.ts';
import { traceId, type TestRecord, type TestSpan } from './random-log.ts';

/**
 * The sampler's rules once more, as plain as they can be: every question is answered by looking over the whole log. Knows the
 * policies of random-log.ts. Slow, and nothing like the real one inside.
 */
interface Life {
  readonly trace: number;
  readonly begin: number;
  readonly spans: { readonly record: number; readonly span: TestSpan }[];
  decision: { kept: boolean; policy: string; probability: number } | undefined;
}

export interface NaiveOutput {
  readonly offset: number;
  readonly spans: readonly string[];
}

export function naiveSample(settings: SamplerSettings, log: readonly TestRecord[]): NaiveOutput[] {
  const { decisionWait_ms, lateWait_ms, heldBytes_max, traces_max } = settings;
  const pairs = log.map((record) => Math.max(1, new Set(record.spans.map((span) => span.trace)).size));
  const costs = log.map((record) => record.value.length + 4 * record.spans.length + 128);
  const sum = (list: readonly number[], from: number, to: number): number => list.slice(from, to).reduce((a, b) => a + b, 0);
  const horizon = log.map((record, x) => {
    for (let r = 0; r < x; r++)
      if (log[r]!.time_ms >= record.time_ms - decisionWait_ms - lateWait_ms && sum(pairs, r, x) <= traces_max) return r;
    return x;
  });
  // The number of records that were folded before r was emitted.
  const foldedBefore = log.map((record, r) => {
    for (let x = r; x < log.length; x++) {
      if (x > r && (log[x]!.time_ms >= record.time_ms + decisionWait_ms || r < horizon[x]!)) return x;
      if (sum(costs, r, x + 1) > heldBytes_max) return x + 1;
    }
    return log.length;
  });
  const lives: Life[] = [];
  const lifeOf: Life[][] = log.map((record, x) =>
    record.spans.map((span) => {
      let life = lives.findLast((one) => one.trace === span.trace);
      if (life === undefined || life.begin < horizon[x]!) {
        life = { trace: span.trace, begin: x, spans: [], decision: undefined };
        lives.push(life);
      }
      life.spans.push({ record: x, span });
      return life;
    }),
  );
  const limits = new Map<PolicySettings, { window: number; used: number; closed: boolean }>();
  const outputs: NaiveOutput[] = [];
  for (const [r, record] of log.entries()) {
    const kept: string[] = [];
    for (const [index, life] of lifeOf[r]!.entries()) {
      life.decision ??= decide(
        settings.policies,
        life.trace,
        life.spans.filter((one) => one.record < foldedBefore[r]!).map((one) => one.span),
        record.time_ms,
        limits,
      );
      const { decision } = life;
      if (!decision.kept) continue;
      const weight = Math.round(adjustedCount(thresholdFromProbability(decision.probability)));
      kept.push(`${(record.offset * 1000 + index + 1).toString(16).padStart(16, '0')} ${decision.policy} ${weight}`);
    }
    if (kept.length > 0) outputs.push({ offset: record.offset, spans: kept });
  }
  return outputs;
}

type Limits = Map<PolicySettings, { window: number; used: number; closed: boolean }>;

function decide(policies: readonly PolicySettings[], trace: number, spans: readonly TestSpan[], time_ms: number, limits: Limits) {
  const ask = (policy: PolicySettings): number => verdict(policy, trace, spans, time_ms, limits, ask);
  if (policies.some((policy) => policy.type === 'drop' && ask(policy) > 0)) return { kept: false, policy: '', probability: 0 };
  const answers = policies.filter((policy) => policy.type !== 'drop').map((policy) => ({ policy: policy.name, probability: ask(policy) }));
  const first = answers.find((one) => one.probability > 0);
  return { kept: first !== undefined, policy: first?.policy ?? '', probability: Math.max(0, ...answers.map((one) => one.probability)) };
}

function verdict(
  policy: PolicySettings,
  trace: number,
  spans: readonly TestSpan[],
  time_ms: number,
  limits: Limits,
  ask: (policy: PolicySettings) => number,
): number {
  switch (policy.type) {
    case 'status_code':
      return spans.some((span) => span.error) ? 1 : 0;
    case 'latency':
      return (spans.some((span) => span.slow) ? 500 : 1) >= policy.threshold_ms ? 1 : 0;
    case 'span_count':
      return spans.length >= policy.minSpans && spans.length <= (policy.maxSpans ?? Infinity) ? 1 : 0;
    case 'probabilistic': {
      const p = policy.samplingPercentage / 100;
      if (policy.hashSalt !== undefined) {
        let hash = 0xcbf29ce484222325n;
        for (const byte of Buffer.concat([Buffer.from(policy.hashSalt), Buffer.from(traceId(trace), 'hex')]))
          hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
        return Number(hash >> 11n) <= p * 2 ** 53 ? p : 0;
      }
      const randomness = BigInt(`0x${traceId(trace).slice(18)}`);
      const threshold = thresholdFromProbability(p);
      const t = BigInt(threshold.hi) * 2n ** 32n + BigInt(threshold.lo);
      return randomness >= t && probabilityOf(threshold) > 0 ? p : 0;
    }
    case 'rate_limiting': {
      const limit = policy.spansPerSecond;
      if (spans.length > limit) return 0;
      const window = Math.floor(time_ms / 1000);
      let state = limits.get(policy);
      if (state?.window !== window) limits.set(policy, (state = { window, used: 0, closed: false }));
      if (!state.closed && state.used + spans.length > limit) state.closed = true;
      if (state.closed) return 0;
      state.used += spans.length;
      return 1;
    }
    case 'and':
    case 'drop': {
      let least = 1;
      for (const sub of policy.subPolicies) {
        const one = ask(sub);
        if (one === 0) return 0;
        least = Math.min(least, one);
      }
      return least;
    }
    default:
      throw new Error(`the naive sampler does not know ${policy.type}`);
  }
}
