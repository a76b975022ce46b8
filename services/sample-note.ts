/**
 * What `sample` commits beside an offset. JSON: {"v":1,"sample":"<base64url, pipelines/sample/note.ts>","metrics_ms":[…]}
 *
 *   sample       absent where the stage samples nothing
 *   metrics_ms   for each span metrics of the stage, in their order: every window that ended up to here is durable, and spans of records
 *                from this log time on count in later ones
 */
export interface StageNote {
  readonly sample: string | undefined;
  readonly metrics_ms: readonly number[];
}

/** Room for the sampler's part: the log takes notes of 4,000 characters. */
export const SAMPLE_CHARACTERS_MAX = 3_600;

export function formatStageNote(note: StageNote): string {
  return JSON.stringify({ v: 1, sample: note.sample, metrics_ms: note.metrics_ms });
}

/** Undefined where the text is not ours. */
export function parseStageNote(text: string): StageNote | undefined {
  try {
    const note = JSON.parse(text) as { v?: unknown; sample?: unknown; metrics_ms?: unknown };
    const { v, sample, metrics_ms } = note;
    if (v !== 1 || (sample !== undefined && typeof sample !== 'string')) return undefined;
    if (!Array.isArray(metrics_ms) || !metrics_ms.every((time) => Number.isSafeInteger(time))) return undefined;
    return { sample, metrics_ms: metrics_ms as number[] };
  } catch {
    return undefined;
  }
}
