import { randomInt } from 'node:crypto';
import type { SpanMetricsSettings } from '../pipelines/aggregate/settings.ts';
import type { Clock } from '../pipelines/base/clock.ts';
import { StageCounters } from '../pipelines/base/counters.ts';
import type { Log } from '../pipelines/base/log.ts';
import type { Processor } from '../pipelines/process/processor.ts';
import { SampleMetrics, addCounts, addHeld } from '../pipelines/sample/metrics.ts';
import { PolicyProgram } from '../pipelines/sample/policies/compile.ts';
import type { SamplerSettings } from '../pipelines/sample/settings.ts';
import type { Committed, Consumer, LogRecord, PartitionView, Reader, StartAt, Topics } from '../pipelines/topic/topic.ts';
import type { Sample as Metric } from './observe.ts';
import type { RedisHandle } from './redis.ts';
import { redisBudget, type AskBudget } from './sample-budget.ts';
import { EarlyWarning } from './sample-early.ts';
import { Outlet, type OutboxParts } from './sample-outbox.ts';
import { SamplePartition, type PartitionParts } from './sample-partition.ts';
import { sampleSamples } from './sample-samples.ts';

export interface SampleRoleSettings {
  /** Consumer group: the stage keeps its place under this name. */
  readonly group: string;
  /** Of traces; its partitions are judged one by one. */
  readonly topic: string;
  /** Tail sampling; absent where the stage only makes metrics. */
  readonly tail?: {
    readonly sampler: SamplerSettings;
    readonly topic: string;
    /** Run on what was kept, before it is appended. */
    readonly processors: readonly Processor[];
  };
  readonly spanMetrics: readonly {
    readonly settings: SpanMetricsSettings;
    readonly topic: string;
    /** Run on the metrics. */
    readonly processors: readonly Processor[];
  }[];
  readonly commitEvery_ms: number;
  /** OTLP bytes of one record that is appended; larger ones are cut. */
  readonly record_bytes_max: number;
}

/** What nobody has to set. */
export const sampleDefaults = { commitEvery_ms: 1_000, record_bytes_max: 4 << 20 } as const;

export interface SampleParts {
  readonly settings: SampleRoleSettings;
  readonly topics: Topics;
  readonly log: Log;
  readonly clock: Clock;
  readonly outbox: OutboxParts;
  /** Lets partitions lend each other what they do not need of a rate limit. */
  readonly redis?: RedisHandle | undefined;
}

export interface Sample {
  /** The sampler, named as its group, in spans (over all partitions), the outlets (`sample.TOPIC`) in items, and the span metrics in spans. A fresh sum at each call. */
  readonly counters: readonly StageCounters[];
  /** Traces, limits and memory. A fresh sum at each call. */
  metrics(): readonly Metric[];
  /** Stops reading, appends what was decided, commits. What waits for a decision stays in the log. */
  stop(): Promise<void>;
  /** Rejects on a bug of ours or a broken log. Never resolves. */
  readonly failed: Promise<never>;
}

/** The role `sample`: reads every span of a traces topic; kept ones go to the sampled topic, span metrics over all of them to theirs (DESIGN, sample). */
export async function startSample(parts: Omit<SampleParts, 'outbox'>): Promise<Sample> {
  const { settings, topics } = parts;
  const stop = new AbortController();
  const partitions = new PartitionSet(
    { ...parts, outbox: { topics, clock: parts.clock, log: parts.log, record_bytes_max: settings.record_bytes_max } },
    stop.signal,
  );
  const reader = await topics.read({
    group: settings.group,
    topics: [settings.topic],
    keepBehind_ms: keepBehind_ms(settings),
    consumer: partitions,
  });
  partitions.setReader(reader);
  return {
    get counters() {
      return partitions.stages();
    },
    metrics: () => partitions.samples(),
    failed: reader.failed,
    async stop() {
      stop.abort();
      await reader.stop();
    },
  };
}

/** How far behind its commit the stage may have to read again: twice the life of a trace (pipelines/sample/sampler.ts, Restart), and a window of span metrics. */
function keepBehind_ms(settings: SampleRoleSettings): number {
  const { tail } = settings;
  const lives_ms = tail === undefined ? 0 : 2 * (tail.sampler.decisionWait_ms + tail.sampler.lateWait_ms);
  return Math.max(lives_ms, ...settings.spanMetrics.map((one) => one.settings.interval_ms)) + 1_000;
}

