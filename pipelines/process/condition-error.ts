import { nearest } from '../base/suggest.ts';

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
  const near = nearest(word, candidates);
  return near === undefined ? undefined : `did you mean ${near}?`;
}
