import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Plan } from '../config/plan.ts';
import type { Config } from '../config/schema.ts';
import { wallClock, type Clock } from '../pipelines/base/clock.ts';
import { createLog, type Log } from '../pipelines/base/log.ts';
import type { Topics } from '../pipelines/topic/topic.ts';
import { planOrExplain } from './check.ts';
import { weighBuffersWithHeap } from './collector.ts';
import type { ConnectedStore } from './connected-store.ts';
import { DeadLetters } from './dead-letters.ts';
import { serveDeadLetters } from './dead-server.ts';
import { formatEndpoint, parseEndpoint } from './endpoint.ts';
import { startIngest, type Ingest } from './ingest.ts';
import { startObserver, type Sample as Metric } from './observe.ts';
import { Reloads } from './reload.ts';
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
  /** Of the embedded engine, where there is one. */
  clickhouseUrl: string | undefined;
  topics: Topics | undefined;
  readonly ingests: Ingest[] = [];
  readonly samples: Sample[] = [];
  readonly stores: ConnectedStore[] = [];
  /** Where this process stores things. */
  dead: DeadLetters | undefined;
  /** More for the scrape. */
  readonly metrics: (() => Iterable<Metric> | Promise<Iterable<Metric>>)[] = [];
  /** Groups whose lag this process shows: those that it reads for. */
  readonly groups: { readonly group: string; readonly topic: string }[] = [];
  /** Addresses that listen, for people. */
  readonly addresses = { grpc: [] as string[], http: [] as string[] };
  /** Why the process cannot do its work now, each by itself. */
  readonly checks: (() => string | undefined)[] = [];
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

  /** What the stores refused can be listed and replayed from here on. */
  serveDeadLetters(topics: Topics): void {
    const dead = new DeadLetters({ topics, clock: this.clock, log: this.log, stores: this.stores });
    this.dead = dead;
    this.add(() => dead.stop());
  }

  /** Rejects when a part failed. Never resolves. */
  failed(): Promise<never> {
    return Promise.race(this.failures.length === 0 ? [new Promise<never>(() => undefined)] : this.failures);
  }

  async stop(): Promise<void> {
    for (const stop of this.stops.splice(0).toReversed()) await stop();
  }
}

/** A role: what is started once and outlives a reload, and what is started for each version of the file. */
export interface Role {
  readonly usage: string;
  prepare?(running: Running): Promise<void>;
  /** Returns what to tell a person on stdout. */
  start(running: Running): Promise<string>;
}

/**
 * The frame of every role: reads the file, serves metrics and health, starts the parts, waits for a signal, stops in reverse.
 * SIGHUP or a changed file: the new one is checked first, and where it is good the parts are stopped and started anew from it. Nothing
 * is lost by that, for what waits is in the log. A file with errors changes nothing.
 */
export async function runRole(argv: string[], role: Role): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: { help: { type: 'boolean', short: 'h' }, config: { type: 'string', default: 'config/tailrace.yaml' } },
  });
  if (values.help === true) {
    process.stdout.write(role.usage);
    return 0;
  }
  weighBuffersWithHeap();
  const { config, plan } = planOrExplain(values.config);
  // The parts that outlive a reload.
  const base = new Running(config, plan, createLog(config.service.telemetry.logs.level));
  let now = new Running(config, plan, base.log);
  const reloads = new Reloads(values.config, () => now.config);
  try {
    await startHealth(base, () => now);
    await role.prepare?.(base);
    process.stdout.write(await begin(role, now, base));
    // Until here a signal ends the process at once: what runs so far holds nothing that the log does not.
    const signal = stopSignal(base.log);
    for (;;) {
      const next = await Promise.race([signal, reloads.next(), now.failed(), base.failed()]);
      if (next === undefined) return 0;
      now = await swap(role, now, new Running(next.config, next.plan, base.log), base);
    }
  } finally {
    reloads.close();
    await now.stop();
    await base.stop();
  }
}

async function begin(role: Role, running: Running, base: Running): Promise<string> {
  running.observer = base.observer;
  running.clickhouseUrl = base.clickhouseUrl;
  const words = await role.start(running);
  running.ready = true;
  return words;
}

/** Stops the old parts and starts the new ones; where these do not start, the old ones again. @throws where neither starts */
async function swap(role: Role, old: Running, next: Running, base: Running): Promise<Running> {
  base.log.info({ file: next.config.path }, 'the pipeline file is good: changing over');
  old.ready = false;
  await old.stop();
  try {
    await begin(role, next, base);
    base.log.info('changed over to the new pipeline file');
    return next;
  } catch (error) {
    base.log.warn({ err: error }, 'the new pipeline file does not start: going back to the old one');
    await next.stop();
    const again = new Running(old.config, old.plan, base.log);
    await begin(role, again, base);
    return again;
  }
}

async function startHealth(base: Running, now: () => Running): Promise<void> {
  const endpoint = parseEndpoint(base.config.service.telemetry.metrics.address, 'service.telemetry.metrics.address');
  const observer = await startObserver(endpoint, {
    stages: () => [...now().ingests, ...now().samples, ...now().stores].flatMap((part) => part.counters),
    samples: () => roleMetrics(now()),
    notReady: () => [
      ...(now().ready ? [] : ['starting or stopping']),
      ...now().checks.flatMap((check) => check() ?? []),
      ...now().ingests.flatMap((ingest) => ingest.admission.whyBusy()?.message ?? []),
    ],
    serve: (request, response) => serveDeadLetters(now().dead, request, response),
  });
  base.observer = `http://${formatEndpoint(endpoint.host, observer.port)}`;
  base.add(() => observer.stop());
}

/** Resolves (with nothing to change over to) at the first SIGINT or SIGTERM; a second one ends the process at once, which loses nothing either: the log replays. */
function stopSignal(log: Log): Promise<undefined> {
  return new Promise((done) => {
    let asked = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (asked) process.exit(130);
        asked = true;
        log.info({ signal }, 'draining; once more ends at once');
        done(undefined);
      });
    }
  });
}
