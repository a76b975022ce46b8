import type { SampleMetrics } from '../pipelines/sample/metrics.ts';
import type { PolicySettings } from '../pipelines/sample/settings.ts';
import type { Sample } from './observe.ts';

/** What a scrape shows of a sample stage beside its span counts; `policies` absent: it samples nothing. */
export function sampleSamples(
  stage: string,
  policies: readonly PolicySettings[] | undefined,
  sum: SampleMetrics,
  unreadable: number,
): Sample[] {
  const counter = (name: string, help: string, value: number, labels: Record<string, string> = {}): Sample => ({
    name: `tailrace_sample_${name}_total`,
    help,
    kind: 'counter',
    labels: { stage, ...labels },
    value,
  });
  const gauge = (name: string, help: string, value: number): Sample => ({
    name: `tailrace_sample_${name}`,
    help,
    kind: 'gauge',
    labels: { stage },
    value,
  });
  const samples = [counter('unreadable_records', 'Records of the log that cannot be read. Anything above 0 is lost data.', unreadable)];
  if (policies === undefined) return samples;
  for (const [index, policy] of policies.entries()) {
    samples.push(
      counter(
        'policy_traces',
        'Traces that a policy decided: the first that kept it, or the one that dropped it.',
        sum.tracesByPolicy[index] ?? 0,
        {
          policy: policy.name,
          decision: policy.type === 'drop' ? 'dropped' : 'kept',
        },
      ),
    );
  }
  return [
    ...samples,
    counter('new_traces', 'Traces that began.', sum.tracesNew),
    counter('traces', 'Traces decided.', sum.tracesKept, { decision: 'kept' }),
    counter('traces', 'Traces decided.', sum.tracesDropped, { decision: 'dropped' }),
    counter('late_spans', 'Spans that came after the decision on their trace and followed it.', sum.lateKept, { decision: 'kept' }),
    counter('late_spans', 'Spans that came after the decision on their trace and followed it.', sum.lateDropped, { decision: 'dropped' }),
    counter('early_traces', 'Traces decided before decision_wait was over, because a limit was reached.', sum.earlyTraces),
    counter(
      'early_records',
      'Records emitted before decision_wait was over, because a limit was reached.',
      sum.earlyRecords.heldBytes_max,
      {
        limit: 'held_bytes_max',
      },
    ),
    counter('early_records', 'Records emitted before decision_wait was over, because a limit was reached.', sum.earlyRecords.traces_max, {
      limit: 'traces_max',
    }),
    counter(
      'forgotten_early_records',
      'Records whose traces were forgotten before late_wait was over, because traces_max was reached.',
      sum.forgottenEarly,
    ),
    counter(
      'note_overflows',
      'Commits whose note could not hold all that a restart needs: decisions may differ after a crash.',
      sum.noteOverflow,
    ),
    gauge('held_bytes', 'Bytes of records that wait for a decision, against held_bytes_max for each partition.', sum.heldBytes),
    gauge('held_records', 'Records that wait for a decision.', sum.heldRecords),
    gauge('remembered_records', 'Records that the sampler remembers for a restart.', sum.records),
    gauge('trace_slots', 'Traces in memory.', sum.slots),
    gauge('trace_slots_allocated', 'Traces that the memory taken so far has room for.', sum.slotsAllocated),
  ];
}
