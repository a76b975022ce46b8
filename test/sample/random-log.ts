import { zstdCompressSync } from 'node:zlib';
import type { PolicySettings, SamplerSettings } from '../../pipelines/sample/settings.ts';
import type { SourceRecord } from '../../pipelines/sample/source-record.ts';
import { BASE_NS, traces, type SpanSpec } from '../kit/otlp.ts';

export interface TestSpan {
  readonly trace: number;
  readonly error: boolean;
  readonly slow: boolean;
}
export interface TestRecord extends SourceRecord {
  readonly spans: readonly TestSpan[];
}

const START_MS = 1_780_000_000_000;

/** The id's randomness (its last 7 bytes) is spread over its range. */
export function traceId(trace: number): string {
  const word = (salt: number): string => (Math.imul(trace + salt, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0');
  return word(1) + word(2) + word(3) + word(4);
}

export function record(offset: number, time_ms: number, spans: readonly TestSpan[], zstd = false): TestRecord {
  const raw = traces(
    spans.map((one, index): SpanSpec => ({
      trace: traceId(one.trace),
      span: (offset * 1000 + index + 1).toString(16),
      start_ns: BASE_NS,
      duration_ns: one.slow ? 500_000_000n : 1_000_000n,
      ...(one.error ? { status: 2 } : {}),
    })),
  );
  const value = zstd ? zstdCompressSync(raw) : raw;
  return {
    offset,
    time_ms,
    value,
    headers: { format: 1, codec: zstd ? 'zstd' : 'none', items: spans.length, raw_bytes: raw.length },
    spans,
  };
}

/**
 * A log with what makes a restart hard: traces that live as long as the log with a span every little while, gaps around the edges
 * of the windows, bursts, records that come twice, offsets with gaps.
 */
export function randomLog(random: () => number, settings: SamplerSettings, count: number): TestRecord[] {
  const int = (n: number): number => Math.floor(random() * n);
  const pick = <T>(list: readonly T[]): T => list[int(list.length)]!;
  const life_ms = settings.decisionWait_ms + settings.lateWait_ms;
  const steps = [0, 1, 50, 300, 900, 1100, settings.decisionWait_ms, settings.lateWait_ms, life_ms, life_ms + 1, Math.floor(life_ms / 3)];
  const small = steps.filter((step) => step <= Math.max(50, life_ms / 4));
  const steady = 1 + int(4);
  const fresh = random();
  const jumps = random() * 0.2;
  const log: TestRecord[] = [];
  let time_ms = START_MS + int(2000);
  let offset = int(5);
  let newest = 100;
  for (let n = 0; n < count; n++) {
    time_ms += random() < jumps ? pick(steps) : pick(small);
    const spans: TestSpan[] = [];
    const burst = random() < 0.05 ? 12 : 3;
    for (let left = 1 + int(burst); left > 0; left--) {
      const trace = random() < fresh * 0.6 ? newest++ : random() < 0.6 ? int(steady) : Math.max(100, newest - 1 - int(8));
      spans.push({ trace, error: random() < 0.1, slow: random() < 0.1 });
    }
    const again = log.length > 0 && random() < 0.05 ? log[log.length - 1 - int(Math.min(log.length, 10))]!.spans : undefined;
    log.push(record(offset, time_ms, again ?? spans, random() < 0.1));
    offset += random() < 0.05 ? 1 + int(3) : 1;
  }
  return log;
}

export function randomSettings(random: () => number): SamplerSettings {
  const int = (n: number): number => Math.floor(random() * n);
  const pick = <T>(list: readonly T[]): T => list[int(list.length)]!;
  const pool: readonly (() => PolicySettings)[] = [
    () => ({ name: 'errors', type: 'status_code', statusCodes: ['ERROR'] }),
    () => ({ name: 'slow', type: 'latency', threshold_ms: 200 }),
    () => ({ name: 'half', type: 'probabilistic', samplingPercentage: 50 }),
    () => ({ name: 'many', type: 'span_count', minSpans: 2 + int(4) }),
    () => ({ name: 'rate', type: 'rate_limiting', spansPerSecond: 1 + int(12) }),
    () => ({
      name: 'rate-of-half',
      type: 'and',
      subPolicies: [
        { name: 'a', type: 'probabilistic', samplingPercentage: 60, hashSalt: 'x' },
        { name: 'b', type: 'rate_limiting', spansPerSecond: 1 + int(6) },
      ],
    }),
    () => ({ name: 'no-singles', type: 'drop', subPolicies: [{ name: 'c', type: 'span_count', minSpans: 1, maxSpans: 1 }] }),
  ];
  const policies = pool.filter(() => random() < 0.45).map((make) => make());
  if (policies.length === 0) policies.push({ name: 'rate', type: 'rate_limiting', spansPerSecond: 1 + int(12) });
  return {
    decisionWait_ms: pick([0, 500, 2000, 5000]),
    lateWait_ms: pick([0, 700, 3000, 10_000]),
    heldBytes_max: random() < 0.6 ? 1e9 : 500 + int(6000),
    traces_max: random() < 0.7 ? 1e9 : 3 + int(40),
    policies,
  };
}
