import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { OperatorError } from '../../pipelines/base/errors.ts';
import type { AttributeAction } from '../../pipelines/process/attribute-actions.ts';
import { createAttributes, type AttributesSettings } from '../../pipelines/process/attributes.ts';
import { createResource } from '../../pipelines/process/resource.ts';
import { keyValues, logs, traces, type AttributeValue } from '../kit/otlp.ts';
import { decode, encode } from '../kit/proto.ts';

type Pair = { key: string; value?: object };
interface Data {
  resourceSpans: { resource: { attributes?: Pair[] }; scopeSpans: { spans: { attributes?: Pair[] }[] }[] }[];
}
const attributesOf = (bytes: Buffer): Pair[] =>
  (decode('TracesData', bytes) as Data).resourceSpans[0]!.scopeSpans[0]!.spans[0]!.attributes ?? [];
/** As decoded: 64-bit integers are strings. */
const expected = (attributes: Record<string, AttributeValue>): Pair[] => {
  const bytes = encode('Resource', { attributes: keyValues(attributes) });
  return (decode('Resource', bytes) as { attributes?: Pair[] }).attributes ?? [];
};
const run = (attributes: Record<string, AttributeValue>, ...actions: AttributeAction[]): Pair[] =>
  attributesOf(createAttributes({ actions }, 'traces').process(traces([{ attributes }])));
const sha256 = (value: string | Buffer): string => createHash('sha256').update(value).digest('hex');

const before = { a: 'x', n: 5, d: 2.75, yes: true };

const table: readonly (readonly [string, AttributeAction[], Record<string, AttributeValue>])[] = [
  ['insert adds what is not there', [{ action: 'insert', key: 'b', value: 'y' }], { ...before, b: 'y' }],
  ['insert leaves what is there', [{ action: 'insert', key: 'a', value: 'y' }], before],
  ['update changes what is there', [{ action: 'update', key: 'a', value: 7 }], { ...before, a: 7 }],
  ['update leaves out what is not there', [{ action: 'update', key: 'b', value: 7 }], before],
  [
    'upsert does both',
    [
      { action: 'upsert', key: 'a', value: true },
      { action: 'upsert', key: 'b', value: -0.5 },
    ],
    { ...before, a: true, b: -0.5 },
  ],
  [
    'values may be lists, maps and negative',
    [{ action: 'insert', key: 'b', value: ['p', -1, { q: [false] }] }],
    { ...before, b: ['p', -1, { q: [false] }] },
  ],
  ['from_attribute copies', [{ action: 'insert', key: 'b', fromAttribute: 'n' }], { ...before, b: 5 }],
  ['from_attribute without its source does nothing', [{ action: 'upsert', key: 'a', fromAttribute: 'zz' }], before],
  [
    'default_value stands in for a missing source',
    [{ action: 'insert', key: 'b', fromAttribute: 'zz', defaultValue: 'd' }],
    { ...before, b: 'd' },
  ],
  ['delete by key', [{ action: 'delete', key: 'n' }], { a: 'x', d: 2.75, yes: true }],
  ['delete by pattern', [{ action: 'delete', pattern: '^(a|yes)$' }], { n: 5, d: 2.75 }],
  ['delete by key and pattern', [{ action: 'delete', key: 'n', pattern: '^a' }], { d: 2.75, yes: true }],
  ['hash of a string', [{ action: 'hash', key: 'a' }], { ...before, a: sha256('x') }],
  [
    'hash of an int, double and bool',
    [{ action: 'hash', pattern: '^(n|d|yes)$' }],
    {
      a: 'x',
      n: sha256(Buffer.from('0500000000000000', 'hex')),
      d: sha256(Buffer.from('0000000000000640', 'hex')),
      yes: sha256(Buffer.of(1)),
    },
  ],
  [
    'hash twice is the hash of the hash',
    [
      { action: 'hash', key: 'a' },
      { action: 'hash', key: 'a' },
    ],
    { ...before, a: sha256(sha256('x')) },
  ],
  [
    'convert to string',
    [
      { action: 'convert', key: 'n', convertedType: 'string' },
      { action: 'convert', key: 'yes', convertedType: 'string' },
    ],
    { ...before, n: '5', yes: 'true' },
  ],
  [
    'convert to int',
    [
      { action: 'convert', key: 'd', convertedType: 'int' },
      { action: 'convert', key: 'yes', convertedType: 'int' },
    ],
    { ...before, d: 2, yes: 1 },
  ],
  ['a value that cannot be converted stays', [{ action: 'convert', key: 'a', convertedType: 'int' }], before],
  [
    'actions see what those before them did',
    [
      { action: 'insert', key: 'b', value: '17' },
      { action: 'convert', key: 'b', convertedType: 'int' },
      { action: 'insert', key: 'c', fromAttribute: 'b' },
      { action: 'delete', key: 'b' },
    ],
    { ...before, c: 17 },
  ],
];

