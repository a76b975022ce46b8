import { wallClock, type Clock } from '../../pipelines/base/clock.ts';

/** Time passes only when a test says so, apart from sleeps: those are real and short, so that the loops of a log turn. */
export class HandClock implements Clock {
  /** BASE_NS of kit/otlp.ts, in milliseconds. */
  time_ms = 1_780_000_000_000;

  now_ms(): number {
    return this.time_ms;
  }

  sleep(_delay_ms: number, signal?: AbortSignal): Promise<void> {
    return wallClock.sleep(2, signal);
  }
}
