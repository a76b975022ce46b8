import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { Reject } from '../../pipelines/base/errors.ts';
import { AttributeList, RESOURCE_ATTRIBUTES, SCOPE_ATTRIBUTES, ValueView, parseAttributes } from '../../pipelines/otlp/attributes.ts';
import { Cutter } from '../../pipelines/otlp/cut.ts';
import { jsonToProtobuf } from '../../pipelines/otlp/json.ts';
import { DataPointView } from '../../pipelines/otlp/data-point.ts';
import { LogRecordView } from '../../pipelines/otlp/log-record.ts';
import { METRIC_NONE, MetricView } from '../../pipelines/otlp/metric.ts';
import { SpanView } from '../../pipelines/otlp/span.ts';
import { Splitter } from '../../pipelines/otlp/split.ts';
import { ItemChecker, defaultValidateSettings } from '../../pipelines/otlp/validate-item.ts';
import { Validator } from '../../pipelines/otlp/validate.ts';
import { Walker, type Signal } from '../../pipelines/otlp/walk.ts';
import { seeded } from '../kit/random.ts';

const NOW_MS = 1_795_600_000_000;
const folder = new URL('../fixtures/envoy/', import.meta.url);
const fixtures = readdirSync(folder)
  .filter((file) => file.endsWith('.bin'))
  .map((file) => {
    const signal: Signal = file.startsWith('trace') ? 'traces' : file.startsWith('logs') ? 'logs' : 'metrics';
    return { file, signal, bytes: readFileSync(new URL(file, folder)) };
  });
assert.ok(fixtures.length >= 30);

const span = new SpanView();
const record = new LogRecordView();
const metric = new MetricView();
const point = new DataPointView();
const list = new AttributeList();
const value = new ValueView();
const walker = new Walker();
const cutter = new Cutter();
const tools = Object.fromEntries(
  (['traces', 'metrics', 'logs'] as const).map((signal) => [
    signal,
    {
      validator: new Validator(signal, defaultValidateSettings),
      splitter: new Splitter(signal, 3),
      checker: new ItemChecker(signal, defaultValidateSettings),
    },
  ]),
) as Record<Signal, { validator: Validator; splitter: Splitter; checker: ItemChecker }>;

function readAttributes(bytes: Buffer, attributes: AttributeList): void {
  for (let i = 0; i < attributes.count; i++) value.parse(bytes, attributes.valueStart(i), attributes.valueStop(i));
}

/** Reads all that stages behind the receiver read. */
function readAll(signal: Signal, bytes: Buffer): number {
  return walker.walk(bytes, 0, bytes.length, {
    resource: (start, stop) => {
      parseAttributes(bytes, start, stop, RESOURCE_ATTRIBUTES, list);
      readAttributes(bytes, list);
    },
    scope: (start, stop) => {
      parseAttributes(bytes, start, stop, SCOPE_ATTRIBUTES, list);
      readAttributes(bytes, list);
    },
    item: (start, stop) => {
      if (signal === 'traces') readAttributes(bytes, span.parse(bytes, start, stop).attributes);
      else if (signal === 'logs') readAttributes(bytes, record.parse(bytes, start, stop).attributes);
      else {
        metric.parse(bytes, start, stop);
        const { kind, points } = metric;
        if (kind === METRIC_NONE) return;
        for (let i = 0; i < points.count; i++) readAttributes(bytes, point.parse(kind, bytes, points.start(i), points.stop(i)).attributes);
      }
    },
  });
}

/** Runs work that makes very many errors: their stacks would take most of the time. */
function withoutStacks(work: () => void): void {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    work();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** True when the bytes were refused. Anything but a Reject is a crash. */
function refused(work: () => void): boolean {
  try {
    work();
    return false;
  } catch (error) {
    if (error instanceof Reject) return true;
    throw error;
  }
}

/** Whatever the validator lets through, everything behind it takes without an error. */
function throughAll(signal: Signal, bytes: Buffer): boolean {
  const { validator, splitter } = tools[signal];
  refused(() => readAll(signal, bytes));
  refused(() => splitter.split(bytes, () => undefined));
  let accepted = Buffer.alloc(0);
  let items = 0;
  const refusedWhole = refused(() => {
    const verdict = validator.check(bytes, NOW_MS);
    accepted = Buffer.from(verdict.bytes);
    items = verdict.accepted;
  });
  if (refusedWhole) return false;
  assert.equal(readAll(signal, accepted), items);
  let split = 0;
  splitter.split(accepted, (_, part, count) => {
    assert.equal(readAll(signal, part), count);
    split += count;
  });
  assert.equal(split, items);
  let cut = 0;
  cutter.cut(accepted, 1000, { part: (_, count) => (cut += count), oversize: () => cut++ });
  assert.equal(cut, items);
  const again = validator.check(accepted, NOW_MS);
  assert.deepEqual([again.accepted, again.rejected], [items, 0], 'what was accepted is accepted again');
  return true;
}

const interesting = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0x1a, 0x0b, 0x4a];

