import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Busy, Reject } from '../../pipelines/base/errors.ts';
import { Admission, type Lease } from '../../pipelines/receive/admission.ts';

test('a lease takes up to the budget, and what does not fit is Busy with the delay and takes nothing', () => {
  const admission = new Admission({ inFlight_bytes_max: 100, retryAfter_ms: 2_500 });
  const lease = admission.begin();
  lease.take(60);
  const other = admission.begin();
  assert.throws(
    () => other.take(41),
    (error) => error instanceof Busy && error.reason === 'in_flight_bytes' && error.retryAfter_ms === 2_500,
  );
  assert.equal(admission.inFlight_bytes, 60);
  other.take(40);
  assert.equal(admission.inFlight_bytes, 100);
});

test('what is larger than the whole budget is refused for good: told to come back, it would come back for ever', () => {
  const lease = new Admission({ inFlight_bytes_max: 100, retryAfter_ms: 1 }).begin();
  lease.take(60);
  assert.throws(
    () => lease.take(41),
    (error) => error instanceof Reject && error.reason === 'too_large',
  );
  assert.equal(lease.bytes, 60);
});

test('begin() refuses while the budget is used up and takes again after end()', () => {
  const admission = new Admission({ inFlight_bytes_max: 10, retryAfter_ms: 1 });
  const lease = admission.begin();
  lease.take(10);
  assert.throws(() => admission.begin(), Busy);
  lease.end();
  lease.end();
  assert.equal(admission.inFlight_bytes, 0);
  assert.equal(admission.inFlightRequests, 0);
  admission.begin().end();
  assert.equal(admission.requests, 2);
});

test('after close() every request is refused as draining', () => {
  const admission = new Admission({ inFlight_bytes_max: 10, retryAfter_ms: 1 });
  admission.close();
  assert.throws(
    () => admission.begin(),
    (error) => error instanceof Busy && error.reason === 'draining',
  );
});

test('the bytes in flight are the sum of the leases, never above the budget, and 0 when all have ended', () => {
  const step = fc.record({ who: fc.nat(4), what: fc.constantFrom('take', 'give', 'end'), bytes: fc.nat(60) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const admission = new Admission({ inFlight_bytes_max: 100, retryAfter_ms: 1 });
      const leases: (Lease | undefined)[] = [];
      for (const { who, what, bytes } of steps) {
        try {
          const lease = (leases[who] ??= admission.begin());
          if (what === 'take') lease.take(bytes);
          else if (what === 'give') lease.give(Math.min(bytes, lease.bytes));
          else {
            lease.end();
            leases[who] = undefined;
          }
        } catch (error) {
          assert.ok(error instanceof Busy || error instanceof Reject);
        }
        assert.equal(
          admission.inFlight_bytes,
          leases.reduce((sum, lease) => sum + (lease?.bytes ?? 0), 0),
        );
        assert.ok(admission.inFlight_bytes <= 100);
      }
      for (const lease of leases) lease?.end();
      assert.equal(admission.inFlight_bytes, 0);
      assert.equal(admission.inFlightRequests, 0);
    }),
  );
});
