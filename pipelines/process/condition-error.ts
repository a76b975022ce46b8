/** A condition that cannot be compiled. `column` counts characters of the condition from 1, so that whoever knows where its text stands can print file:line:col. `suggestion` is what to write instead, where one is known. */
export class ConditionError extends Error {
  override readonly name = 'ConditionError';
  readonly column: number;
  readonly suggestion: string | undefined;

  constructor(message: string, column: number, suggestion?: string) {
    super(message);
    this.column = column;
    this.suggestion = suggestion;
  }
}

/** `did you mean …` for a word that is close to one of `candidates`; undefined when none is. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best === undefined ? undefined : `did you mean ${best}?`;
}

/** Levenshtein distance; stops counting at `limit`. */
function editDistance(left: string, right: string, limit: number): number {
  if (Math.abs(left.length - right.length) >= limit) return limit;
  let previous = Array.from({ length: right.length + 1 }, (_, i) => i);
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    for (let j = 1; j <= right.length; j++) {
      const replaced = previous[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[right.length]!;
}
