import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { traces } from '../kit/otlp.ts';
import { BOUNDS_MS, naive, read } from './naive.ts';
import { MS, T, create, once } from './once.ts';

const arbitrarySpan = fc.record({
  name: fc.constantFrom('GET /', 'GET /cart', 'POST /checkout', '', 'ü'),
  kind: fc.integer({ min: 0, max: 6 }),
  status: fc.integer({ min: 0, max: 3 }),
  duration_ns: fc.oneof(
    fc.bigInt({ min: -10n, max: 20_000_000_000n }),
    fc.constantFrom(...BOUNDS_MS.map((b) => BigInt(b) * MS), ...BOUNDS_MS.map((b) => BigInt(b) * MS + 1n)),
  ),
  attributes: fc.dictionary(
    fc.constantFrom('http.method', 'code', 'other'),
    fc.oneof(fc.constantFrom('GET', 'POST', ''), fc.integer(), fc.boolean()),
    {
      maxKeys: 3,
    },
  ),
});
const arbitraryRequest = fc
  .tuple(
    fc.array(arbitrarySpan, { maxLength: 12 }),
    fc.constantFrom('cart', 'shop', '', 'checkout'),
    fc.dictionary(fc.constantFrom('code', 'zone'), fc.constantFrom('r1', 'r2'), { maxKeys: 2 }),
  )
  .map(([spans, service, resource]) => traces(spans, service, resource));
const dimensions = [{ name: 'http.method', default: 'none' }, { name: 'code' }];

void test('any spans give what a plain aggregation of decoded objects gives, in its order', () => {
  fc.assert(
    fc.property(fc.array(arbitraryRequest, { minLength: 1, maxLength: 8 }), (requests) => {
      const expected = naive(requests, dimensions);
      const actual = read(once(requests, { dimensions }).map((e) => e.bytes));
      for (const points of [...expected.values(), ...actual.values()]) {
        // Ours is exact; the plain one adds doubles.
        for (const point of points.values()) point.sum_ms = Math.round(point.sum_ms * 1e3) / 1e3;
      }
      assert.deepEqual([...actual.keys()], [...expected.keys()]);
      assert.deepEqual(
        [...actual.values()].map((points) => [...points.entries()]),
        [...expected.values()].map((points) => [...points.entries()]),
      );
    }),
    { numRuns: 200 },
  );
});

void test('the same spans cut into other records of the same times give the same bytes', () => {
  fc.assert(
    fc.property(fc.array(arbitraryRequest, { minLength: 1, maxLength: 10 }), fc.infiniteStream(fc.boolean()), (requests, cuts) => {
      const one = create({ dimensions });
      for (const [i, request] of requests.entries()) one.metrics.fold(request, T + (i >> 1) * 7000);
      one.metrics.tick(T + 600_000);
      const other = create({ dimensions });
      let joined: Buffer[] = [];
      for (const [i, request] of requests.entries()) {
        joined.push(request);
        const lastOfTime = i % 2 === 1 || i === requests.length - 1;
        if (lastOfTime || cuts.next().value === true) {
          other.metrics.tick(T + (i >> 1) * 7000);
          other.metrics.fold(Buffer.concat(joined), T + (i >> 1) * 7000);
          joined = [];
        }
      }
      other.metrics.tick(T + 600_000);
      assert.deepEqual(other.emitted, one.emitted);
    }),
    { numRuns: 50 },
  );
});
