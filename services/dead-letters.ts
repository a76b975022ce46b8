import type { Clock } from '../pipelines/base/clock.ts';
import { Busy, Reject } from '../pipelines/base/errors.ts';
import type { Log } from '../pipelines/base/log.ts';
import type { Store } from '../pipelines/store/client.ts';
import { decodeDeadLetter, keyOf, type DeadLetter } from '../pipelines/topic/dead-letter.ts';
import type { Topics } from '../pipelines/topic/topic.ts';
import { DeadOutlet } from './dead-outlet.ts';
import { replayLetter } from './dead-replay.ts';
import { scanDeadLetters, type DeadScan } from './dead-scan.ts';

/** Both ends are included. */
export interface DeadFilter {
  readonly reason: string | undefined;
  readonly from: number | undefined;
  readonly to: number | undefined;
}

export interface FoundLetter {
  /** Its offset in the dead-letter topic. */
  readonly number: number;
  readonly time_ms: number;
  /** Neither replayed nor dropped. */
  readonly open: boolean;
  readonly letter: DeadLetter;
}

export interface Progress {
  /** Letters replayed, or dropped. */
  done: number;
  /** Letters that were refused again; they stay. */
  refused: number;
  /** Of all letters looked at: the last one's number, and where it ends. */
  at: number;
  end: number;
  /** Why the last refused one was. */
  message: string;
}

export interface DeadLettersParts {
  readonly topics: Topics;
  readonly clock: Clock;
  readonly log: Log;
  /** Where letters go back to, by the consumer group that refused them. */
  readonly stores: readonly { readonly group: string; readonly store: Store }[];
}

type Outcome = 'done' | 'keep';

// Letters seen, by their keys, to tell one that a crash wrote twice.
const KEYS_MAX = 10_000;
const SAVE_EVERY = 100;

/** The dead letters of a running process: listed, shown, replayed, dropped; one call at a time. */
export class DeadLetters {
  private readonly parts: DeadLettersParts;
  private readonly outlet: DeadOutlet;
  private readonly stopping = new AbortController();
  private underWay: Promise<void> | undefined;

  constructor(parts: DeadLettersParts) {
    this.parts = parts;
    this.outlet = new DeadOutlet(parts.topics, parts.log, parts.clock);
  }

  /** The newest `limit` that match, oldest first, and how many match. @throws Busy */
  async list(filter: DeadFilter, all: boolean, limit: number): Promise<{ letters: FoundLetter[]; matching: number }> {
    const letters: FoundLetter[] = [];
    let matching = 0;
    await this.scan(false, async (found) => {
      if (!matches(filter, found) || !(all || found.open)) return 'keep';
      matching++;
      letters.push(found);
      if (letters.length > limit) letters.shift();
      return 'keep';
    });
    return { letters, matching };
  }

  /** @throws Busy */
  async find(number: number): Promise<FoundLetter | undefined> {
    const { letters } = await this.list({ reason: undefined, from: number, to: number }, true, 1);
    return letters[0];
  }

  /** Stores the open letters that match. Those that are refused again stay. @throws Busy where ClickHouse or the log takes nothing; what was replayed until then is done with */
  replay(filter: DeadFilter, told: (progress: Progress) => void): Promise<Progress> {
    return this.settle(filter, told, (found) => this.send(found));
  }

  /** Forgets the open letters that match. @throws Busy */
  drop(filter: DeadFilter, told: (progress: Progress) => void): Promise<Progress> {
    return this.settle(filter, told, async () => undefined);
  }

  /** Ends what is under way; what was replayed is remembered. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.underWay;
  }

  private async settle(
    filter: DeadFilter,
    told: (progress: Progress) => void,
    act: (found: FoundLetter) => Promise<void>,
  ): Promise<Progress> {
    const progress: Progress = { done: 0, refused: 0, at: 0, end: 0, message: '' };
    await this.scan(true, async (found, end) => {
      progress.at = found.number;
      progress.end = end;
      let outcome: Outcome = 'keep';
      if (found.open && matches(filter, found)) {
        try {
          await act(found);
          progress.done++;
          outcome = 'done';
        } catch (error) {
          if (!(error instanceof Reject)) throw error;
          progress.refused++;
          progress.message = error.message;
        }
      }
      told(progress);
      return outcome;
    });
    return progress;
  }

  private async send({ number, time_ms, letter }: FoundLetter): Promise<void> {
    const { stores } = this.parts;
    if (letter.data.length === 0) throw new Reject('no_data', 'the item was too large, only its ids were kept');
    const target = stores.find(({ group }) => group === letter.stage);
    if (target === undefined) throw new Reject('no_exporter', `${letter.stage} does not run in this process`);
    await replayLetter(target.store, this.outlet, number, time_ms, letter);
  }

  private scan(fromFirstOpen: boolean, visit: (found: FoundLetter, end: number) => Promise<Outcome>): Promise<void> {
    if (this.underWay !== undefined)
      return Promise.reject(new Busy('dead_busy', 'the dead letters are being read or replayed already', 1_000));
    const outcomes = new Map<string, Outcome>();
    const scan: DeadScan = {
      letters: async (records, done, save, end) => {
        let unsaved = 0;
        try {
          for (const record of records) {
            if (this.stopping.signal.aborted) return;
            const letter = decodeDeadLetter(record.value);
            const open = !done.has(record.offset);
            const key = keyOf(letter);
            // One that a crash wrote twice goes the way of the first.
            const outcome = outcomes.get(key) ?? (await visit({ number: record.offset, time_ms: record.time_ms, open, letter }, end));
            remember(outcomes, key, outcome);
            if (!open || outcome === 'keep') continue;
            done.add(record.offset);
            if (++unsaved % SAVE_EVERY === 0) await save();
          }
        } finally {
          if (unsaved % SAVE_EVERY !== 0) await save();
        }
      },
    };
    const work = scanDeadLetters(this.parts.topics, fromFirstOpen, scan, this.stopping.signal);
    this.underWay = work.then(
      () => undefined,
      () => undefined,
    );
    return work.finally(() => {
      this.underWay = undefined;
    });
  }
}

function remember(outcomes: Map<string, Outcome>, key: string, outcome: Outcome): void {
  outcomes.set(key, outcome);
  if (outcomes.size <= KEYS_MAX) return;
  for (const oldest of outcomes.keys()) {
    outcomes.delete(oldest);
    return;
  }
}

function matches({ reason, from, to }: DeadFilter, { number, letter }: FoundLetter): boolean {
  return (reason === undefined || letter.reason === reason) && (from === undefined || number >= from) && (to === undefined || number <= to);
}