for (const [what, actions, after] of table) {
  test(what, () => {
    assert.deepEqual(run(before, ...actions), expected(after));
  });
}

test('strings become the exact 64-bit integer, to its limits', () => {
  for (const [text, want] of [
    ['9223372036854775807', '9223372036854775807'],
    ['-9223372036854775808', '-9223372036854775808'],
    ['+12', '12'],
    ['-1', '-1'],
    ['4294967296', '4294967296'],
  ] as const) {
    assert.deepEqual(run({ v: text }, { action: 'convert', key: 'v', convertedType: 'int' }), [{ key: 'v', value: { intValue: want } }]);
  }
  for (const text of ['9223372036854775808', '-9223372036854775809', '', '-', '1.5', '1e3', ' 1', '99999999999999999999999']) {
    assert.deepEqual(run({ v: text }, { action: 'convert', key: 'v', convertedType: 'int' }), [{ key: 'v', value: { stringValue: text } }]);
  }
  assert.deepEqual(run({ v: '1.5e3' }, { action: 'convert', key: 'v', convertedType: 'double' }), [
    { key: 'v', value: { doubleValue: 1500 } },
  ]);
  assert.deepEqual(run({ v: '12' }, { action: 'convert', key: 'v', convertedType: 'double' }), [{ key: 'v', value: { doubleValue: 12 } }]);
});

test('every other field of a span stays, and a span without a change stays byte for byte', () => {
  const spec = {
    name: 'a',
    status: 2,
    statusMessage: 'm',
    traceState: 'a=b',
    flags: 1,
    events: [{ name: 'e' }],
    links: [{ trace: '2', span: '3' }],
  };
  const bytes = traces([
    { ...spec, attributes: { x: 1, y: 'z' } },
    { ...spec, attributes: { other: 1 } },
  ]);
  const processor = createAttributes({ actions: [{ action: 'update', key: 'x', value: 2 }] }, 'traces');
  const want = traces([
    { ...spec, attributes: { x: 2, y: 'z' } },
    { ...spec, attributes: { other: 1 } },
  ]);
  assert.deepEqual(decode('TracesData', processor.process(bytes)), decode('TracesData', want));
  assert.deepEqual([processor.counters.in, processor.counters.out, processor.counters.imbalance()], [2, 2, 0]);
  const untouched = traces([{ ...spec, attributes: { other: 1 } }]);
  assert.equal(processor.process(untouched), untouched);
});

test('fields that nobody knows are carried along', () => {
  const attribute = encode('KeyValue', { key: 'k', value: { stringValue: 'v' } });
  const field = (number: number, payload: Buffer): Buffer => Buffer.concat([Buffer.of((number << 3) | 2, payload.length), payload]);
  // Field 15 of a KeyValue and field 14 (links) as raw bytes around the attributes of a span.
  const odd = field(9, Buffer.concat([attribute, Buffer.from('7a03616263', 'hex')]));
  const span = Buffer.concat([field(5, Buffer.from('n')), odd, Buffer.from('fa0603616263', 'hex')]);
  const bytes = field(1, field(2, field(2, span)));
  const out = createAttributes({ actions: [{ action: 'insert', key: 'new', value: 1 }] }, 'traces').process(bytes);
  assert.ok(out.includes(odd), 'the untouched attribute with its unknown field');
  assert.ok(out.includes(Buffer.from('fa0603616263', 'hex')), 'the unknown field of the span');
});

test('include and exclude choose the spans', () => {
  const insert: AttributeAction[] = [{ action: 'insert', key: 'seen', value: true }];
  const seen = (settings: Omit<AttributesSettings, 'actions'>, name: string, service = 'shop'): boolean =>
    attributesOf(
      createAttributes({ ...settings, actions: insert }, 'traces').process(traces([{ name, kind: 2, attributes: { a: 1 } }], service)),
    ).some((each) => each.key === 'seen');
  assert.equal(seen({ include: { matchType: 'strict', services: ['cart', 'shop'] } }, 'x'), true);
  assert.equal(seen({ include: { matchType: 'strict', services: ['cart'] } }, 'x'), false);
  assert.equal(seen({ include: { matchType: 'regexp', services: ['^sh'], spanNames: ['^x$'] } }, 'y'), false);
  assert.equal(seen({ exclude: { matchType: 'regexp', spanNames: ['health'] } }, '/healthz'), false);
  assert.equal(seen({ include: { matchType: 'strict', attributes: [{ key: 'a', value: 1 }] } }, 'x'), true);
  assert.equal(seen({ include: { matchType: 'strict', attributes: [{ key: 'b' }] } }, 'x'), false);
  assert.equal(
    seen({ include: { matchType: 'strict', libraries: [{ name: 'test', version: '1' }], spanKinds: ['SPAN_KIND_SERVER'] } }, 'x'),
    true,
  );
  assert.equal(
    seen({ include: { matchType: 'strict', services: ['shop'] }, exclude: { matchType: 'strict', spanNames: ['x'] } }, 'x'),
    false,
  );
});

