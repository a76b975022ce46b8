import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Layout } from '../../pipelines/sample/policies/policy.ts';
import { BLOCK_MS, RateLimit } from '../../pipelines/sample/policies/rate-limit.ts';
import { TraceTable } from '../../pipelines/sample/trace-table.ts';

const START_MS = 1_780_000_000_000;

/** Decides traces of given sizes one after the other, as the sampler does, without a log. */
class Decider {
  readonly limit: RateLimit;
  private readonly table = new TraceTable(new Layout().words, 1);
  private readonly slot: number;
  private offset = 0;

  constructor(spansPerSecond: number, partition: number, partitions: number) {
    this.limit = new RateLimit(spansPerSecond, { partition, partitions });
    this.slot = this.table.begin(Buffer.alloc(16, 1), 0, 0);
  }

  keeps(time_ms: number, spans: number): boolean {
    this.table.spans[this.slot] = spans;
    return this.limit.verdict(this.table, this.slot, { offset: this.offset++, spanIndex: 0, time_ms, replay: false }) > 0;
  }
}

test('property: the shares of all partitions add up to the limit in every second, and those of one partition to the limit over as many seconds as there are partitions', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1e6 }),
      fc.integer({ min: 1, max: 64 }),
      fc.integer({ min: 0, max: 2 ** 31 }),
      (limit, partitions, second) => {
        const all = Array.from({ length: partitions }, (_, partition) => new RateLimit(limit, { partition, partitions }));
        assert.equal(
          all.reduce((sum, one) => sum + one.share(second), 0),
          limit,
        );
        let alone = 0;
        for (let at = second; at < second + partitions; at++) alone += all[0]!.share(at);
        assert.equal(alone, limit);
      },
    ),
  );
});

test('property: whatever comes, over time all partitions together keep no more than the limit and one trace each, and at most twice the limit in a second', () => {
  const traces = fc.array(fc.record({ partition: fc.nat(7), step_ms: fc.nat(700), spans: fc.integer({ min: 1, max: 40 }) }), {
    minLength: 100,
    maxLength: 600,
  });
  let overShare = 0;
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 2, max: 8 }), traces, (limit, partitions, list) => {
      const all = Array.from({ length: partitions }, (_, partition) => new Decider(limit, partition, partitions));
      const bySecond = new Map<number, number>();
      let time_ms = START_MS;
      let kept = 0;
      for (const one of list) {
        time_ms += one.step_ms;
        const second = Math.floor(time_ms / 1000);
        const decider = all[one.partition % partitions]!;
        if (!decider.keeps(time_ms, one.spans)) continue;
        if (one.spans > decider.limit.share(second)) overShare++;
        kept += one.spans;
        bySecond.set(second, (bySecond.get(second) ?? 0) + one.spans);
      }
      const seconds = Math.floor(time_ms / 1000) - START_MS / 1000 + 1;
      assert.ok(kept <= limit * (seconds + partitions), `${kept} in ${seconds} s`);
      for (const [second, spans] of bySecond) assert.ok(spans <= 2 * limit, `${spans} in ${second}`);
    }),
  );
  assert.ok(overShare > 0);
});

test('a trace above the share but not above the limit is kept in its partition’s turn, and paid for', () => {
  const decider = new Decider(10, 3, 5);
  let kept = 0;
  for (let second = 0; second < 1000; second++) if (decider.keeps(START_MS + second * 1000, 9)) kept++;
  // A share of 2 a second pays for one trace of 9 in 5 seconds.
  assert.equal(kept, 200);
  assert.equal(new Decider(10, 3, 5).keeps(START_MS, 11), false);
  const few = new Decider(3, 0, 8);
  kept = 0;
  for (let second = 0; second < 800; second++) if (few.keeps(START_MS + second * 1000, 1)) kept++;
  assert.equal(kept, 300, 'fewer spans than partitions: each has its seconds');
});

test('a lease counts for its block alone', () => {
  const { limit } = new Decider(100, 0, 4);
  const block = START_MS / BLOCK_MS;
  limit.lease(block, 30);
  limit.lease(block + 1, -20);
  const second = START_MS / 1000;
  assert.deepEqual(
    [-1, 0, 9, 10, 19, 20].map((at) => limit.share(second + at)),
    [25, 55, 55, 5, 5, 25],
  );
});
