import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkConfig, formatProblems, type Loaded } from '../../config/load.ts';
import type { ClickHouseConfig, OtlpConfig } from '../../config/schema-components.ts';
import { temporaryFolder } from '../kit/process.ts';

const standard = readFileSync(new URL('../../config/tailrace.yaml', import.meta.url), 'utf8');
const small = `receivers:
  otlp: { protocols: { grpc: } }
exporters:
  clickhouse:
service:
  pipelines:
    traces: { receivers: [otlp], exporters: [clickhouse] }
`;

function check(text: string, environment: Record<string, string> = {}): Loaded {
  return checkConfig('f.yaml', text, environment);
}
function report(text: string, environment: Record<string, string> = {}): string {
  return formatProblems('f.yaml', check(text, environment).problems);
}
/** `text` with one line's part replaced; fails when there was nothing to replace. */
function change(text: string, from: string, to: string): string {
  assert.ok(text.includes(from), `"${from}" is not in the file`);
  return text.replace(from, to);
}

test('config: the standard file has neither errors nor warnings', () => {
  assert.equal(report(standard), '');
});

test('config: a component with nothing behind it has its defaults', () => {
  const { config } = check(small);
  assert.equal((config!.receivers.get('otlp') as OtlpConfig).protocols.grpc?.endpoint, '127.0.0.1:4317');
  assert.equal((config!.receivers.get('otlp') as OtlpConfig).protocols.http, undefined);
  assert.equal((config!.exporters.get('clickhouse') as ClickHouseConfig).ttl, 30 * 86_400_000);
});

test('config: every mistake is reported at once, with its place and a suggestion', () => {
  let text = standard;
  for (const [from, to] of [
    ['grpc:', 'gprc:'],
    ['decision_wait:', 'decision_wiat:'],
    ['late_wait: 60s', 'late_wait: 60'],
    ['type: status_code', 'type: status_cod'],
    ['threshold_ms: 500', 'threshold_ms: abc'],
    ['sampling_percentage: 10 ', 'sampling_percentage: 1000 '],
    ['exporters: [spanmetrics]', 'exporters: [spanmetric]'],
    ['level: info', 'level: inof'],
    ['data_dir:', 'data_dri:'],
    ['trace: failed, kept', 'trace: faild, kept'],
  ] as const) {
    text = change(text, from, to);
  }
  const lines = text.split('\n');
  const at = (part: string, inner: string): string => {
    const line = lines.findIndex((one) => one.includes(part));
    return `f.yaml:${line + 1}:${lines[line]!.indexOf(inner) + 1}: error: `;
  };
  const found = report(text);
  for (const expected of [
    `${at('gprc:', 'gprc')}unknown key "gprc"; did you mean "grpc"?`,
    `${at('decision_wiat', 'decision_wiat')}unknown key "decision_wiat"; did you mean "decision_wait"?`,
    `${at('late_wait: 60', '60')}60 is not a duration: write a number and a unit (ms, s, m, h, d), such as 30s or 1m30s`,
    `${at('type: status_cod', 'status_cod')}unknown type "status_cod"; did you mean "status_code"?`,
    `${at('threshold_ms: abc', 'abc')}"threshold_ms" must be a number, not "abc"`,
    `${at('spanmetric]', 'spanmetric]')}"spanmetric" is not declared under exporters or connectors; did you mean "spanmetrics"?`,
    `${at('data_dri', 'data_dri')}unknown key "data_dri"; did you mean "data_dir"?`,
  ]) {
    assert.ok(found.includes(expected.replace('error: 60 is', 'error: "late_wait": 60 is')), `${expected}\n--- is not in\n${found}`);
  }
  assert.match(found, /"sampling_percentage" must be at most 100, not 1000/);
});

