/** The wall, handed in so that tests and the simulation own time. Only receive, topic, store and services may hold one. */
export interface Clock {
  /** Milliseconds since 1970. */
  now_ms(): number;
  /** Resolves after `delay_ms`, or at once when `signal` aborts. */
  sleep(delay_ms: number, signal?: AbortSignal): Promise<void>;
}

export const wallClock: Clock = {
  now_ms: () => Date.now(),
  sleep: (delay_ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, delay_ms);
      signal?.addEventListener('abort', done);
    }),
};
