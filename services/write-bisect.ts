import type { EncodedBlock } from '../pipelines/encode/block.ts';
import type { Inserted } from './write-insert.ts';
import type { HalvedAt, Refused } from './write-note.ts';
import type { BatchRows } from './write-rows.ts';

interface BisectParts {
  readonly rows: BatchRows;
  readonly table: string;
  readonly day: number;
  /** Refused inserts after which what is refused is not halved any more. */
  readonly refusals_max: number;
  /** Tries until the block is stored or refused; `range` goes into the token. */
  readonly insert: (block: EncodedBlock, range: string) => Promise<Inserted>;
  /** Commits where this stands. */
  readonly note: (at: HalvedAt, refused?: Refused) => Promise<void>;
  /** False: given up. */
  readonly dead: (group: BatchRows['rows'], refused: Refused) => Promise<boolean>;
}

/** Where a process before this one was: see write-note.ts. */
export interface BisectStart {
  readonly from: number;
  readonly to: number;
  readonly refused: Refused | undefined;
}

/**
 * Finds the rows at fault in a block that ClickHouse refuses: halves it, stores the halves that are taken, halves the others, until single rows are
 * left; those become dead letters. With n bad rows in a block of N that takes about 2 · n · log₂ N inserts.
 *
 * Exactly once, whatever crashes and however ClickHouse's answers change in between (a constraint may be dropped meanwhile): the rows are dealt with
 * from the left, and before each insert the note says which range it is of. A process that comes after tries just that range, with its token, before
 * anything else; and before a dead letter is written the note says that its rows were refused, so that they are not stored as well.
 */
export class Bisection {
  /** Rows that became dead letters. */
  deadRows = 0;
  private readonly parts: BisectParts;
  private refusals = 0;

  constructor(parts: BisectParts) {
    this.parts = parts;
  }

  /** @param from the refusal of the whole block, or where an earlier process was. False: given up, the note stands. */
  async run(from: { readonly rows: number; readonly refused: Refused } | BisectStart): Promise<boolean> {
    const { rows, table, day, insert, note, refusals_max } = this.parts;
    let at = 0;
    // Ends of ranges that are still to be dealt with, the innermost last.
    const ends = [rows.count];
    // So many rows were refused together: a range with all of them in it is refused too.
    let known: { readonly rows: number; readonly refused: Refused } | undefined;
    if ('from' in from) {
      at = from.from;
      if (from.refused === undefined) ends.push(from.to);
      else {
        if (!(await this.bury(at, from.to, from.refused, false))) return false;
        at = from.to;
      }
    } else known = from;
    for (let to = ends.at(-1); to !== undefined; to = ends.at(-1)) {
      const block = at < to ? rows.encode(at, to, table, day) : undefined;
      if (block === undefined) {
        at = to;
        ends.pop();
        continue;
      }
      let refused = block.rows === known?.rows ? known.refused : undefined;
      if (refused === undefined) {
        await note([table, day, at, to]);
        const inserted = await insert(block, `${at}-${to}`);
        if (inserted === 'given up') return false;
        if (inserted !== undefined) {
          refused = [inserted.reason, inserted.message];
          this.refusals++;
        }
      }
      known = undefined;
      if (refused !== undefined && block.rows > 1 && this.refusals < refusals_max) {
        known = { rows: block.rows, refused };
        ends.push(at + ((to - at) >> 1));
        continue;
      }
      if (refused !== undefined && !(await this.bury(at, to, refused, true))) return false;
      at = to;
      ends.pop();
    }
    return true;
  }

  private async bury(from: number, to: number, refused: Refused, isNew: boolean): Promise<boolean> {
    const { rows, table, day, note, dead } = this.parts;
    if (isNew) await note([table, day, from, to], refused);
    for (const group of rows.groups(from, to, table, day)) {
      if (!(await dead(group, refused))) return false;
      this.deadRows += group.length;
    }
    return true;
  }
}
