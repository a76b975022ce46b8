import type { Encoding } from '../otlp/replies.ts';
import type { Signal } from '../otlp/walk.ts';

/** What became of a request that was taken. `rejected` > 0 or a `message` make the answer a partial success. */
export interface Outcome {
  /** Items of the signal that were refused for good: spans, data points, log records. */
  readonly rejected: number;
  /** Why, for the sender's developer. Empty on full success. */
  readonly message: string;
}

/**
 * What a server does with a request: `body` is decompressed and stays valid until the promise settles, which is when every
 * accepted item is durable. @throws Reject (never retry), Busy (retry later); anything else is answered as an internal error.
 */
export type Receive = (signal: Signal, body: Buffer, encoding: Encoding) => Promise<Outcome>;

/** A server that listens. */
export interface Listener {
  /** The port that was bound: of interest where the settings say 0. */
  readonly port: number;
  /** Takes no more connections and requests, lets those under way end, cuts what is left after `deadline_ms`. Resolves when every connection is closed. */
  drain(deadline_ms: number): Promise<void>;
}

/** Where a server listens. `setting` is what a person would change in the file, for error messages. */
export interface Endpoint {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly setting: string;
}

/** Why a body was refused for its size; HTTP answers it with 413 instead of 400. */
export const TOO_LARGE = 'too_large';
/** Why a sender was refused for having more than its share: HTTP answers it with 429 instead of 503. */
export const QUOTA = 'quota';
