import type { Block, EncodedBlock } from './block.ts';

/**
 * Tables are partitioned by toDate of the row's timestamp, and one insert must not touch two partitions: a block a table and UTC day.
 */

/** Blocks under way in one encoder, all tables together. More days than that in one batch are garbage; their rows are dropped and counted as `days_full`. */
export const BLOCKS_MAX = 256;
/** Empty blocks kept for reuse, a table. Two are under way around midnight; the rest of them would only hold memory. */
const SPARE_BLOCKS_MAX = 4;
/** 2106-02-06, the last day that fits DateTime: the tables sort and expire by toDateTime(Timestamp), which would wrap around behind it. */
export const DAY_MAX = 49_709;

const DAY_NS_OVER_2_14 = 5_273_437_500; // 86,400 × 10⁹ / 2¹⁴

/** Days since 1970 of unsigned nanoseconds in two halves, each signed or not. Exact: the low 14 bits cannot matter, and without them a double holds the rest. */
export function dayOf(lo: number, hi: number): number {
  return Math.floor(((hi >>> 0) * 0x4_0000 + (lo >>> 14)) / DAY_NS_OVER_2_14);
}

/** How many blocks may still be begun; shared by the tables of one encoder. */
export class Room {
  left = BLOCKS_MAX;
}

/** The blocks of one table by day. */
export class Days<B extends Block> {
  private readonly make: () => B;
  private readonly room: Room;
  private readonly byDay = new Map<number, B>();
  private readonly spare: B[] = [];
  private lastDay = -1;
  private last: B | undefined;

  constructor(room: Room, make: () => B) {
    this.room = room;
    this.make = make;
  }

  /** The day's block, begun if need be. Undefined where the day is new and there is no room. */
  block(day: number): B | undefined {
    if (day === this.lastDay) return this.last;
    let block = this.byDay.get(day);
    if (block === undefined) {
      if (this.room.left === 0) return undefined;
      this.room.left--;
      block = this.spare.pop() ?? this.make();
      this.byDay.set(day, block);
    }
    this.lastDay = day;
    this.last = block;
    return block;
  }

  size(): number {
    let size = 0;
    for (const block of this.byDay.values()) size += block.size();
    return size;
  }

  /** Hands out each day's block, oldest first, and forgets them. */
  drain(sink: (block: EncodedBlock) => void): void {
    const days = [...this.byDay.keys()].sort((a, b) => a - b);
    for (const day of days) {
      const block = this.byDay.get(day)!;
      if (block.rows > 0) sink({ table: block.table, day, columns: block.names, rows: block.rows, native: block.native() });
      block.clear();
      if (this.spare.length < SPARE_BLOCKS_MAX) this.spare.push(block);
    }
    this.room.left += days.length;
    this.byDay.clear();
    this.lastDay = -1;
    this.last = undefined;
  }
}
