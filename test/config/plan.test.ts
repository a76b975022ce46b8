import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checkConfig } from '../../config/load.ts';
import { formatPlan, planPipelines, type Plan } from '../../config/plan.ts';

function plan(text: string): Plan {
  const { config, problems } = checkConfig('f.yaml', text, {});
  assert.ok(config !== undefined, JSON.stringify(problems));
  return planPipelines(config);
}
const head = `receivers: { otlp: { protocols: { grpc: } } }
exporters: { clickhouse: , clickhouse/b: { database: b } }
connectors: { spanmetrics: }
processors:
  filter/a: { traces: { span: ['name == "a"'] } }
  filter/b: { traces: { span: ['name == "b"'] } }
  batch:
  tail_sampling: { policies: [{ name: all, type: always_sample }] }
`;

test('plan: the standard file reads its spans from one topic, for metrics and for sampling', () => {
  const result = plan(readFileSync(new URL('../../config/tailrace.yaml', import.meta.url), 'utf8'));
  assert.deepEqual(
    result.ingest.map((branch) => [branch.topic, branch.pipelines, branch.processors.map((p) => p.id)]),
    [
      ['traces', ['traces/all', 'traces'], ['filter/health']],
      ['metrics', ['metrics'], []],
      ['logs', ['logs'], []],
    ],
  );
  assert.equal(result.sample.length, 1);
  assert.equal(result.sample[0]!.tail?.topic, 'sampled');
  assert.deepEqual(
    result.sample[0]!.spanMetrics.map((metrics) => metrics.topic),
    ['spanmetrics'],
  );
  assert.deepEqual(
    result.write.map((stage) => stage.topics.map((entry) => `${entry.topic}:${entry.signal}`).toSorted()),
    [['logs:logs', 'metrics:metrics', 'sampled:traces', 'spanmetrics:metrics']],
  );
  assert.deepEqual(result.topics.toSorted(), ['dead', 'logs', 'metrics', 'sampled', 'spanmetrics', 'traces']);
});

test('plan: pipelines that begin differently have topics of their own', () => {
  const result = plan(`${head}service:
  pipelines:
    traces: { receivers: [otlp], processors: [filter/a, batch, tail_sampling], exporters: [clickhouse] }
    traces/b: { receivers: [otlp], processors: [filter/b, tail_sampling], exporters: [clickhouse/b] }
    traces/all: { receivers: [otlp], processors: [batch], exporters: [spanmetrics] }
    metrics: { receivers: [spanmetrics], exporters: [clickhouse] }
`);
  assert.deepEqual(
    result.ingest.map((branch) => branch.topic),
    ['traces', 'traces.traces.b', 'traces.traces.all'],
  );
  assert.deepEqual(
    result.sample.map((stage) => [stage.topic, stage.tail?.topic, stage.spanMetrics.length]),
    [
      ['traces', 'sampled', 0],
      ['traces.traces.b', 'sampled.traces.b', 0],
      ['traces.traces.all', undefined, 1],
    ],
  );
  assert.deepEqual(
    result.write.map((stage) => [stage.exporter, stage.topics.map((entry) => entry.topic)]),
    [
      ['clickhouse', ['sampled', 'spanmetrics']],
      ['clickhouse/b', ['sampled.traces.b']],
    ],
  );
});

test('plan: traces without tail sampling go from the log straight to the store', () => {
  const result = plan(`${head}service: { pipelines: { traces: { receivers: [otlp], exporters: [clickhouse] } } }`);
  assert.deepEqual(result.sample, []);
  assert.deepEqual(
    result.write.map((stage) => stage.topics),
    [[{ topic: 'traces', signal: 'traces' }]],
  );
  assert.match(formatPlan(result), /\[traces\] → clickhouse/);
});
