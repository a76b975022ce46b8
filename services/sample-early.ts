import type { Clock } from '../pipelines/base/clock.ts';
import type { Log } from '../pipelines/base/log.ts';
import type { SampleMetrics } from '../pipelines/sample/metrics.ts';

const WARN_EVERY_MS = 60_000;

/**
 * Warns, at most once a minute for all partitions of a stage, that a limit of memory decides traces before decision_wait is over: their
 * late spans and errors may be missed, which the counters show only to those who look.
 */
export class EarlyWarning {
  private readonly stage: string;
  private readonly log: Log;
  private readonly clock: Clock;
  private readonly seen = new WeakMap<SampleMetrics, { heldBytes_max: number; traces_max: number }>();
  private heldBytes_records = 0;
  private traces_records = 0;
  private warned_ms = -Infinity;

  constructor(stage: string, log: Log, clock: Clock) {
    this.stage = stage;
    this.log = log;
    this.clock = clock;
  }

  /** Called now and then with the counts of one partition's sampler. */
  look(metrics: SampleMetrics): void {
    const { heldBytes_max, traces_max } = metrics.earlyRecords;
    const seen = this.seen.get(metrics) ?? { heldBytes_max: 0, traces_max: 0 };
    this.heldBytes_records += heldBytes_max - seen.heldBytes_max;
    this.traces_records += traces_max - seen.traces_max;
    this.seen.set(metrics, { heldBytes_max, traces_max });
    if (this.heldBytes_records + this.traces_records === 0) return;
    const now_ms = this.clock.now_ms();
    if (now_ms - this.warned_ms < WARN_EVERY_MS) return;
    this.warned_ms = now_ms;
    const limits: string[] = [];
    if (this.heldBytes_records > 0) limits.push('held_bytes_max');
    if (this.traces_records > 0) limits.push('traces_max');
    this.log.warn(
      { stage: this.stage, limits, records: this.heldBytes_records + this.traces_records },
      `traces are decided before decision_wait is over, because ${limits.join(' and ')} of tail_sampling is reached: raise it, shorten decision_wait, or spread the load over more partitions`,
    );
    this.heldBytes_records = this.traces_records = 0;
  }
}
