import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Malformed } from '../../pipelines/base/errors.ts';
import { hashBytes } from '../../pipelines/base/hash.ts';
import { Cutter } from '../../pipelines/otlp/cut.ts';
import { itemOf, rootOf } from '../../pipelines/otlp/schema.ts';
import { Splitter } from '../../pipelines/otlp/split.ts';
import type { Signal } from '../../pipelines/otlp/walk.ts';
import { decode, encode } from '../kit/proto.ts';
import { traces } from '../kit/otlp.ts';
import { message } from './arbitrary.ts';

// oxlint-disable-next-line typescript/no-explicit-any
type Any = any;
interface Located {
  readonly resource: unknown;
  readonly resourceUrl: unknown;
  readonly scope: unknown;
  readonly scopeUrl: unknown;
  readonly item: Any;
}
const childNames = {
  traces: ['resourceSpans', 'scopeSpans', 'spans'],
  metrics: ['resourceMetrics', 'scopeMetrics', 'metrics'],
  logs: ['resourceLogs', 'scopeLogs', 'logRecords'],
} as const;

/** Every item with all that stands above it, in order. The bytes are copied: parts are borrowed. */
function locate(signal: Signal, borrowed: Buffer): Located[] {
  const bytes = Buffer.from(borrowed);
  const [resources, scopes, items] = childNames[signal];
  const located: Located[] = [];
  for (const r of decode(rootOf[signal], bytes)[resources] ?? []) {
    for (const s of r[scopes] ?? []) {
      for (const item of s[items] ?? [])
        located.push({
          resource: r.resource ?? {},
          resourceUrl: r.schemaUrl ?? '',
          scope: s.scope ?? {},
          scopeUrl: s.schemaUrl ?? '',
          item,
        });
    }
  }
  return located;
}

/** Random requests in which several items share a trace. */
function request(signal: Signal): fc.Arbitrary<Buffer> {
  const [resources, scopes, items] = childNames[signal];
  const traceId = fc.constantFrom(1, 2, 3, 4, 5, 6).map((n) => Buffer.alloc(16, n));
  const item = fc.tuple(message(itemOf[signal], 1), traceId, fc.boolean()).map(([value, id, has]) => {
    if (signal === 'metrics') return value;
    return signal === 'traces' || has ? { ...value, traceId: id } : { ...value, traceId: Buffer.alloc(0) };
  });
  const scope = fc.record(
    { scope: message('InstrumentationScope', 1), [items]: fc.array(item, { maxLength: 4 }), schemaUrl: fc.constantFrom('', 'v1') },
    { requiredKeys: [items] },
  );
  const resource = fc.record(
    { resource: message('Resource', 1), [scopes]: fc.array(scope, { maxLength: 2 }), schemaUrl: fc.constantFrom('', 'v2') },
    { requiredKeys: [scopes] },
  );
  return fc.array(resource, { maxLength: 3 }).map((all) => encode(rootOf[signal], { [resources]: all }));
}

function split(splitter: Splitter, bytes: Buffer): { parts: Map<number, Buffer>; items: number } {
  const parts = new Map<number, Buffer>();
  const items = splitter.split(bytes, (partition, part, count) => {
    assert.ok(!parts.has(partition), 'a partition is handed on once');
    assert.equal(locate(splitter.signal, part).length, count);
    parts.set(partition, Buffer.from(part));
  });
  return { parts, items };
}

/** Items of one partition keep their order; between partitions there is none. */
const bySpelling = (items: readonly Located[]): string[] => items.map((one) => JSON.stringify(one)).toSorted();

for (const signal of ['traces', 'metrics', 'logs'] as const) {
  for (const partitions of [1, 4]) {
    test(`${signal}: Splitter over ${partitions} partitions hands on every item once, under its own resource and scope`, () => {
      const splitter = new Splitter(signal, partitions);
      fc.assert(
        fc.property(request(signal), (bytes) => {
          const all = locate(signal, bytes);
          const { parts, items } = split(splitter, bytes);
          assert.equal(items, all.length);
          const out = [...parts.values()].flatMap((part) => locate(signal, part));
          assert.deepEqual(bySpelling(out), bySpelling(all));
          for (const part of parts.values()) {
            const left = locate(signal, part).map((one) => JSON.stringify(one));
            let at = 0;
            for (const one of all) if (JSON.stringify(one) === left[at]) at++;
            assert.equal(at, left.length, 'the order of the request is kept');
          }
        }),
        { numRuns: 60 },
      );
    });
  }

  test(`${signal}: splitting the concatenation of two requests gives the concatenation of their parts`, () => {
    const splitter = new Splitter(signal, 3);
    fc.assert(
      fc.property(request(signal), request(signal), (left, right) => {
        const both = split(splitter, Buffer.concat([left, right])).parts;
        const a = split(splitter, left).parts;
        const b = split(splitter, right).parts;
        for (let p = 0; p < 3; p++) {
          const want = [...locate(signal, a.get(p) ?? Buffer.alloc(0)), ...locate(signal, b.get(p) ?? Buffer.alloc(0))];
          assert.deepEqual(locate(signal, both.get(p) ?? Buffer.alloc(0)), want);
        }
      }),
      { numRuns: 40 },
    );
  });

  test(`${signal}: Cutter makes parts of at most the limit that hold all items in order, and sets too large ones apart`, () => {
    const cutter = new Cutter();
    fc.assert(
      fc.property(request(signal), fc.integer({ min: 1, max: 600 }), (bytes, bytesMax) => {
        const out: Located[] = [];
        const items = cutter.cut(bytes, bytesMax, {
          part: (part, count) => {
            const inside = locate(signal, part);
            assert.ok(part.length <= bytesMax);
            assert.equal(inside.length, count);
            out.push(...inside);
          },
          oversize: (part) => {
            const inside = locate(signal, part);
            assert.ok(part.length > bytesMax);
            assert.equal(inside.length, 1);
            out.push(...inside);
          },
        });
        assert.equal(items, out.length);
        assert.deepEqual(out, locate(signal, bytes));
      }),
    );
  });
}