test('config: references between pipelines and components are checked', () => {
  const cases: [from: string, to: string, message: RegExp][] = [
    [
      'receivers: [otlp], exporters',
      'receivers: [oltp], exporters',
      /"oltp" is not declared under receivers or connectors; did you mean "otlp"\?/,
    ],
    ['    traces:', '    trace:', /pipeline "trace" is of no known signal; did you mean "traces"\?/],
    ['exporters: [clickhouse]', 'exporters: [clickhouse, clickhouse]', /"clickhouse" is listed twice/],
    ['exporters:\n  clickhouse:', 'exporters:\n  clickhouse:\n  clickhouse/b:', /7|warning: exporter "clickhouse\/b" is in no pipeline/],
    ['exporters:\n  clickhouse:', 'exporters:\n  clikhouse:', /unknown exporter "clikhouse"; did you mean "clickhouse"\?/],
    ['exporters:\n', 'extensions: {}\nexporters:\n', /extensions have no effect/],
  ];
  for (const [from, to, message] of cases) assert.match(report(change(small, from, to)), message);
});

test('config: spanmetrics behind tail_sampling is refused, for it would count only what is kept', () => {
  const text = change(standard, 'exporters: [clickhouse]\n    metrics/spans', 'exporters: [clickhouse, spanmetrics]\n    metrics/spans');
  assert.match(report(text), /spanmetrics behind tail_sampling would count only what is kept/);
});

test('config: a condition with a mistake is reported at its column', () => {
  const text = change(standard, 'attributes["url.path"] == "/healthz"', 'attributes["url.path"] = "/healthz"');
  const lines = text.split('\n');
  const line = lines.findIndex((one) => one.includes('] = "/healthz"'));
  assert.match(report(text), new RegExp(`^f.yaml:${line + 1}:${lines[line]!.indexOf(' = ') + 2}: error: `, 'm'));
});

test('config: ${env:…}, its default, ${file:…} and $$ are put in, and keep their type', () => {
  const folder = temporaryFolder('config');
  writeFileSync(join(folder, 'password'), 'se: cret\n');
  const text = change(
    small,
    'clickhouse:\n',
    'clickhouse: { endpoint: "http://${env:HOST}:8123", username: "$$user", password: "${file:password}", batch: { rows_max: "${env:ROWS:-77}" } }\n',
  );
  const { config, problems } = checkConfig(join(folder, 'f.yaml'), text, { HOST: 'db' });
  assert.deepEqual(problems, []);
  const clickhouse = config!.exporters.get('clickhouse') as ClickHouseConfig;
  assert.equal(clickhouse.endpoint, 'http://db:8123');
  assert.equal(clickhouse.username, '$user');
  assert.equal(clickhouse.password, 'se: cret');
  assert.equal(clickhouse.batch.rows_max, 77);
});

test('config: an unset variable, an unreadable file and an unknown source are errors at their place', () => {
  const text = change(
    small,
    'clickhouse:\n',
    'clickhouse: { endpoint: "${env:NOPE}", username: "${file:./nope}", password: "${vault:x}" }\n',
  );
  const found = report(text);
  assert.match(found, /f.yaml:4:27: error: environment variable NOPE is not set/);
  assert.match(found, /cannot read \.\/nope for \$\{file:\.\/nope\}: ENOENT/);
  assert.match(found, /unknown source \$\{vault:…\}/);
});

test('config: what cannot work together or was not finished is an error at its place', () => {
  assert.match(
    report(change(small, 'grpc: }', 'grpc: , http: { endpoint: ":4317" } }')),
    /port 4317 is taken by receivers.otlp.protocols.grpc.endpoint already/,
  );
  assert.match(
    report(change(small, 'clickhouse:\n', 'clickhouse: { username: "${env:TAIL" }\n')),
    /f.yaml:4:27: error: a \$\{ without its \}/,
  );
  assert.match(
    report(`${small}tailrace: { alerts: { rules: [{ name: a, sql: SELECT 1 }] } }\n`),
    /need tailrace.alerts.webhooks[\s\S]*rule "a" needs above or below/,
  );
  assert.match(report(change(small, 'clickhouse:\n', 'clickhouse: { batch: { rows_max: 0 } }\n')), /"rows_max" must be at least 1, not 0/);
});

test('config: what is not YAML, not a map or empty has an error, not a crash', () => {
  for (const text of ['a: [', '- 1', '', '\t', 'service: 3', 'receivers: [1]', '"x"', 'a: *b']) {
    const { config, problems } = check(text);
    assert.equal(config, undefined, JSON.stringify(text));
    assert.ok(
      problems.some((problem) => problem.severity === 'error'),
      JSON.stringify(text),
    );
  }
});
