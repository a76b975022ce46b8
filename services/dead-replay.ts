import { Reject } from '../pipelines/base/errors.ts';
import type { EncodedBlock } from '../pipelines/encode/block.ts';
import { createEncoder } from '../pipelines/encode/encoder.ts';
import type { Store } from '../pipelines/store/client.ts';
import { insertBlock } from '../pipelines/store/insert.ts';
import { keyOf, type DeadLetter } from '../pipelines/topic/dead-letter.ts';
import { decompress } from '../pipelines/topic/record.ts';
import type { DeadOutlet } from './dead-outlet.ts';
import { Bisection } from './write-bisect.ts';
import { BatchRows } from './write-rows.ts';

/**
 * Inserts a letter's rows where they were refused, by the letter's own token: a replay that is repeated after a crash, or of a letter that a crash
 * wrote twice, stores nothing twice. What of a group is refused again comes back as letters of its own, and the group is done with.
 * @throws Busy (later), or Reject where nothing came of it: the letter stays
 */
export async function replayLetter(store: Store, dead: DeadOutlet, number: number, time_ms: number, letter: DeadLetter): Promise<void> {
  const value = decompress({
    value: letter.data,
    headers: { format: 1, codec: letter.codec, items: letter.items, raw_bytes: letter.raw_bytes },
  });
  const encoder = createEncoder(letter.signal);
  encoder.add(value);
  const blocks: EncodedBlock[] = [];
  encoder.finish((block) => blocks.push(block));
  if (blocks.length === 0) throw new Reject('no_rows', 'no row comes of it');
  const token = (block: EncodedBlock, range: string): string => `dead:${keyOf(letter)}:${block.table}:${block.day}${range}`;
  let rows: BatchRows | undefined;
  for (const block of blocks) {
    try {
      await insertBlock(store, block, token(block, ''));
    } catch (error) {
      if (!(error instanceof Reject) || letter.items === 1) throw error;
      rows ??= new BatchRows(letter.signal, [value]);
      await splitGroup(store, dead, { number, time_ms, letter, rows, block, token }, error);
    }
  }
}

interface Group {
  readonly number: number;
  readonly time_ms: number;
  readonly letter: DeadLetter;
  readonly rows: BatchRows;
  readonly block: EncodedBlock;
  readonly token: (block: EncodedBlock, range: string) => string;
}

async function splitGroup(store: Store, dead: DeadOutlet, group: Group, error: Reject): Promise<void> {
  const { letter, rows, block, token } = group;
  const bisection = new Bisection({
    rows,
    table: block.table,
    day: block.day,
    refusals_max: Number.POSITIVE_INFINITY,
    insert: async (half, range) => {
      try {
        await insertBlock(store, half, token(half, `:${range}`));
        return undefined;
      } catch (refused) {
        if (refused instanceof Reject) return refused;
        throw refused;
      }
    },
    // After a crash the same halves come in the same order, with the same tokens.
    note: async () => undefined,
    dead: async (part, [reason, message]) => {
      const data = rows.otlp(part);
      await dead.append({
        ...letter,
        ...rows.ids(part[0]!),
        // Its place is in this letter now, so that its key is its own.
        topic: 'dead',
        partition: 0,
        offset: group.number,
        time_ms: group.time_ms,
        item: part[0]!.index,
        items: part.length,
        table: block.table,
        reason,
        message,
        codec: 'none',
        raw_bytes: data.length,
        data,
      });
      return true;
    },
  });
  await bisection.run({ rows: block.rows, refused: [error.reason, error.message] });
}
