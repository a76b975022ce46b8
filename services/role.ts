import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Plan } from '../config/plan.ts';
import type { Config } from '../config/schema.ts';
import { wallClock, type Clock } from '../pipelines/base/clock.ts';
import { createLog, type Log } from '../pipelines/base/log.ts';
import type { Topics } from '../pipelines/topic/topic.ts';
import { planOrExplain } from './check.ts';
import type { ConnectedStore } from './connected-store.ts';
import { formatEndpoint, parseEndpoint } from './endpoint.ts';
import { startIngest, type Ingest } from './ingest.ts';
import { startObserver, type Sample as Metric } from './observe.ts';
import { roleMetrics } from './role-metrics.ts';
import type { Sample } from './sample.ts';
import { ingestSettings } from './settings.ts';

/** What runs in this process. A role adds its parts in order; they are stopped in reverse. */
export class Running {
  readonly config: Config;
  readonly plan: Plan;
  readonly log: Log;
  readonly clock: Clock = wallClock;
  /** The data folder, absolute. */
  readonly directory: string;
  /** Where metrics and health are served. */
  observer = '';
  topics: Topics | undefined;
  readonly ingests: Ingest[] = [];
  readonly samples: Sample[] = [];
  readonly stores: ConnectedStore[] = [];
  /** More for the scrape. */
  readonly metrics: (() => Iterable<Metric> | Promise<Iterable<Metric>>)[] = [];
  /** Groups whose lag this process shows: those that it reads for. */
  readonly groups: { readonly group: string; readonly topic: string }[] = [];
  /** Addresses that listen, for people. */
  readonly addresses = { grpc: [] as string[], http: [] as string[] };
  ready = false;
  private readonly stops: (() => Promise<void>)[] = [];
  private readonly failures: Promise<never>[] = [];

  constructor(config: Config, plan: Plan, log: Log) {
    this.config = config;
    this.plan = plan;
    this.log = log;
    this.directory = resolve(config.tailrace.data_dir);
  }

  /** Stopped at the end, before everything added earlier. A part that can fail ends the process with its error. */
  add(stop: () => Promise<void>, failed?: Promise<never>): void {
    this.stops.push(stop);
    if (failed !== undefined) this.failures.push(failed);
  }

  async startReceivers(topics: Topics): Promise<void> {
    for (const id of this.config.receivers.keys()) {
      const settings = ingestSettings(id, this.config, this.plan);
      if (settings.branches.length === 0) continue;
      const ingest = await startIngest({ settings, topics, log: this.log, clock: this.clock });
      this.ingests.push(ingest);
      this.add(() => ingest.drain());
      for (const protocol of ['grpc', 'http'] as const) {
        const port = ingest.listening[protocol];
        if (port !== undefined) this.addresses[protocol].push(formatEndpoint(settings[protocol]!.host, port));
      }
    }
  }

  /** Rejects when a part failed. Never resolves. */
  failed(): Promise<never> {
    return Promise.race(this.failures.length === 0 ? [new Promise<never>(() => undefined)] : this.failures);
  }

  async stop(): Promise<void> {
    for (const stop of this.stops.splice(0).toReversed()) await stop();
  }
}

/** The frame of every role: reads the file, serves metrics and health, starts the parts, waits for a signal, stops in reverse. */
export async function runRole(argv: string[], usage: string, start: (running: Running) => Promise<string>): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: { help: { type: 'boolean', short: 'h' }, config: { type: 'string', default: 'config/tailrace.yaml' } },
  });
  if (values.help === true) {
    process.stdout.write(usage);
    return 0;
  }
  const { config, plan } = planOrExplain(values.config);
  const running = new Running(config, plan, createLog(config.service.telemetry.logs.level));
  // A signal may come while the parts are starting: they are then stopped as far as they came.
  const signal = stopSignal(running.log);
  try {
    await startHealth(running);
    const words = await start(running);
    running.ready = true;
    process.stdout.write(words);
    await Promise.race([signal, running.failed()]);
    return 0;
  } finally {
    running.ready = false;
    await running.stop();
  }
}

async function startHealth(running: Running): Promise<void> {
  const endpoint = parseEndpoint(running.config.service.telemetry.metrics.address, 'service.telemetry.metrics.address');
  const observer = await startObserver(endpoint, {
    stages: () => [...running.ingests, ...running.samples, ...running.stores].flatMap((part) => part.counters),
    samples: () => roleMetrics(running),
    notReady: () => [
      ...(running.ready ? [] : ['starting or stopping']),
      ...running.ingests.flatMap((ingest) => ingest.admission.whyBusy()?.message ?? []),
    ],
  });
  running.observer = `http://${formatEndpoint(endpoint.host, observer.port)}`;
  running.add(() => observer.stop());
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once, which loses nothing either: the log replays. */
function stopSignal(log: Log): Promise<void> {
  return new Promise((done) => {
    let asked = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (asked) process.exit(130);
        asked = true;
        log.info({ signal }, 'draining; once more ends at once');
        done();
      });
    }
  });
}
