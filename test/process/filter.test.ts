import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { Reject } from '../../pipelines/base/errors.ts';
import { contextOf, createFilter, type FilterSettings } from '../../pipelines/process/filter.ts';
import { logs, traces } from '../kit/otlp.ts';
import { decode, encode } from '../kit/proto.ts';

const folder = new URL('../fixtures/envoy/', import.meta.url);
const fixtures = (start: string): Buffer[] =>
  readdirSync(folder)
    .filter((file) => file.startsWith(start) && file.endsWith('.bin'))
    .map((file) => readFileSync(new URL(file, folder)));

const spanFilter = (...span: string[]): FilterSettings => ({ errorMode: 'ignore', traces: { span } });

interface Plain {
  name: string;
  attributes?: { key: string; value: { stringValue?: string } }[];
  events?: { name: string }[];
}
function spansOf(bytes: Buffer): Plain[] {
  const data = decode('TracesData', bytes) as { resourceSpans?: { scopeSpans: { spans: Plain[] }[] }[] };
  return (data.resourceSpans ?? []).flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans));
}

test('a span for which any condition holds is dropped, all others stay byte for byte', () => {
  const bytes = traces([{ name: 'a' }, { name: 'b', attributes: { x: 1 } }, { name: 'c' }]);
  const filter = createFilter(spanFilter('name == "a"', 'attributes["x"] == 1'), 'traces');
  assert.deepEqual(Buffer.from(filter.process(bytes)), traces([{ name: 'c' }]));
  assert.deepEqual([filter.counters.in, filter.counters.out, filter.counters.dropped.get('filtered')], [3, 1, 2]);
  assert.equal(filter.counters.imbalance(), 0);
});

test('the very same buffer comes back when nothing is dropped, and an empty one when nothing is left', () => {
  const bytes = traces([{ name: 'a' }]);
  assert.equal(createFilter(spanFilter('name == "b"'), 'traces').process(bytes), bytes);
  assert.equal(createFilter(spanFilter(), 'traces').process(bytes), bytes);
  assert.equal(createFilter(spanFilter('true'), 'traces').process(bytes).length, 0);
  const empty = Buffer.alloc(0);
  assert.equal(createFilter(spanFilter('true'), 'traces').process(empty), empty);
});

test('a resource or scope that is left with nothing goes, the others keep their head and schema URL', () => {
  const scopeSpans = (scope: string, name: string): object => ({ scope: { name: scope }, spans: [{ name }], schemaUrl: `s-${scope}` });
  const bytes = encode('TracesData', {
    resourceSpans: [
      { resource: { attributes: [{ key: 'k', value: { stringValue: '1' } }] }, scopeSpans: [scopeSpans('x', 'a')] },
      {
        resource: { attributes: [{ key: 'k', value: { stringValue: '2' } }] },
        scopeSpans: [scopeSpans('x', 'a'), scopeSpans('y', 'b')],
        schemaUrl: 'r',
      },
    ],
  });
  const out = decode('TracesData', createFilter(spanFilter('name == "a"'), 'traces').process(bytes)) as object;
  assert.deepEqual(out, {
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'k', value: { stringValue: '2' } }] },
        scopeSpans: [{ scope: { name: 'y' }, spans: [{ name: 'b' }], schemaUrl: 's-y' }],
        schemaUrl: 'r',
      },
    ],
  });
});

test('resource attributes are those of the resource that the span stands under', () => {
  const bytes = Buffer.concat([traces([{ name: 'a' }], 'shop'), traces([{ name: 'b' }], 'cart'), traces([{ name: 'c' }], 'shop')]);
  const filter = createFilter(spanFilter('resource.attributes["service.name"] == "shop"'), 'traces');
  assert.deepEqual(
    spansOf(filter.process(bytes)).map((span) => span.name),
    ['b'],
  );
});

