import { Busy, Reject } from '../base/errors.ts';
import { TOO_LARGE } from './receive.ts';

export interface AdmissionSettings {
  /** Bytes received and not yet acknowledged, over all requests of all protocols. Should hold several of the largest requests, compressed and not, at once. */
  readonly inFlight_bytes_max: number;
  /** What a sender that is refused is told to wait. */
  readonly retryAfter_ms: number;
}

export const admissionDefaults = { inFlight_bytes_max: 256 * 1024 * 1024, retryAfter_ms: 1_000 } as const;

/**
 * The budget of bytes in flight. A request holds its bytes from their arrival to its answer, so what waits for the log
 * is bounded; over the budget a sender is told to come back (OTLP specification, Throttling).
 */
export class Admission {
  /** Requests that began. */
  requests = 0;
  /** Request bytes as they came over the wire (gRPC: after decompression, which grpc-js does before we see them). */
  received_bytes = 0;
  inFlight_bytes = 0;
  inFlightRequests = 0;
  /** reason → requests that were answered with an error. */
  readonly refused = new Map<string, number>();
  private readonly settings: AdmissionSettings;
  private closed = false;

  constructor(settings: AdmissionSettings) {
    this.settings = settings;
  }

  /** A request begins. @throws Busy when draining, or when the budget is already used up */
  begin(): Lease {
    const busy = this.whyBusy();
    if (busy !== undefined) throw busy;
    return new Lease(this);
  }

  /** What `begin` would throw now. */
  whyBusy(): Busy | undefined {
    if (this.closed) return new Busy('draining', 'this replica is shutting down', this.settings.retryAfter_ms);
    return this.inFlight_bytes >= this.settings.inFlight_bytes_max ? this.full() : undefined;
  }

  /** From now on `begin` throws Busy. */
  close(): void {
    this.closed = true;
  }

  /** Counts a request that was answered with an error. Reasons are those of Reject and Busy, and a few fixed words of the servers. */
  refuse(reason: string): void {
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
  }

  /** For Lease, which has `held` already. @throws Busy, Reject */
  reserve(bytes: number, held: number): void {
    const { inFlight_bytes_max } = this.settings;
    // Told to come back, it would come back for ever.
    if (held + bytes > inFlight_bytes_max)
      throw new Reject(TOO_LARGE, `one request needs more than the ${inFlight_bytes_max} bytes for all requests in flight`);
    if (this.inFlight_bytes + bytes > inFlight_bytes_max) throw this.full();
    this.inFlight_bytes += bytes;
  }

  private full(): Busy {
    const { inFlight_bytes_max, retryAfter_ms } = this.settings;
    return new Busy('in_flight_bytes', `${inFlight_bytes_max} bytes are waiting to be stored already`, retryAfter_ms);
  }
}

/** What one request holds of the budget. */
export class Lease {
  bytes = 0;
  private readonly admission: Admission;
  private ended = false;

  constructor(admission: Admission) {
    this.admission = admission;
    admission.requests++;
    admission.inFlightRequests++;
  }

  /** @throws Busy, and takes nothing, where the budget does not hold them now; Reject('too_large') where it never would */
  take(bytes: number): void {
    this.admission.reserve(bytes, this.bytes);
    this.bytes += bytes;
  }

  give(bytes: number): void {
    this.admission.inFlight_bytes -= bytes;
    this.bytes -= bytes;
  }

  /** The request was answered, or its sender is gone. Calling it again does nothing. */
  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.give(this.bytes);
    this.admission.inFlightRequests--;
  }
}