test('Splitter puts a span where the hash of its trace id says', () => {
  const splitter = new Splitter('traces', 7);
  fc.assert(
    fc.property(request('traces'), (bytes) => {
      for (const [partition, part] of split(splitter, bytes).parts) {
        for (const { item } of locate('traces', part)) assert.equal(hashBytes(item.traceId, 0, 16) % 7, partition);
      }
    }),
    { numRuns: 50 },
  );
});

test('Splitter puts a log record without a trace, or with a trace id of zeros, where its resource goes', () => {
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] };
  const log = (record: object): Buffer => encode('LogsData', { resourceLogs: [{ resource, scopeLogs: [{ logRecords: [record] }] }] });
  const bytes = encode('Resource', resource);
  const want = hashBytes(bytes, 0, bytes.length) % 64;
  const splitter = new Splitter('logs', 64);
  for (const record of [{}, { traceId: Buffer.alloc(0) }, { traceId: Buffer.alloc(16) }])
    assert.deepEqual([...split(splitter, log(record)).parts.keys()], [want]);
  const id = Buffer.alloc(16, 9);
  assert.deepEqual([...split(splitter, log({ traceId: id })).parts.keys()], [hashBytes(id, 0, 16) % 64]);
});

test('Splitter hands a request of one trace on as it came, without a copy', () => {
  const bytes = traces([{ span: '1' }, { span: '2' }]);
  let same = false;
  new Splitter('traces', 8).split(bytes, (_, part) => {
    same = part === bytes;
  });
  assert.ok(same);
});

test('Splitter hands on nothing of a request that is damaged, and serves the next one', () => {
  const splitter = new Splitter('traces', 4);
  const good = traces([{ trace: 'a' }, { trace: 'b' }, { trace: 'c' }]);
  const parts: number[] = [];
  assert.throws(() => splitter.split(good.subarray(0, good.length - 1), (partition) => parts.push(partition)), Malformed);
  assert.deepEqual(parts, []);
  assert.equal(split(splitter, good).items, 3);
});

test('Splitter: Envoy’s requests come out whole at any number of partitions', () => {
  const folder = new URL('../fixtures/envoy/', import.meta.url);
  const files = readdirSync(folder).filter((file) => file.startsWith('trace'));
  assert.ok(files.length > 0);
  const bytes = Buffer.concat(files.map((file) => readFileSync(new URL(file, folder))));
  for (const partitions of [1, 2, 5, 64]) {
    const { parts } = split(new Splitter('traces', partitions), bytes);
    assert.deepEqual(bySpelling([...parts.values()].flatMap((part) => locate('traces', part))), bySpelling(locate('traces', bytes)));
  }
});

test('Cutter packs: parts are at least half full where items are small', () => {
  const bytes = traces(Array.from({ length: 500 }, (_, i) => ({ trace: i.toString(16), attributes: { k: 'v'.repeat(i % 50) } })));
  const sizes: number[] = [];
  new Cutter().cut(bytes, 4000, { part: (part) => sizes.push(part.length), oversize: () => assert.fail() });
  assert.ok(sizes.length > 3);
  assert.ok(
    sizes.slice(0, -1).every((size) => size > 3700 && size <= 4000),
    String(sizes),
  );
});

test('Cutter takes an item that alone fills a part to the last byte', () => {
  const one = traces([{ name: 'x'.repeat(300) }]);
  const two = Buffer.concat([one, one]);
  const seen: string[] = [];
  new Cutter().cut(two, one.length, { part: () => seen.push('part'), oversize: () => seen.push('oversize') });
  new Cutter().cut(two, one.length - 1, { part: () => seen.push('part'), oversize: () => seen.push('oversize') });
  assert.deepEqual(seen, ['part', 'part', 'oversize', 'oversize']);
});
