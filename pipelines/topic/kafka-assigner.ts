import { AssignerProtocol, type PartitionAssigner } from 'kafkajs';

/** A member of the group as its leader sees it. */
export interface GroupMember {
  readonly id: string;
  readonly topics: readonly string[];
  /** Partition numbers that it held until now. */
  readonly held: readonly number[];
}

/**
 * Deals out partition numbers: the same number of every topic goes to one member, as a trace's spans and what is made from
 * them share it. Every member gets ⌊n/m⌋ or ⌈n/m⌉; what a member held stays with it as far as that allows. The same input
 * gives the same answer in any order of `members`.
 *
 * @param topics topic → partitions
 * @returns member → topic → partitions, ascending
 */
export function assignPartitions(members: readonly GroupMember[], topics: ReadonlyMap<string, number>): Map<string, Map<string, number[]>> {
  const sorted = members.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const result = new Map(sorted.map((member) => [member.id, new Map<string, number[]>()]));
  // Members that read the same topics share them; a group has one such set except while its configuration is being changed.
  for (const [topic, count] of topics) {
    const takers = sorted.filter((member) => member.topics.includes(topic));
    if (takers.length === 0) continue;
    deal(takers, count).forEach((numbers, index) => {
      if (numbers.length > 0) result.get(takers[index]!.id)!.set(topic, numbers);
    });
  }
  return result;
}

function deal(members: readonly GroupMember[], count: number): number[][] {
  const owner = new Map<number, number>();
  members.forEach((member, index) => {
    for (const partition of member.held)
      if (Number.isInteger(partition) && partition >= 0 && partition < count && !owner.has(partition)) owner.set(partition, index);
  });
  const kept: number[][] = members.map(() => []);
  for (let partition = 0; partition < count; partition++) {
    const index = owner.get(partition);
    if (index !== undefined) kept[index]!.push(partition);
  }
  // Those that hold most get the larger shares: less moves.
  const larger = count % members.length;
  const ranked = members.map((_, index) => index).toSorted((a, b) => kept[b]!.length - kept[a]!.length || a - b);
  const share: number[] = members.map(() => 0);
  ranked.forEach((index, rank) => {
    share[index] = Math.floor(count / members.length) + (rank < larger ? 1 : 0);
  });
  kept.forEach((numbers, index) => numbers.splice(share[index]!));
  const dealt = new Set(kept.flat());
  let to = 0;
  for (let partition = 0; partition < count; partition++) {
    if (dealt.has(partition)) continue;
    while (kept[to]!.length >= share[to]!) to++;
    kept[to]!.push(partition);
  }
  for (const numbers of kept) numbers.sort((a, b) => a - b);
  return kept;
}

const NAME = 'tailrace-sticky';
const VERSION = 1;

/** `assignPartitions` for kafkajs. What a member holds travels as JSON in its user data. @param held asked at each join */
export function stickyAssigner(held: () => readonly number[]): PartitionAssigner {
  return ({ cluster }) => ({
    name: NAME,
    version: VERSION,
    protocol: ({ topics }) => ({
      name: NAME,
      metadata: AssignerProtocol.MemberMetadata.encode({
        version: VERSION,
        topics,
        userData: Buffer.from(JSON.stringify([...held()])),
      }),
    }),
    assign: async ({ members, topics }) => {
      const counts = new Map(topics.map((topic) => [topic, cluster.findTopicPartitionMetadata(topic).length]));
      const dealt = assignPartitions(
        members.map(({ memberId, memberMetadata }) => {
          const metadata = AssignerProtocol.MemberMetadata.decode(memberMetadata);
          return { id: memberId, topics: metadata?.topics ?? topics, held: parseHeld(metadata?.userData) };
        }),
        counts,
      );
      return members.map(({ memberId }) => ({
        memberId,
        memberAssignment: AssignerProtocol.MemberAssignment.encode({
          version: VERSION,
          assignment: Object.fromEntries(dealt.get(memberId) ?? []),
          userData: Buffer.alloc(0),
        }),
      }));
    },
  });
}

function parseHeld(userData: Buffer | undefined): number[] {
  try {
    const held: unknown = JSON.parse((userData ?? Buffer.from('[]')).toString());
    return Array.isArray(held) ? held.filter((partition) => Number.isInteger(partition)) : [];
  } catch {
    // Another version of us: it keeps nothing, and the next time all is well.
    return [];
  }
}
