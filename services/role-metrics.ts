import type { Sample as Metric } from './observe.ts';
import type { Running } from './running.ts';

/** What the parts of a process know beside their stage counters. */
export async function roleMetrics(running: Running): Promise<Metric[]> {
  const metrics: Metric[] = [];
  const add = (kind: Metric['kind'], name: string, help: string, value: number, labels: Record<string, string> = {}): void =>
    void metrics.push({ name: `tailrace_${name}`, help, kind, labels, value });
  for (const { admission } of running.ingests) {
    add('counter', 'requests_total', 'Requests that began.', admission.requests);
    add('counter', 'received_bytes_total', 'Bytes of requests as they came.', admission.received_bytes);
    add('gauge', 'in_flight_bytes', 'Bytes of requests received and not yet answered.', admission.inFlight_bytes);
    for (const [reason, count] of admission.refused)
      add('counter', 'requests_refused_total', 'Requests answered with an error.', count, { reason });
  }
  for (const sample of running.samples) metrics.push(...sample.metrics());
  for (const store of running.stores) {
    const { exporter } = store;
    add('gauge', 'store_down', '1 while ClickHouse takes nothing.', store.outageSince_ms() === undefined ? 0 : 1, { exporter });
  }
  for (const { deadLetters } of [...running.ingests, ...running.stores])
    for (const [reason, letters] of deadLetters)
      add('counter', 'dead_letters_total', 'Letters written to the dead-letter topic.', letters, { reason });
  for (const more of running.metrics) metrics.push(...(await more()));
  for (const labels of running.topics === undefined ? [] : running.groups) {
    // A log that is away must not take the other metrics along.
    const lag = await running.topics!.lag(labels.group, labels.topic).catch(() => undefined);
    if (lag !== undefined) add('gauge', 'lag_records', 'Records that a group has not committed yet.', lag, labels);
  }
  return metrics;
}
