import { resolve } from 'node:path';
import type { Plan, WriteStage } from '../config/plan.ts';
import type { Config } from '../config/schema.ts';
import { wallClock, type Clock } from '../pipelines/base/clock.ts';
import type { Log } from '../pipelines/base/log.ts';
import type { Topics } from '../pipelines/topic/topic.ts';
import { connectStore, type ConnectedStore } from './connected-store.ts';
import { DeadLetters } from './dead-letters.ts';
import { formatEndpoint } from './endpoint.ts';
import { startIngest, type Ingest } from './ingest.ts';
import type { Sample as Metric } from './observe.ts';
import type { RedisHandle } from './redis.ts';
import { startSample, type Sample } from './sample.ts';
import { ingestSettings, sampleSettings } from './settings.ts';

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

  /** `addressOf` gives the ClickHouse of a stage; `makesTables` as in connectStore. */
  async startStores(topics: Topics, addressOf: (stage: WriteStage) => string, makesTables: boolean): Promise<void> {
    for (const stage of this.plan.write) {
      const store = await connectStore(this, stage, addressOf(stage), topics, makesTables);
      this.stores.push(store);
      this.add(() => store.stop(), store.failed);
    }
    this.serveDeadLetters(topics);
  }

  async startSamplers(topics: Topics, redis?: RedisHandle): Promise<void> {
    for (const stage of this.plan.sample) {
      const settings = sampleSettings(stage, this.config.tailrace);
      const sample = await startSample({ settings, topics, clock: this.clock, log: this.log, ...(redis === undefined ? {} : { redis }) });
      this.samples.push(sample);
      this.add(() => sample.stop(), sample.failed);
    }
  }

  /** What the stores refused can be listed and replayed from here on. */
  private serveDeadLetters(topics: Topics): void {
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
