import { nearest } from '../pipelines/base/suggest.ts';

/** What follows a message about an unknown word: `; did you mean "x"?`, or the known words where none is near. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  if (near !== undefined) return `; did you mean "${near}"?`;
  return known.length === 0 ? '' : `; known: ${known.join(', ')}`;
}
