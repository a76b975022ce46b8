import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { assignPartitions, type GroupMember } from '../../pipelines/topic/kafka-assigner.ts';
import { fromTextHeaders, toTextHeaders } from '../../pipelines/topic/kafka-headers.ts';

const TOPICS = ['traces', 'metrics'];
const members = fc
  .uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 })
  .map((ids) => ids.map((id): GroupMember => ({ id, topics: TOPICS, held: [] })));

function deal(group: readonly GroupMember[], count: number): Map<string, number[]> {
  const dealt = assignPartitions(group, new Map(TOPICS.map((topic) => [topic, count])));
  return new Map(
    group.map(({ id }) => {
      const own = dealt.get(id)!;
      // The same number of every topic is one member's.
      assert.deepEqual(own.get('traces') ?? [], own.get('metrics') ?? []);
      return [id, own.get('traces') ?? []];
    }),
  );
}

test('assigner: every partition has one owner, shares differ by one at the most, and the order of members does not matter', () => {
  fc.assert(
    fc.property(members, fc.integer({ min: 0, max: 40 }), (group, count) => {
      const dealt = deal(group, count);
      assert.deepEqual(
        [...dealt.values()].flat().toSorted((a, b) => a - b),
        Array.from({ length: count }, (_, n) => n),
      );
      const sizes = [...dealt.values()].map((own) => own.length);
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
      assert.deepEqual(deal(group.toReversed(), count), new Map([...dealt].toReversed()));
    }),
  );
});

test('assigner: a member that comes or goes moves no more than its share', () => {
  fc.assert(
    fc.property(members, fc.integer({ min: 0, max: 40 }), (group, count) => {
      const before = deal(group, count);
      const holding = group.map((member) => ({ ...member, held: before.get(member.id)! }));
      assert.deepEqual(deal(holding, count), before);
      const after = deal([...holding, { id: 'someone new', topics: TOPICS, held: [] }], count);
      const moved = holding.flatMap((member) => member.held.filter((partition) => !after.get(member.id)!.includes(partition)));
      assert.equal(moved.length, after.get('someone new')!.length);
      const [gone, ...rest] = holding;
      if (rest.length === 0) return;
      const left = deal(rest, count);
      for (const member of rest)
        for (const partition of member.held)
          assert.ok(left.get(member.id)!.includes(partition), `${partition} moved although only ${gone!.id} went`);
    }),
  );
});

test('headers: what goes to Kafka comes back, and a foreign record is plain OTLP', () => {
  for (const headers of [
    { format: 1, codec: 'zstd', items: 3, raw_bytes: 99 },
    { format: 1, codec: 'none', items: 0, raw_bytes: 0, sequence: 2 ** 52, part: 7 },
  ] as const) {
    const raw = Object.fromEntries(Object.entries(toTextHeaders(headers)).map(([key, value]) => [key, Buffer.from(value)]));
    assert.deepEqual(fromTextHeaders(raw, 1), headers);
  }
  assert.deepEqual(fromTextHeaders(undefined, 12), { format: 1, codec: 'none', items: 0, raw_bytes: 12 });
  assert.deepEqual(fromTextHeaders({ format: Buffer.from('2'), codec: Buffer.from('zstd') }, 12), {
    format: 1,
    codec: 'none',
    items: 0,
    raw_bytes: 12,
  });
});
