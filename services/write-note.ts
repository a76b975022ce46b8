/**
 * What `write` commits beside an offset. JSON:
 *
 *   {"v":1}                                  everything below the offset is stored
 *   {"v":1,"end":42}                         the batch [offset, 42) is under way
 *   {"v":1,"end":42,"last":[1700,0]}         … and before it the last record taken had sequence 1700, part 0
 */
export interface WriteNote {
  readonly end: number | undefined;
  readonly last: readonly [sequence: number, part: number] | undefined;
}

export function formatNote(note: WriteNote): string {
  return JSON.stringify({ v: 1, end: note.end, last: note.last });
}

/** @throws where the note is not ours: going on would store rows twice */
export function parseNote(text: string): WriteNote {
  if (text === '') return { end: undefined, last: undefined };
  const note = JSON.parse(text) as { v?: unknown; end?: unknown; last?: unknown };
  const { v, end, last } = note;
  if (
    v !== 1 ||
    (end !== undefined && !isCount(end)) ||
    (last !== undefined && !(Array.isArray(last) && last.length === 2 && last.every(isCount)))
  )
    throw new Error(`the note of the write group is not understood: ${text}`);
  return { end: end as number | undefined, last: last as WriteNote['last'] };
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
