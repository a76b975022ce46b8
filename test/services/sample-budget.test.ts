import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readNote } from '../../pipelines/sample/note.ts';
import { BLOCK_MS } from '../../pipelines/sample/policies/rate-limit.ts';
import { Sampler } from '../../pipelines/sample/sampler.ts';
import { TraceTable } from '../../pipelines/sample/trace-table.ts';
import { decompress } from '../../pipelines/topic/record.ts';
import { PartitionBudget, type AskBudget } from '../../services/sample-budget.ts';
import { seeded } from '../kit/random.ts';

const FIRST_BLOCK = 178_000_000;
const SEEDS = 300;

/** Redis as the script of services/sample-budget.ts has it; requests and answers get lost, and at times all that it knew. */
class LossyRedis {
  taken = 0;
  private blocks = new Map<number, { pool: number; had: Map<number, number> }>();
  private readonly random: () => number;
  constructor(random: () => number) {
    this.random = random;
  }
  readonly ask: AskBudget = async (_limit, partition, block, spans) => {
    if (this.random() < 0.15) return undefined;
    if (this.random() < 0.02) this.blocks.clear();
    const entry = this.blocks.get(block) ?? { pool: 0, had: new Map<number, number>() };
    this.blocks.set(block, entry);
    let has = entry.had.get(partition);
    if (has === undefined) {
      has = spans > 0 ? Math.min(spans, entry.pool) : spans;
      entry.pool -= has;
      entry.had.set(partition, has);
      if (has > 0) this.taken++;
    }
    return this.random() < 0.15 ? undefined : has;
  };
}

test('the shares of all partitions together never exceed the limit, whatever Redis loses and whoever crashes when; what was settled stays', async () => {
  let above = 0;
  let taken = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = seeded(seed);
    const int = (n: number): number => Math.floor(random() * n);
    const partitions = 2 + int(5);
    const limit = 1 + int(200);
    const redis = new LossyRedis(random);
    const table = new TraceTable(0, 1);
    const slot = table.begin(Buffer.alloc(16, 1), 0, 0);
    const notes: string[] = [];
    const begin = (partition: number) => {
      const sampler = new Sampler({
        settings: {
          decisionWait_ms: 0,
          lateWait_ms: 1e6,
          heldBytes_max: 1e9,
          traces_max: 1e9,
          policies: [{ name: 'rate', type: 'rate_limiting', spansPerSecond: limit }],
        },
        sink: () => {},
        unpack: decompress,
        place: { partition, partitions },
      });
      const note = notes[partition];
      sampler.restore(0, note === undefined ? undefined : readNote(note));
      return { sampler, budget: new PartitionBudget(sampler, redis.ask, partition, partitions) };
    };
    const all = Array.from({ length: partitions }, (_, partition) => begin(partition));
    const settled = new Map<number, number[]>();
    for (let step = 0; step < 12; step++) {
      const block = FIRST_BLOCK + step;
      for (const part of [0.1, 0.6, 0.9]) {
        const time_ms = (block + part) * BLOCK_MS;
        for (let partition = 0; partition < partitions; partition++) {
          // A crash between any two of the things below.
          const crash = random() < 0.05 ? int(3) : 3;
          const one = all[partition]!;
          if (one.budget.enter(time_ms) && crash > 0) {
            notes[partition] = one.sampler.note(3_600);
            const shares = settled.get(block) ?? [];
            settled.set(block, shares);
            shares[partition] = one.sampler.limits[0]!.share(block * 10 + 3);
            if (crash > 1) one.budget.settled();
          }
          one.budget.look(time_ms);
          if (crash < 3) all[partition] = begin(partition);
          const now = all[partition]!.sampler;
          if (now.settledBlock === block)
            assert.equal(now.limits[0]!.share(block * 10 + 3), settled.get(block)![partition], `seed ${seed}`);
          table.spans[slot] = Math.min(limit, 1 + int(random() < 0.5 ? 3 : limit * 2));
          now.limits[0]!.verdict(table, slot, { offset: 0, spanIndex: 0, time_ms, replay: false });
        }
        await new Promise(setImmediate);
      }
    }
    for (const [block, shares] of settled) {
      const sum = shares.reduce((total, one) => total + one, 0);
      assert.ok(sum <= limit, `seed ${seed}, block ${block}: ${sum} of ${limit}`);
      if (shares.some((one) => one > Math.ceil(limit / partitions))) above++;
    }
    taken += redis.taken;
  }
  assert.ok(above > SEEDS && taken > SEEDS, `${above} ${taken}`);
});
