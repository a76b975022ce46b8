import type { Signal } from '../pipelines/otlp/walk.ts';
import { DEAD_TOPIC } from '../pipelines/topic/dead-letter.ts';
import type { ClickHouseConfig, SpanMetricsConfig, TailSamplingConfig } from './schema-components.ts';
import { componentType, type Config } from './schema.ts';

/**
 * The cut of a file's pipelines into stages. What is stateless and stands before a decision runs in `ingest`; what needs
 * whole traces, and what stands behind it, in `sample`; what stores, in `write`. Pipelines that begin alike (same
 * receivers, same processors up to the tail sampling) share a topic, so their spans are stored in the log once.
 */
export interface Component {
  readonly id: string;
  readonly config: unknown;
}

interface IngestBranch {
  readonly signal: Signal;
  readonly topic: string;
  readonly pipelines: readonly string[];
  readonly receivers: readonly string[];
  readonly processors: readonly Component[];
}

interface SpanMetricsStage {
  readonly id: string;
  readonly config: SpanMetricsConfig;
  /** Processors of the metrics pipeline that the connector feeds. */
  readonly processors: readonly Component[];
  readonly topic: string;
}

export interface SampleStage {
  /** Also the consumer group: a stage keeps its place under this name. */
  readonly name: string;
  readonly topic: string;
  readonly tail?: {
    readonly id: string;
    readonly config: TailSamplingConfig;
    readonly processors: readonly Component[];
    readonly topic: string;
  };
  readonly spanMetrics: readonly SpanMetricsStage[];
}

export interface WriteStage {
  readonly name: string;
  readonly exporter: string;
  readonly config: ClickHouseConfig;
  readonly topics: readonly { readonly topic: string; readonly signal: Signal }[];
}

export interface Plan {
  readonly ingest: readonly IngestBranch[];
  readonly sample: readonly SampleStage[];
  readonly write: readonly WriteStage[];
  /** Every topic, in the order of the flow. */
  readonly topics: readonly string[];
}

// Collector components that the log and the byte budgets make needless: accepted, and left out of the plan.
const NO_OPS = new Set(['batch', 'memory_limiter']);

export function planPipelines(config: Config): Plan {
  const names = new TopicNames();
  const ingest = new Map<string, IngestBranch & { pipelines: string[] }>();
  const sample: SampleStage[] = [];
  const writes = new Map<string, { topic: string; signal: Signal }[]>();
  const pipelines = Object.entries(config.service.pipelines);
  const store = (exporters: readonly string[], topic: string, signal: Signal): void => {
    for (const id of exporters) {
      if (!config.exporters.has(id)) continue;
      const list = writes.get(id) ?? [];
      if (!list.some((entry) => entry.topic === topic)) list.push({ topic, signal });
      writes.set(id, list);
    }
  };
  for (const [id, pipeline] of pipelines) {
    const signal = componentType(id) as Signal;
    if (pipeline.receivers.some((receiver) => config.connectors.has(receiver))) continue;
    const processors = components(config, pipeline.processors);
    const tailAt = processors.findIndex((processor) => componentType(processor.id) === 'tail_sampling');
    const prefix = tailAt < 0 ? processors : processors.slice(0, tailAt);
    const key = JSON.stringify([signal, pipeline.receivers.toSorted(), prefix.map((processor) => processor.id)]);
    let branch = ingest.get(key);
    if (branch === undefined) {
      branch = { signal, topic: names.take(signal, id), pipelines: [], receivers: pipeline.receivers, processors: prefix };
      ingest.set(key, branch);
    }
    branch.pipelines.push(id);
    const { topic } = branch;
    const connectors = pipeline.exporters.filter((exporter) => config.connectors.has(exporter));
    if (tailAt >= 0) {
      const tail = processors[tailAt]!;
      const sampled = names.take('sampled', id);
      sample.push({
        name: `sample.${id}`,
        topic,
        tail: { id: tail.id, config: tail.config as TailSamplingConfig, processors: processors.slice(tailAt + 1), topic: sampled },
        spanMetrics: [],
      });
      store(pipeline.exporters, sampled, 'traces');
      continue;
    }
    store(pipeline.exporters, topic, signal);
    const spanMetrics = connectors.map((connector): SpanMetricsStage => {
      const fed = pipelines.find(([, other]) => other.receivers.includes(connector))![1];
      const metricsTopic = names.take('spanmetrics', id);
      store(fed.exporters, metricsTopic, 'metrics');
      return {
        id: connector,
        config: config.connectors.get(connector) as SpanMetricsConfig,
        processors: components(config, fed.processors),
        topic: metricsTopic,
      };
    });
    if (spanMetrics.length > 0) sample.push({ name: `sample.${id}`, topic, spanMetrics });
  }
  const branches = [...ingest.values()];
  const write = [...writes].map(([exporter, topics]): WriteStage => ({
    name: `write.${exporter}`,
    exporter,
    config: config.exporters.get(exporter) as ClickHouseConfig,
    topics,
  }));
  const topics = [
    ...branches.map((branch) => branch.topic),
    ...sample.flatMap((stage) => [
      ...(stage.tail === undefined ? [] : [stage.tail.topic]),
      ...stage.spanMetrics.map((metrics) => metrics.topic),
    ]),
    DEAD_TOPIC,
  ];
  return { ingest: branches, sample: mergeSample(sample), write, topics };
}

