import type { Clock } from '../pipelines/base/clock.ts';
import type { StageCounters } from '../pipelines/base/counters.ts';
import { Reject } from '../pipelines/base/errors.ts';
import type { Log } from '../pipelines/base/log.ts';
import { defaultValidateSettings, type ValidateSettings } from '../pipelines/otlp/validate-item.ts';
import type { Signal } from '../pipelines/otlp/walk.ts';
import { Admission, admissionDefaults, type AdmissionSettings } from '../pipelines/receive/admission.ts';
import { listenGrpc, type GrpcSettings } from '../pipelines/receive/grpc.ts';
import { listenHttp, type HttpSettings } from '../pipelines/receive/http.ts';
import type { Listener, Receive } from '../pipelines/receive/receive.ts';
import type { Topics } from '../pipelines/topic/topic.ts';
import { DeadOutlet } from './dead-outlet.ts';
import { BranchPath, SignalPath, type Branch } from './ingest-path.ts';

export interface IngestSettings {
  /** Absent: this protocol is not offered. */
  readonly grpc?: GrpcSettings;
  readonly http?: HttpSettings;
  readonly admission: AdmissionSettings;
  readonly limits: ValidateSettings;
  readonly branches: readonly Branch[];
  /** A batch goes to the log when it holds this many bytes … */
  readonly batch_bytes_max: number;
  /** … or when its first item is this old. */
  readonly linger_ms: number;
  /** Bytes of OTLP of one record; larger parts are cut, an item that alone is larger is refused. */
  readonly record_bytes_max: number;
  /** Requests under way may end for this long after `drain` began. */
  readonly drainDeadline_ms: number;
}

export interface IngestParts {
  readonly settings: IngestSettings;
  readonly topics: Topics;
  readonly log: Log;
  readonly clock: Clock;
}

export interface Ingest {
  /** The ports that were bound. */
  readonly listening: { readonly grpc: number | undefined; readonly http: number | undefined };
  /** One for each branch, named `ingest.TOPIC`, in items. */
  readonly counters: readonly StageCounters[];
  readonly admission: Admission;
  /** Letters written to the dead-letter topic, by reason. */
  readonly deadLetters: ReadonlyMap<string, number>;
  /** Takes no more, answers what is under way, flushes. What was acknowledged is durable when it resolves; what could not be answered in time was not acknowledged. */
  drain(): Promise<void>;
}

/** What nobody has to set. */
export const ingestDefaults = {
  admission: admissionDefaults,
  limits: defaultValidateSettings,
  batch_bytes_max: 256 * 1024,
  linger_ms: 5,
  record_bytes_max: 2 ** 20,
  drainDeadline_ms: 30_000,
} as const;

const DRAIN_FLUSH_EVERY_MS = 20;

/**
 * The role `ingest`: OTLP in, records in the log, then the acknowledgement.
 * A signal without a branch is refused: UNIMPLEMENTED would say that this version never takes it, so it is INVALID_ARGUMENT with the reason.
 * @throws OperatorError when a port cannot be had
 */
export async function startIngest(parts: IngestParts): Promise<Ingest> {
  const { settings, topics, log, clock } = parts;
  const admission = new Admission(settings.admission);
  const dead = new DeadOutlet(topics, log, clock);
  const { batch_bytes_max, linger_ms, record_bytes_max } = settings;
  const pending_bytes_max = settings.admission.inFlight_bytes_max;
  const branches = settings.branches.map(
    (branch) => new BranchPath(branch, { topics, dead, clock, batch_bytes_max, linger_ms, record_bytes_max, pending_bytes_max }),
  );
  const paths = new Map<Signal, SignalPath>();
  for (const signal of ['traces', 'metrics', 'logs'] as const) {
    const own = branches.filter((path) => path.branch.signal === signal);
    const failed = (error: unknown): void => log.warn({ err: error, signal }, 'append failed: the sender was told to retry');
    if (own.length > 0) paths.set(signal, new SignalPath(signal, own, settings.limits, clock, failed));
  }
  const receive: Receive = async (signal, body, encoding) => {
    const path = paths.get(signal);
    if (path === undefined) throw new Reject('no_pipeline', `no pipeline takes ${signal} here`);
    return path.receive(body, encoding);
  };

  const grpc = settings.grpc === undefined ? undefined : await listenGrpc(settings.grpc, receive, admission, log);
  let http: Listener | undefined;
  try {
    http = settings.http === undefined ? undefined : await listenHttp(settings.http, receive, admission, log, clock);
  } catch (error) {
    await grpc?.drain(0);
    throw error;
  }

  return {
    listening: { grpc: grpc?.port, http: http?.port },
    counters: branches.map((path) => path.counters),
    admission,
    deadLetters: dead.letters,
    drain: async () => {
      admission.close();
      const deadline_ms = settings.drainDeadline_ms;
      const closed = new AbortController();
      const listeners = Promise.all([grpc?.drain(deadline_ms), http?.drain(deadline_ms)]).finally(() => closed.abort());
      // Requests under way wait for their batches: no need to let those linger.
      while (!closed.signal.aborted) {
        await Promise.allSettled(branches.map((path) => path.batcher.flush()));
        await clock.sleep(DRAIN_FLUSH_EVERY_MS, closed.signal);
      }
      await listeners;
      await Promise.allSettled(branches.map((path) => path.batcher.close()));
    },
  };
}
