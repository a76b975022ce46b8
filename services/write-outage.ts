import type { Clock } from '../pipelines/base/clock.ts';
import type { Log } from '../pipelines/base/log.ts';

/** Says once that ClickHouse takes nothing, and once that it does again, however many partitions wait for it. */
export class Outage {
  since_ms: number | undefined;
  private readonly log: Log;
  private readonly clock: Clock;

  constructor(log: Log, clock: Clock) {
    this.log = log;
    this.clock = clock;
  }

  began(reason: string, message: string): void {
    if (this.since_ms !== undefined) return;
    this.since_ms = this.clock.now_ms();
    this.log.warn({ reason, message }, 'ClickHouse takes no inserts: reading waits, the log keeps what comes in');
  }

  ended(): void {
    if (this.since_ms === undefined) return;
    this.log.info({ outage_ms: this.clock.now_ms() - this.since_ms }, 'ClickHouse takes inserts again');
    this.since_ms = undefined;
  }
}