function mutate(bytes: Buffer, next: () => number): Buffer {
  let result = Buffer.from(bytes);
  for (let times = 1 + Math.floor(next() * 3); times > 0; times--) {
    const at = Math.floor(next() * result.length);
    const by = next() < 0.5 ? interesting[Math.floor(next() * interesting.length)]! : Math.floor(next() * 256);
    const kind = Math.floor(next() * 5);
    if (kind <= 1) result[at] = by;
    else if (kind === 2) result[at]! ^= 1 << Math.floor(next() * 8);
    else if (kind === 3) result = Buffer.concat([result.subarray(0, at), result.subarray(at + 1 + Math.floor(next() * 4))]);
    else result = Buffer.concat([result.subarray(0, at), Buffer.from([by]), result.subarray(at)]);
    if (result.length === 0) return result;
  }
  return result;
}

test('every fixture, whole, passes through everything', () => {
  for (const { file, signal, bytes } of fixtures) {
    assert.ok(throughAll(signal, bytes), file);
    assert.equal(tools[signal].validator.check(bytes, NOW_MS).rejected, 0, file);
  }
});

test('every fixture truncated at every byte is refused', () => {
  let cases = 0;
  withoutStacks(() => {
    for (const { file, signal, bytes } of fixtures) {
      const { validator } = tools[signal];
      for (let length = 1; length < bytes.length; length++) {
        const part = bytes.subarray(0, length);
        if (!refused(() => validator.check(part, NOW_MS))) assert.fail(`${file} at ${length}`);
        cases++;
      }
    }
  });
  assert.ok(cases > 100_000);
});

test('every item of every fixture truncated at every byte is read or refused, never a crash', () => {
  let cases = 0;
  let broken = 0;
  withoutStacks(() => {
    for (const { signal, bytes } of fixtures) {
      const { checker } = tools[signal];
      checker.begin(bytes, NOW_MS);
      walker.walk(bytes, 0, bytes.length, {
        resource: () => undefined,
        scope: () => undefined,
        item: (start, stop) => {
          for (let end = start; end < stop; end++) {
            const ours = refused(() => checker.item(start, end));
            if (signal === 'traces') assert.ok(!refused(() => span.parse(bytes, start, end)) || ours);
            else if (signal === 'logs') assert.ok(!refused(() => record.parse(bytes, start, end)) || ours);
            cases++;
            if (ours) broken++;
          }
        },
      });
    }
  });
  assert.ok(cases > 50_000 && broken > cases * 0.8, `${broken} of ${cases}`);
});

for (const seed of [1, 2, 3]) {
  test(`mutated fixtures (seed ${seed}) are taken or refused, and what is taken passes everything behind`, () => {
    const next = seeded(seed);
    let taken = 0;
    let cases = 0;
    for (const { file, signal, bytes } of fixtures) {
      for (let round = 0; round < (signal === 'metrics' ? 12 : 40); round++, cases++) {
        const mutated = mutate(bytes, next);
        try {
          if (throughAll(signal, mutated)) taken++;
        } catch (error) {
          throw new Error(`${file}, round ${round}: ${mutated.toString('base64')}`, { cause: error });
        }
      }
    }
    // Both happen often, or the mutations test nothing.
    assert.ok(taken > cases * 0.1 && taken < cases * 0.95, `${taken} of ${cases}`);
  });
}

test('garbage as JSON is refused, never a crash', () => {
  const next = seeded(4);
  const body = Buffer.from(
    JSON.stringify({
      resourceSpans: [{ scopeSpans: [{ spans: [{ traceId: '0a', kind: 2, attributes: [{ key: 'k', value: { intValue: '5' } }] }] }] }],
    }),
  );
  let taken = 0;
  for (let round = 0; round < 2000; round++) {
    const mutated = mutate(body, next);
    if (!refused(() => readAll('traces', jsonToProtobuf('traces', mutated)))) taken++;
  }
  assert.ok(taken > 100 && taken < 1900, String(taken));
});
