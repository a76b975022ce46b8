import { z } from 'zod';

const UNITS_MS: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SHAPE = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+$/;
const PART = /(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)/g;

/** Milliseconds of a Go duration such as `30s`, `1m30s`, `250ms`, with `d` for days besides; undefined where it is none. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!SHAPE.test(text)) return undefined;
  let total = 0;
  for (const [, digits, unit] of text.matchAll(PART)) total += Number(digits) * UNITS_MS[unit!]!;
  return total;
}

const anyDuration = z
  .union([z.string(), z.literal(0)], {
    error: (issue) => `${JSON.stringify(issue.input)} is not a duration: write a number and a unit (ms, s, m, h, d), such as 30s or 1m30s`,
  })
  .transform((written, context): number => {
    const ms = parseDuration(String(written));
    if (ms !== undefined) return ms;
    context.addIssue({
      code: 'custom',
      message: `"${written}" is not a duration: write a number and a unit (ms, s, m, h, d), such as 30s or 1m30s`,
    });
    return z.NEVER;
  });

/** A duration as the Collector writes it; parsed, it is milliseconds. */
export const duration = (fallback: string, description: string) =>
  anyDuration.prefault(fallback).meta({ description, format: 'duration', default: fallback });
export const requiredDuration = (description: string) => anyDuration.meta({ description, format: 'duration' });
