import { parseArgs } from 'node:util';
import { createLog, type Log } from '../pipelines/base/log.ts';
import { planOrExplain } from './check.ts';
import { weighBuffersWithHeap } from './collector.ts';
import { serveDeadLetters } from './dead-server.ts';
import { formatEndpoint, parseEndpoint } from './endpoint.ts';
import { startObserver } from './observe.ts';
import { Reloads } from './reload.ts';
import { roleMetrics } from './role-metrics.ts';
import { Running } from './running.ts';

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