test('conditions on events drop events, not spans, and leave every other field as it stood', () => {
  const bytes = traces([
    {
      name: 'a',
      events: [{ name: 'keep' }, { name: 'drop' }, { name: 'keep2', attributes: { e: 'x' } }],
      links: [{ trace: '2', span: '3' }],
      status: 2,
    },
    { name: 'b', events: [{ name: 'keep' }] },
  ]);
  const filter = createFilter({ errorMode: 'ignore', traces: { spanevent: ['name == "drop" or span.name == "zzz"'] } }, 'traces');
  const want = traces([
    { name: 'a', events: [{ name: 'keep' }, { name: 'keep2', attributes: { e: 'x' } }], links: [{ trace: '2', span: '3' }], status: 2 },
    { name: 'b', events: [{ name: 'keep' }] },
  ]);
  assert.deepEqual(decode('TracesData', filter.process(bytes)), decode('TracesData', want));
  assert.deepEqual([filter.counters.in, filter.counters.out], [2, 2]);
});

test('flat conditions find their context by the paths they read', () => {
  assert.equal(contextOf('spanevent.name == "x"', 'traces'), 'spanevent');
  assert.equal(contextOf('span.name == "spanevent.name"', 'traces'), 'span');
  assert.equal(contextOf('resource.attributes["a"] == 1', 'logs'), 'log');
  const filter = createFilter({ errorMode: 'ignore', traceConditions: ['spanevent.name == "drop"', 'span.name == "b"'] }, 'traces');
  const spans = spansOf(filter.process(traces([{ name: 'a', events: [{ name: 'drop' }] }, { name: 'b' }])));
  assert.deepEqual(
    spans.map((span) => [span.name, span.events?.length ?? 0]),
    [['a', 0]],
  );
});

test('log records and metrics are filtered alike', () => {
  const filter = createFilter({ errorMode: 'ignore', logs: { logRecord: ['severity_number < SEVERITY_NUMBER_WARN'] } }, 'logs');
  assert.deepEqual(Buffer.from(filter.process(logs([{ severity: 9 }, { severity: 17 }]))), logs([{ severity: 17 }]));
  const metrics = createFilter({ errorMode: 'ignore', metricConditions: ['IsMatch(metric.name, "^http\\\\.")'] }, 'metrics');
  const message = (names: string[]): Buffer =>
    encode('MetricsData', { resourceMetrics: [{ scopeMetrics: [{ metrics: names.map((name) => ({ name, gauge: {} })) }] }] });
  assert.deepEqual(Buffer.from(metrics.process(message(['http.x', 'cpu']))), message(['cpu']));
});

test('propagate refuses the request when a function cannot work, and counts nothing of it', () => {
  const filter = createFilter({ errorMode: 'propagate', traces: { span: ['HasPrefix(attributes["x"], "a")'] } }, 'traces');
  assert.throws(() => filter.process(traces([{}])), Reject);
  assert.deepEqual([filter.counters.in, filter.counters.imbalance()], [0, 0]);
  assert.equal(filter.process(traces([{ attributes: { x: 'abc' } }])).length, 0);
});

test('truncated bytes are Malformed and are not counted', () => {
  const bytes = traces([{ attributes: { x: 'abc' } }]);
  const filter = createFilter(spanFilter('attributes["x"] == "abc"'), 'traces');
  let refused = 0;
  for (let stop = 0; stop < bytes.length; stop++) {
    try {
      filter.process(bytes.subarray(0, stop));
    } catch (error) {
      assert.ok(error instanceof Reject);
      refused++;
    }
    assert.equal(filter.counters.imbalance(), 0);
  }
  assert.ok(refused > bytes.length / 2);
});

test("Envoy's spans: what is kept and what is dropped make up all of it", () => {
  const condition = 'IsMatch(attributes["upstream_cluster"], "^outbound|.*") and Int(attributes["http.status_code"]) >= 500';
  const dropping = createFilter(spanFilter(condition), 'traces');
  const keeping = createFilter(spanFilter(`not (${condition})`), 'traces');
  let all = 0;
  let errors = 0;
  for (const bytes of fixtures('trace')) {
    const spans = spansOf(bytes);
    const isError = (span: Plain): boolean =>
      Number(span.attributes?.find((each) => each.key === 'http.status_code')?.value.stringValue) >= 500;
    all += spans.length;
    errors += spans.filter(isError).length;
    assert.deepEqual(
      spansOf(dropping.process(bytes)),
      spans.filter((span) => !isError(span)),
    );
    assert.deepEqual(spansOf(keeping.process(bytes)), spans.filter(isError));
  }
  assert.ok(all > 50 && errors > 0 && errors < all, `${errors} of ${all}`);
  assert.deepEqual([dropping.counters.in, dropping.counters.out, keeping.counters.out], [all, all - errors, errors]);
});