test('attributes of log records are changed too', () => {
  const out = createAttributes({ actions: [{ action: 'delete', key: 'a' }] }, 'logs').process(logs([{ attributes: { a: 1, b: 2 } }]));
  assert.deepEqual(decode('LogsData', out), decode('LogsData', logs([{ attributes: { b: 2 } }])));
});

test('resource actions change the resource and copy what stands below it', () => {
  const bytes = Buffer.concat([traces([{ name: 'a', attributes: { x: 1 } }], 'shop', { secret: 's' }), traces([{ name: 'b' }], 'cart')]);
  const processor = createResource({
    attributes: [
      { action: 'delete', key: 'secret' },
      { action: 'upsert', key: 'env', value: 'prod' },
    ],
  });
  const want = Buffer.concat([
    traces([{ name: 'a', attributes: { x: 1 } }], 'shop', { env: 'prod' }),
    traces([{ name: 'b' }], 'cart', { env: 'prod' }),
  ]);
  assert.deepEqual(decode('TracesData', processor.process(bytes)), decode('TracesData', want));
  assert.deepEqual([processor.counters.in, processor.counters.out], [2, 2]);
  const same = createResource({ attributes: [{ action: 'update', key: 'nothing', value: 1 }] });
  assert.equal(same.process(bytes), bytes);
  // A message without a Resource gets one.
  const bare = encode('TracesData', { resourceSpans: [{ scopeSpans: [{ spans: [{ name: 'x' }] }] }] });
  assert.deepEqual(
    (decode('TracesData', processor.process(bare)) as Data).resourceSpans[0]!.resource.attributes,
    expected({ env: 'prod' }),
  );
});

test('actions that cannot be are refused with what to do', () => {
  const refuse = (action: AttributeAction, message: RegExp): void => {
    assert.throws(
      () => createAttributes({ actions: [action] }, 'traces'),
      (error) => error instanceof OperatorError && message.test(error.message) && error.hint !== '',
    );
  };
  refuse({ action: 'extract', key: 'a', pattern: '(?P<x>.*)' }, /actions\[0\]: extract is not supported yet/);
  refuse({ action: 'insert', value: 1 }, /needs a key/);
  refuse({ action: 'insert', key: 'a' }, /needs one source/);
  refuse({ action: 'insert', key: 'a', value: 1, fromAttribute: 'b' }, /needs one source/);
  refuse({ action: 'delete' }, /needs a key or a pattern/);
  refuse({ action: 'delete', pattern: '(' }, /cannot be used/);
  refuse({ action: 'convert', key: 'a' }, /needs a type/);
  assert.throws(() => createAttributes({ actions: [] }, 'metrics'), OperatorError);
  assert.throws(() => createAttributes({ actions: [], include: { matchType: 'strict' } }, 'traces'), OperatorError);
});

test("Envoy's spans with a key hashed and one deleted equal the same done on plain objects", () => {
  const folder = new URL('../fixtures/envoy/', import.meta.url);
  const processor = createAttributes(
    {
      actions: [
        { action: 'hash', key: 'peer.address' },
        { action: 'delete', pattern: '^guid:' },
        { action: 'upsert', key: 'mesh', value: 'envoy' },
      ],
    },
    'traces',
  );
  let spans = 0;
  for (const file of readdirSync(folder).filter((each) => each.startsWith('trace'))) {
    const bytes = readFileSync(new URL(file, folder));
    const want = decode('TracesData', bytes) as Data;
    for (const span of want.resourceSpans.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans))) {
      spans++;
      span.attributes = (span.attributes ?? [])
        .filter((each) => !each.key.startsWith('guid:'))
        .map((each) =>
          each.key === 'peer.address'
            ? { key: each.key, value: { stringValue: sha256((each.value as { stringValue: string }).stringValue) } }
            : each,
        );
      span.attributes.push({ key: 'mesh', value: { stringValue: 'envoy' } });
    }
    assert.deepEqual(decode('TracesData', processor.process(bytes)), want);
  }
  assert.ok(spans > 50);
  assert.equal(processor.counters.out, spans);
});
