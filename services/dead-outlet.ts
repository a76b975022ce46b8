import type { Clock } from '../pipelines/base/clock.ts';
import { Busy, Reject } from '../pipelines/base/errors.ts';
import type { Log } from '../pipelines/base/log.ts';
import { DEAD_PARTITION, DEAD_TOPIC, encodeDeadLetter, type DeadLetter } from '../pipelines/topic/dead-letter.ts';
import type { Topics } from '../pipelines/topic/topic.ts';

/** Where a stage puts what is refused for good. Letters are counted by reason. */
export class DeadOutlet {
  /** reason → letters appended. */
  readonly letters = new Map<string, number>();
  private readonly topics: Topics;
  private readonly log: Log;
  private readonly clock: Clock;

  constructor(topics: Topics, log: Log, clock: Clock) {
    this.topics = topics;
    this.log = log;
    this.clock = clock;
  }

  /** Resolves when the letter is durable; a letter too large for the log goes without its data. @throws Busy */
  async append(letter: DeadLetter): Promise<void> {
    try {
      await this.put(letter);
    } catch (error) {
      if (!(error instanceof Reject)) throw error;
      const { topic, offset, item, items } = letter;
      this.log.error({ topic, offset, item, items, message: error.message }, 'too large for a dead letter: only its ids are kept');
      await this.put({ ...letter, raw_bytes: 0, codec: 'none', data: letter.data.subarray(0, 0) });
    }
    this.letters.set(letter.reason, (this.letters.get(letter.reason) ?? 0) + 1);
  }

  /** Tries until it is durable. False where `stop` was aborted before. */
  async appendUntil(letter: DeadLetter, stop: AbortSignal): Promise<boolean> {
    for (let waits = 0; ; waits++) {
      try {
        await this.append(letter);
        return true;
      } catch (error) {
        if (!(error instanceof Busy)) throw error;
        if (stop.aborted) return false;
        if (waits === 0) this.log.warn({ reason: error.reason }, `cannot append a dead letter for now: ${error.message}`);
        await this.clock.sleep(error.retryAfter_ms, stop);
      }
      if (stop.aborted) return false;
    }
  }

  private async put(letter: DeadLetter): Promise<void> {
    const value = encodeDeadLetter(letter);
    const headers = { format: 1, codec: 'none', items: letter.items, raw_bytes: value.length } as const;
    await this.topics.append(DEAD_TOPIC, DEAD_PARTITION, value, headers);
  }
}
