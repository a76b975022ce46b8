import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { StageCounters } from '../pipelines/base/counters.ts';
import type { Endpoint } from '../pipelines/receive/receive.ts';
import { listen } from './endpoint.ts';

/** One value for the scrape; what only rises is a counter. */
export interface Sample {
  readonly name: string;
  readonly help: string;
  readonly kind: 'counter' | 'gauge';
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Observed {
  stages(): Iterable<StageCounters>;
  samples(): Promise<Iterable<Sample>> | Iterable<Sample>;
  /** Empty when ready to take traffic, else what is missing. */
  notReady(): readonly string[];
  /** What else is served here; false where the path is another one. */
  serve(request: IncomingMessage, response: ServerResponse): boolean;
}

/**
 * Serves `/healthz` (the process runs), `/readyz` (it can take traffic) and `/metrics` (Prometheus text).
 * Counters live as plain fields where they are counted; a scrape copies them.
 */
export async function startObserver(endpoint: Endpoint, observed: Observed): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const gather = scrape(registry, observed);
  const server = createServer((request, response) => {
    const answer = (status: number, type: string, body: string): void => {
      response.writeHead(status, { 'content-type': type }).end(body);
    };
    switch (request.url?.split('?')[0]) {
      case '/healthz':
        return answer(200, 'text/plain', 'ok\n');
      case '/readyz': {
        const missing = observed.notReady();
        return missing.length === 0
          ? answer(200, 'text/plain', 'ready\n')
          : answer(503, 'text/plain', `not ready: ${missing.join('; ')}\n`);
      }
      case '/metrics':
        gather().then(
          (text) => answer(200, registry.contentType, text),
          (error: unknown) => answer(500, 'text/plain', `${String(error)}\n`),
        );
        return;
      default:
        if (observed.serve(request, response)) return;
        return answer(404, 'text/plain', 'here are /healthz, /readyz and /metrics\n');
    }
  });
  const port = await listen(server, endpoint, 'metrics and health');
  return { port, stop: () => close(server) };
}

function scrape(registry: Registry, observed: Observed): () => Promise<string> {
  const made = new Map<string, Counter | Gauge>();
  const set = (sample: Sample): void => {
    const labels = sample.labels ?? {};
    let metric = made.get(sample.name);
    if (metric === undefined) {
      const options = { name: sample.name, help: sample.help, labelNames: Object.keys(labels), registers: [registry] };
      metric = sample.kind === 'counter' ? new Counter(options) : new Gauge(options);
      made.set(sample.name, metric);
    }
    // Added up since the reset: two receivers that feed one topic are two stages of one name.
    metric.inc(labels, sample.value);
  };
  return async () => {
    for (const metric of made.values()) metric.reset();
    for (const stage of observed.stages()) for (const sample of stageSamples(stage)) set(sample);
    for (const sample of await observed.samples()) set(sample);
    return registry.metrics();
  };
}

function* stageSamples(stage: StageCounters): Generator<Sample> {
  const labels = { stage: stage.stage };
  yield {
    name: 'tailrace_items_in_total',
    help: 'Spans, metrics or log records that came into a stage.',
    kind: 'counter',
    labels,
    value: stage.in,
  };
  yield { name: 'tailrace_items_out_total', help: 'Items that left a stage for the next.', kind: 'counter', labels, value: stage.out };
  yield { name: 'tailrace_items_held', help: 'Items that a stage holds now.', kind: 'gauge', labels, value: stage.held };
  yield {
    name: 'tailrace_items_imbalance',
    help: 'in - out - dropped - held: anything but 0 is a loss that nobody counted.',
    kind: 'gauge',
    labels,
    value: stage.imbalance(),
  };
  for (const [reason, value] of stage.dropped) {
    yield {
      name: 'tailrace_items_dropped_total',
      help: 'Items that a stage dropped, by reason.',
      kind: 'counter',
      labels: { ...labels, reason },
      value,
    };
  }
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