function budgetOf({ settings, redis, topics }: SampleParts): AskBudget | undefined {
  const partitions = topics.partitions(settings.topic);
  if (redis === undefined || settings.tail === undefined || partitions === 1) return undefined;
  const limits = new PolicyProgram(settings.tail.sampler.policies).limits.map((one) => one.limit);
  if (limits.length === 0) return undefined;
  // Nobody asks again for a block behind the commit.
  return redisBudget(redis, { group: settings.group, partitions, limits, live_ms: 600_000 + 2 * keepBehind_ms(settings) });
}

class PartitionSet implements Consumer {
  readonly setReader: (reader: Reader) => void;
  private readonly settings: SampleRoleSettings;
  private readonly parts: PartitionParts;
  private readonly partitions = new Map<number, SamplePartition>();
  /** What partitions counted that have gone. */
  private readonly gone: SampleMetrics;
  private readonly goneSpanMetrics: StageCounters[];
  private goneUnreadable = 0;
  private readonly early: EarlyWarning;

  constructor(parts: SampleParts, stop: AbortSignal) {
    const { settings } = parts;
    const { promise, resolve } = Promise.withResolvers<Reader>();
    this.setReader = resolve;
    this.settings = settings;
    this.early = new EarlyWarning(settings.group, parts.log, parts.clock);
    this.gone = new SampleMetrics(settings.tail?.sampler.policies.length ?? 0);
    this.goneSpanMetrics = settings.spanMetrics.map((one) => new StageCounters(`span_metrics.${one.topic}`));
    this.parts = {
      ...parts,
      stop,
      hashSeed: randomInt(2 ** 32),
      partitions: parts.topics.partitions(settings.topic),
      budget: budgetOf(parts),
      tail: settings.tail === undefined ? undefined : new Outlet(settings.tail.topic, settings.tail.processors, parts.outbox),
      spanMetrics: settings.spanMetrics.map((one) => new Outlet(one.topic, one.processors, parts.outbox)),
      // The log may call before `read` has resolved.
      commit: async (partition, offset, note) => (await promise).commit(settings.topic, partition, offset, note),
    };
  }

  async assigned(_topic: string, partition: number, committed: Committed | undefined, log: PartitionView): Promise<StartAt> {
    const one = new SamplePartition(partition, this.parts);
    this.partitions.set(partition, one);
    return one.begin(committed, log);
  }

  async records(_topic: string, partition: number, records: readonly LogRecord[]): Promise<void> {
    const one = this.partitions.get(partition)!;
    await one.records(records);
    if (one.sampler !== undefined) this.early.look(one.sampler.metrics);
  }

  idle(_topic: string, partition: number, time_ms: number): Promise<void> {
    return this.partitions.get(partition)!.idle(time_ms);
  }

  async revoked(_topic: string, partition: number): Promise<void> {
    const one = this.partitions.get(partition)!;
    await one.end();
    this.partitions.delete(partition);
    if (one.sampler !== undefined) this.gone.addCounts(one.sampler.metrics);
    for (const [index, counters] of one.spanMetricsCounters().entries()) addCounts(this.goneSpanMetrics[index]!, counters);
    this.goneUnreadable += one.unreadable;
  }

  stages(): StageCounters[] {
    const { tail, spanMetrics } = this.parts;
    const stages: StageCounters[] = [];
    if (tail !== undefined) stages.push(this.sum().stage, tail.counters);
    for (const [index, outlet] of spanMetrics.entries()) {
      const sum = new StageCounters(this.goneSpanMetrics[index]!.stage);
      addCounts(sum, this.goneSpanMetrics[index]!);
      for (const one of this.partitions.values()) {
        const counters = one.spanMetricsCounters()[index]!;
        addCounts(sum, counters);
        addHeld(sum, counters);
      }
      stages.push(sum, outlet.counters);
    }
    return stages;
  }

  samples(): Metric[] {
    let unreadable = this.goneUnreadable;
    for (const one of this.partitions.values()) unreadable += one.unreadable;
    return sampleSamples(this.settings.group, this.settings.tail?.sampler.policies, this.sum(), unreadable);
  }

  private sum(): SampleMetrics {
    const sum = new SampleMetrics(this.gone.tracesByPolicy.length, this.settings.group);
    sum.addCounts(this.gone);
    for (const { sampler } of this.partitions.values()) {
      if (sampler === undefined) continue;
      sum.addCounts(sampler.metrics);
      sum.addGauges(sampler.metrics);
    }
    return sum;
  }
}