/** A stage that only makes metrics joins one that samples the same topic: the log is then read and unpacked once. */
function mergeSample(stages: readonly SampleStage[]): SampleStage[] {
  const merged: SampleStage[] = [];
  for (const stage of stages.toSorted((a, b) => Number(b.tail !== undefined) - Number(a.tail !== undefined))) {
    const host = stage.tail === undefined ? merged.findIndex((other) => other.topic === stage.topic) : -1;
    if (host < 0) merged.push(stage);
    else merged[host] = { ...merged[host]!, spanMetrics: [...merged[host]!.spanMetrics, ...stage.spanMetrics] };
  }
  return merged;
}

function components(config: Config, ids: readonly string[]): Component[] {
  return ids.filter((id) => !NO_OPS.has(componentType(id))).map((id) => ({ id, config: config.processors.get(id) }));
}

/** The first pipeline of a kind gets the plain name; the others add their own. */
class TopicNames {
  private readonly taken = new Set<string>();

  take(base: string, pipeline: string): string {
    let name = base;
    const own = pipeline.replace(/[^A-Za-z0-9._-]/g, '.');
    for (let n = 1; this.taken.has(name); n++) name = n === 1 ? `${base}.${own}` : `${base}.${own}.${n}`;
    this.taken.add(name);
    return name;
  }
}

/** What `tailrace plan` prints: the stages, what each reads, does and writes. */
export function formatPlan(plan: Plan): string {
  const lines: string[] = [];
  const ids = (list: readonly Component[]): string => (list.length === 0 ? '' : ` → ${list.map((component) => component.id).join(' → ')}`);
  lines.push('ingest   answers a sender when its data is in the log');
  for (const branch of plan.ingest)
    lines.push(`  ${branch.receivers.join(', ')}${ids(branch.processors)} → [${branch.topic}]   (${branch.pipelines.join(', ')})`);
  if (plan.sample.length > 0) lines.push('sample   folds and decides by the log’s time');
  for (const stage of plan.sample) {
    if (stage.tail !== undefined)
      lines.push(`  [${stage.topic}] → ${stage.tail.id}${ids(stage.tail.processors)} → [${stage.tail.topic}]   (${stage.name})`);
    for (const metrics of stage.spanMetrics)
      lines.push(`  [${stage.topic}] → ${metrics.id}${ids(metrics.processors)} → [${metrics.topic}]   (${stage.name}, over every span)`);
  }
  lines.push('write    inserts every record once');
  for (const stage of plan.write)
    lines.push(
      `  ${stage.topics.map((entry) => `[${entry.topic}]`).join(' ')} → ${stage.exporter} (${stage.config.endpoint}, database ${stage.config.database})`,
    );
  return `${lines.join('\n')}\n`;
}
