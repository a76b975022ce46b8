/**
 * What `write` commits beside an offset. JSON:
 *
 *   {"v":1}                                  everything below the offset is stored
 *   {"v":1,"end":42}                         the batch [offset, 42) is under way
 *   {"v":1,"end":42,"last":[1700,0]}         … and before it the last record taken had sequence 1700, part 0
 *   {"v":1,"end":42,"at":["otel_logs",20600,0,500]}
 *                                            … its blocks before otel_logs of day 20600 are dealt with; that block was refused and is being
 *                                            halved: of the batch's rows those below 0 are dealt with, the insert of [0, 500) may be under way
 *   {"v":1,"end":42,"at":["otel_logs",20600,7,8],"refused":["violated_constraint","…"]}
 *                                            … the rows [7, 8) were refused: their dead letter may have been written
 */
export interface WriteNote {
  readonly end: number | undefined;
  readonly last: readonly [sequence: number, part: number] | undefined;
  readonly at?: HalvedAt | undefined;
  readonly refused?: Refused | undefined;
}

export type HalvedAt = readonly [table: string, day: number, from: number, to: number];
export type Refused = readonly [reason: string, message: string];

// The log allows a note of 4,000 characters, and JSON may write one of a message as six.
const MESSAGE_CHARACTERS_MAX = 500;

export function formatNote(note: WriteNote): string {
  const { end, last, at, refused } = note;
  const cut = refused === undefined ? undefined : [refused[0], refused[1].slice(0, MESSAGE_CHARACTERS_MAX)];
  return JSON.stringify({ v: 1, end, last, at, refused: cut });
}

/** @throws where the note is not ours: going on would store rows twice */
export function parseNote(text: string): WriteNote {
  if (text === '') return { end: undefined, last: undefined };
  const { v, end, last, at, refused } = JSON.parse(text) as Record<string, unknown>;
  if (
    v !== 1 ||
    (end !== undefined && !isCount(end)) ||
    (last !== undefined && !isTuple(last, [isCount, isCount])) ||
    (at !== undefined && !isTuple(at, [isText, isCount, isCount, isCount])) ||
    (refused !== undefined && !isTuple(refused, [isText, isText]))
  )
    throw new Error(`the note of the write group is not understood: ${text}`);
  return {
    end: end as WriteNote['end'],
    last: last as WriteNote['last'],
    at: at as WriteNote['at'],
    refused: refused as WriteNote['refused'],
  };
}

function isTuple(value: unknown, kinds: readonly ((value: unknown) => boolean)[]): boolean {
  return Array.isArray(value) && value.length === kinds.length && kinds.every((is, index) => is(value[index]));
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}
