import type { Clock } from '../pipelines/base/clock.ts';
import type { Payload, Payloads } from './generate-payloads.ts';
import type { Random } from './generate-random.ts';
import type { Sender } from './generate-sender.ts';

/** What happened so far. `sent` = `acknowledged` + `refused` + `unacknowledged` + `inFlight`, in spans. */
export class Tally {
  readonly requests = { sent: 0, acknowledged: 0, retried: 0 };
  readonly spans = { sent: 0, acknowledged: 0, refused: 0, unacknowledged: 0, inFlight: 0 };
  /** Of the acknowledged. Where a request was refused in part, its errors are not counted: nobody says which spans they were. */
  errorSpans = 0;
  /** Whole traces, every span of which was acknowledged. */
  readonly traces = { acknowledged: 0, error: 0, slow: 0 };
  bytes = 0;
  lastError = '';
}

export interface RunSettings {
  /** Spans a second; 0: as fast as they are acknowledged. */
  readonly rate: number;
  /** Infinity: until `signal` aborts or the payloads end. */
  readonly duration_ms: number;
  /** Requests under way at once on one connection. */
  readonly inFlight: number;
  /** A request that could not be delivered for so long is given up. */
  readonly giveUp_ms: number;
  /** Stops the run: what is under way is waited for, nothing is sent again. */
  readonly signal: AbortSignal;
}

const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 5000;
/** A receiver that was slow for longer than this does not get the rest in one burst. */
const CATCH_UP_MS_MAX = 1000;

/** Sends payloads over all senders until they end, `duration_ms` is over or the signal aborts. Traces that were begun are finished. */
export class GeneratorRun {
  readonly tally = new Tally();
  private readonly settings: RunSettings;
  private readonly payloads: Payloads;
  private readonly clock: Clock;
  private readonly random: Random;
  private started_ms = 0;
  /** Of the trace under way more has to come. */
  private whole = true;
  private ended = false;
  private turn: Promise<void> = Promise.resolve();
  private due_ms = 0;

  constructor(settings: RunSettings, payloads: Payloads, clock: Clock, random: Random) {
    this.settings = settings;
    this.payloads = payloads;
    this.clock = clock;
    this.random = random;
  }

  async run(senders: readonly Sender[]): Promise<void> {
    this.started_ms = this.due_ms = this.clock.now_ms();
    const slots = senders.flatMap((sender) => Array.from({ length: this.settings.inFlight }, () => this.slot(sender)));
    await Promise.all(slots);
  }

  elapsed_ms(): number {
    return this.clock.now_ms() - this.started_ms;
  }

  /** Sends one request after another. */
  private async slot(sender: Sender): Promise<void> {
    for (;;) {
      const payload = await this.take();
      if (payload === undefined) return;
      await this.deliver(payload, sender);
    }
  }

  /** The next payload, when it is due: slots wait in a queue, so that each is due after the one before it. */
  private async take(): Promise<Payload | undefined> {
    const before = this.turn;
    let release = (): void => {};
    this.turn = new Promise((resolve) => {
      release = resolve;
    });
    await before;
    const wait_ms = this.due_ms - this.clock.now_ms();
    if (wait_ms > 0 && !this.isOver()) await this.clock.sleep(Math.min(wait_ms, this.left_ms()), this.settings.signal);
    const payload = this.ended || (this.whole && this.isOver()) ? undefined : this.payloads.next();
    if (payload === undefined) this.ended = true;
    else this.count(payload);
    release();
    return payload;
  }

  private count(payload: Payload): void {
    const { tally, settings } = this;
    this.whole = payload.whole;
    tally.requests.sent++;
    tally.spans.sent += payload.spans;
    tally.spans.inFlight += payload.spans;
    if (settings.rate === 0) return;
    this.due_ms = Math.max(this.due_ms, this.clock.now_ms() - CATCH_UP_MS_MAX) + (payload.spans / settings.rate) * 1000;
  }

  private left_ms(): number {
    return this.settings.duration_ms - this.elapsed_ms();
  }

  private isOver(): boolean {
    return this.settings.signal.aborted || this.left_ms() <= 0;
  }

  private async deliver(payload: Payload, sender: Sender): Promise<void> {
    const { tally, clock, settings } = this;
    const begun_ms = clock.now_ms();
    for (let attempt = 0; ; attempt++) {
      const outcome = await sender.send(payload.bytes);
      if (outcome.kind === 'acknowledged') {
        tally.spans.inFlight -= payload.spans;
        this.acknowledge(payload, Math.min(outcome.rejected, payload.spans));
        if (outcome.rejected > 0) tally.lastError = outcome.message;
        return;
      }
      tally.lastError = outcome.message;
      if (outcome.kind === 'refused') {
        tally.spans.inFlight -= payload.spans;
        tally.spans.refused += payload.spans;
        return;
      }
      // Half of the wait is chance, so that senders that failed together do not come back together.
      const backoff_ms = Math.min(BACKOFF_MS_MIN * 2 ** attempt, BACKOFF_MS_MAX) * (0.5 + 0.5 * this.random.next());
      const wait_ms = outcome.after_ms ?? backoff_ms;
      const late = clock.now_ms() + wait_ms - begun_ms > settings.giveUp_ms;
      if (!late && !settings.signal.aborted) await clock.sleep(wait_ms, settings.signal);
      if (late || settings.signal.aborted) {
        tally.spans.inFlight -= payload.spans;
        tally.spans.unacknowledged += payload.spans;
        return;
      }
      tally.requests.retried++;
    }
  }

  private acknowledge(payload: Payload, rejected: number): void {
    const { tally } = this;
    tally.requests.acknowledged++;
    tally.bytes += payload.bytes.length;
    tally.spans.acknowledged += payload.spans - rejected;
    tally.spans.refused += rejected;
    if (rejected > 0) return;
    tally.errorSpans += payload.errorSpans;
    for (const { trace, spans } of payload.traces) {
      trace.pending -= spans;
      if (trace.pending > 0) continue;
      tally.traces.acknowledged++;
      if (trace.error) tally.traces.error++;
      if (trace.slow) tally.traces.slow++;
    }
  }
}
