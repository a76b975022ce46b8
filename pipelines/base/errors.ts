/**
 * Errors say what the caller must do (DESIGN, Contracts):
 *
 *  - `Reject`: the same bytes will never be accepted. Answer 400 / INVALID_ARGUMENT, never retry.
 *  - `Busy`: fine later. Answer 503 or 429 with Retry-After / UNAVAILABLE with RetryInfo.
 *  - anything else is a bug of ours: let it crash, the log replays.
 */

/** Never retry. `reason` is a short snake_case word used as a metric label: keep the set of reasons small and fixed. */
export class Reject extends Error {
  override readonly name: string = 'Reject';
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Bytes that do not follow the protobuf wire format. `offset` counts bytes from the start of the buffer that was read. */
export class Malformed extends Reject {
  override readonly name = 'Malformed';
  readonly offset: number;
  constructor(message: string, offset: number) {
    super('malformed', `${message} at byte ${offset}`);
    this.offset = offset;
  }
}

/** Retry after `retryAfter_ms`. */
export class Busy extends Error {
  override readonly name = 'Busy';
  readonly reason: string;
  readonly retryAfter_ms: number;
  constructor(reason: string, message: string, retryAfter_ms: number) {
    super(message);
    this.reason = reason;
    this.retryAfter_ms = retryAfter_ms;
  }
}

/** What a person can mend: a port in use, a folder that is not writable. The command line prints `message` and `hint` without a stack, and exits 1. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}
