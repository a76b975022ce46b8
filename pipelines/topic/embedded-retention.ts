import type { CommittedRow } from './embedded-schema.ts';
import type { RetentionRule } from './embedded-writer.ts';

/**
 * Who still needs what: a rule for each partition from which records may be removed. A group that reads there and never
 * committed needs everything, so its partition gets no rule; nor does a topic that nobody was ever known to read.
 * @param committed group → partition id → where it stands
 * @param groups topic → the groups that count; a topic left out: every group that `committed` knows there
 */
export function retentionRules(
  topics: ReadonlyMap<string, readonly { readonly id: number }[]>,
  committed: ReadonlyMap<string, ReadonlyMap<number, CommittedRow>>,
  groups: Readonly<Record<string, readonly string[]>> | undefined,
): RetentionRule[] {
  const rules: RetentionRule[] = [];
  for (const [topic, partitions] of topics) {
    const named = groups?.[topic];
    const seen = [...committed.keys()].filter((group) => partitions.some(({ id }) => committed.get(group)!.has(id)));
    const readers = named ?? seen;
    if (named === undefined && seen.length === 0) continue;
    for (const { id } of partitions) {
      const rows: CommittedRow[] = [];
      for (const group of readers) {
        const row = committed.get(group)?.get(id);
        if (row !== undefined && row.offset >= 0) rows.push(row);
      }
      if (rows.length === readers.length) rules.push({ partitionId: id, readers: rows });
    }
  }
  return rules;
}
