import type { Plan } from '../config/plan.ts';
import type { EmbeddedTopics } from '../pipelines/topic/embedded.ts';
import type { Ingest } from './ingest.ts';
import type { Sample as Metric } from './observe.ts';
import type { Sample } from './sample.ts';
import type { ConnectedStore } from './standalone-store.ts';

interface Parts {
  readonly plan: Plan;
  readonly topics: EmbeddedTopics;
  readonly ingests: readonly Ingest[];
  readonly samples: readonly Sample[];
  readonly stores: readonly ConnectedStore[];
}

/** What the parts know beside their stage counters. */
export async function samplesOf({ plan, topics, ingests, samples, stores }: Parts): Promise<Metric[]> {
  const metrics: Metric[] = [];
  const add = (kind: Metric['kind'], name: string, help: string, value: number, labels: Record<string, string> = {}): void =>
    void metrics.push({ name: `tailrace_${name}`, help, kind, labels, value });
  for (const { admission } of ingests) {
    add('counter', 'requests_total', 'Requests that began.', admission.requests);
    add('counter', 'received_bytes_total', 'Bytes of requests as they came.', admission.received_bytes);
    add('gauge', 'in_flight_bytes', 'Bytes of requests received and not yet answered.', admission.inFlight_bytes);
    for (const [reason, count] of admission.refused)
      add('counter', 'requests_refused_total', 'Requests answered with an error.', count, { reason });
  }
  for (const sample of samples) for (const metric of sample.metrics()) metrics.push(metric);
  for (const [index, store] of stores.entries()) {
    add('gauge', 'store_down', '1 while ClickHouse takes nothing.', store.outageSince_ms() === undefined ? 0 : 1, {
      exporter: plan.write[index]!.exporter,
    });
  }
  const usage = topics.usage();
  add('gauge', 'log_bytes', 'Bytes that the embedded log holds.', usage.used_bytes);
  add('gauge', 'log_file_bytes', 'Bytes of its file; pages that are free are used again.', usage.file_bytes);
  const readers = [
    ...plan.sample.map((stage) => [stage.name, stage.topic] as const),
    ...plan.write.flatMap((stage) => stage.topics.map(({ topic }) => [stage.name, topic] as const)),
  ];
  for (const [group, topic] of readers)
    add('gauge', 'lag_records', 'Records that a group has not committed yet.', await topics.lag(group, topic), { group, topic });
  return metrics;
}
