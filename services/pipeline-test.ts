import { createHash } from 'node:crypto';
import type { Plan } from '../config/plan.ts';
import type { PipelineTest } from '../config/schema.ts';
import { VALUE_STRING, ValueView } from '../pipelines/otlp/attributes.ts';
import { jsonToProtobuf } from '../pipelines/otlp/json.ts';
import { SpanView } from '../pipelines/otlp/span.ts';
import { Walker } from '../pipelines/otlp/walk.ts';
import { Sampler } from '../pipelines/sample/sampler.ts';
import { processorsOf } from './processors.ts';
import { samplerSettings } from './settings.ts';

/** `tests:` of a pipeline file: spans in, through the same rooms as in production, with the log's time handed in. */

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];
const STATUSES = ['unset', 'ok', 'error'];
// A fixed day, so that a test never depends on when it runs.
const START_MS = Date.UTC(2026, 0, 1);
const NS_PER_MS = 1_000_000n;
const POLICY_KEY = Buffer.from('tailsampling.policy');

interface Outcome {
  spans: number;
  policy: string | undefined;
}

/** What did not come out as expected, one line each. Empty: the test passed. */
export function runPipelineTest(plan: Plan, test: PipelineTest): string[] {
  const stages = plan.sample.filter(
    (stage) => stage.tail !== undefined && (test.pipeline === undefined || stage.name === `sample.${test.pipeline}`),
  );
  if (stages.length > 1)
    return [
      `several pipelines sample: say which one with \`pipeline:\` (${stages.map((stage) => stage.name.slice('sample.'.length)).join(', ')})`,
    ];
  const stage = stages[0];
  const branch = plan.ingest.find((one) =>
    stage === undefined
      ? one.signal === 'traces' && (test.pipeline === undefined || one.pipelines.includes(test.pipeline))
      : one.topic === stage.topic,
  );
  if (branch === undefined) return ['there is no traces pipeline'];
  const outcomes = new Map<string, Outcome>();
  const before = processorsOf(branch.processors, 'traces');
  const after = processorsOf(stage?.tail?.processors ?? [], 'traces');
  const collect = (bytes: Buffer): void =>
    collectOutcomes(
      after.reduce((left, processor) => (left.length === 0 ? left : processor.process(left)), bytes),
      outcomes,
    );
  const sampler =
    stage?.tail === undefined
      ? undefined
      : new Sampler({ settings: samplerSettings(stage.tail.config), sink: collect, unpack: (record) => record.value, hashSeed: 0 });
  let offset = 0;
  for (const span of test.spans.toSorted((a, b) => a.at - b.at)) {
    const bytes = before.reduce((left, processor) => (left.length === 0 ? left : processor.process(left)), encodeSpan(span, offset));
    if (bytes.length === 0) continue;
    if (sampler === undefined) collect(bytes);
    else {
      const value = Buffer.from(bytes);
      sampler.push(
        { offset, time_ms: START_MS + span.at, value, headers: { format: 1, codec: 'none', items: 1, raw_bytes: value.length } },
        value,
      );
    }
    offset++;
  }
  sampler?.tick(Number.MAX_SAFE_INTEGER);
  return test.expect.flatMap((expected) => compare(expected, outcomes.get(traceIdOf(expected.trace))));
}

function compare(expected: PipelineTest['expect'][number], outcome: Outcome | undefined): string[] {
  const { trace, kept, policy, spans } = expected;
  if (kept !== (outcome !== undefined)) {
    return [
      outcome === undefined
        ? `trace "${trace}" should be kept, and was dropped`
        : `trace "${trace}" should be dropped, and was kept${outcome.policy === undefined ? '' : ` by policy "${outcome.policy}"`}`,
    ];
  }
  const wrong: string[] = [];
  if (policy !== undefined && outcome?.policy !== policy)
    wrong.push(
      `trace "${trace}" should be kept by policy "${policy}", and was by ${outcome?.policy === undefined ? 'none' : `"${outcome.policy}"`}`,
    );
  if (spans !== undefined && (outcome?.spans ?? 0) !== spans)
    wrong.push(`trace "${trace}" should come out with ${spans} spans, and had ${outcome?.spans ?? 0}`);
  return wrong;
}

function traceIdOf(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, 32);
}

function encodeSpan(span: PipelineTest['spans'][number], index: number): Buffer {
  const start_ns = BigInt(START_MS) * NS_PER_MS + BigInt(Math.round(span.start * 1e6));
  const json = {
    resourceSpans: [
      {
        resource: { attributes: keyValues({ 'service.name': span.service, ...span.resource }) },
        scopeSpans: [
          {
            scope: {},
            spans: [
              {
                traceId: traceIdOf(span.trace),
                spanId: (index + 1).toString(16).padStart(16, '0'),
                name: span.name,
                kind: KINDS.indexOf(span.kind),
                startTimeUnixNano: start_ns.toString(),
                endTimeUnixNano: (start_ns + BigInt(Math.round(span.duration * 1e6))).toString(),
                attributes: keyValues(span.attributes),
                status: { code: STATUSES.indexOf(span.status) },
              },
            ],
          },
        ],
      },
    ],
  };
  return jsonToProtobuf('traces', Buffer.from(JSON.stringify(json)));
}

function keyValues(attributes: Readonly<Record<string, string | number | boolean>>): object[] {
  return Object.entries(attributes).map(([key, value]) => {
    if (typeof value === 'string') return { key, value: { stringValue: value } };
    if (typeof value === 'boolean') return { key, value: { boolValue: value } };
    return { key, value: Number.isSafeInteger(value) ? { intValue: value } : { doubleValue: value } };
  });
}

function collectOutcomes(bytes: Buffer, outcomes: Map<string, Outcome>): void {
  const span = new SpanView();
  const value = new ValueView();
  new Walker().walk(bytes, 0, bytes.length, {
    resource: () => undefined,
    scope: () => undefined,
    item: (start, stop) => {
      span.parse(bytes, start, stop);
      const id = bytes.toString('hex', span.traceIdStart, span.traceIdStop);
      const outcome = outcomes.get(id) ?? { spans: 0, policy: undefined };
      outcome.spans++;
      const at = span.attributes.find(bytes, POLICY_KEY);
      if (at >= 0 && value.parse(bytes, span.attributes.valueStart(at), span.attributes.valueStop(at)).kind === VALUE_STRING)
        outcome.policy = bytes.toString('utf8', value.start, value.stop);
      outcomes.set(id, outcome);
    },
  });
}
