import assert from 'node:assert/strict';
import { test } from 'node:test';
import v8 from 'node:v8';
import { Gate } from '../../pipelines/sample/gate.ts';
import { Sampler } from '../../pipelines/sample/sampler.ts';
import type { PolicySettings } from '../../pipelines/sample/settings.ts';
import { KEPT, TraceTable } from '../../pipelines/sample/trace-table.ts';
import { decompress } from '../../pipelines/topic/record.ts';
import { traces } from '../kit/otlp.ts';

/*
 * No object, string or BigInt per span: V8 counts every byte that it gives out (see test/otlp/allocation.test.ts). One object a span
 * would take 24 bytes or more.
 */
const BYTES_PER_SPAN_MAX = 8;
const BYTES_PER_TRACE_MAX = 160;
const SPANS = 2000;
// Code that is not yet compiled allocates: the least of many attempts is the truth.
const ATTEMPTS_MAX = 500;

const policies: PolicySettings[] = [
  { name: 'errors', type: 'status_code', statusCodes: ['ERROR'] },
  { name: 'slow', type: 'latency', threshold_ms: 500 },
  { name: 'text', type: 'string_attribute', key: 'k', values: ['no'] },
  { name: 'pattern', type: 'string_attribute', key: 'k', values: ['^no'], enabledRegexMatching: true },
  { name: 'number', type: 'numeric_attribute', key: 'n', minValue: 500 },
  { name: 'chance', type: 'probabilistic', samplingPercentage: 1 },
];

const spans = Array.from({ length: SPANS }, (_, n) => ({
  trace: (n % 100).toString(16) + 'f'.repeat(13),
  span: (n + 1).toString(16),
  traceState: 'ot=rv:00000000000001',
  attributes: { k: `v${n}`, n: '200' },
}));
const raw = traces(spans);

function leastAllocated(work: () => void, enough: number): number {
  let least = Infinity;
  for (let attempt = 0; attempt < ATTEMPTS_MAX && least > enough; attempt++) {
    const before = v8.getHeapStatistics().total_allocated_bytes;
    work();
    least = Math.min(least, v8.getHeapStatistics().total_allocated_bytes - before);
  }
  return least;
}

test(`folding and deciding allocate less than ${BYTES_PER_SPAN_MAX} bytes a span`, () => {
  const sampler = new Sampler({
    settings: { decisionWait_ms: 100, lateWait_ms: 100, heldBytes_max: 1e9, traces_max: 1e9, policies },
    sink: () => {},
    unpack: decompress,
  });
  let offset = 0;
  const record = (): void => {
    sampler.push(
      { offset, time_ms: offset * 50, value: raw, headers: { format: 1, codec: 'none', items: SPANS, raw_bytes: raw.length } },
      raw,
    );
    offset++;
  };
  // Slot numbers: 4 bytes a span for as long as the record is held.
  const bytes = leastAllocated(record, SPANS * BYTES_PER_SPAN_MAX);
  assert.ok(bytes <= SPANS * BYTES_PER_SPAN_MAX, `${bytes / SPANS} bytes a span`);
});

test(`the gate allocates less than ${BYTES_PER_SPAN_MAX} bytes a kept span`, () => {
  const table = new TraceTable(0);
  const slots = new Int32Array(SPANS);
  const slot = table.begin(Buffer.alloc(16, 1), 0, 0);
  table.verdict[slot] = KEPT;
  table.policy[slot] = 0;
  table.probability[slot] = 0.5;
  slots.fill(slot);
  const gate = new Gate(table, ['p']);
  const bytes = leastAllocated(() => void gate.write(raw, slots), SPANS * BYTES_PER_SPAN_MAX);
  assert.equal(gate.items, SPANS);
  assert.ok(bytes <= SPANS * BYTES_PER_SPAN_MAX, `${bytes / SPANS} bytes a span`);
});

test(`a trace that waits costs at most ${BYTES_PER_TRACE_MAX} bytes of table, even just after it grew`, () => {
  const table = new TraceTable(4);
  const id = Buffer.alloc(16);
  for (let n = 0; n <= 2 ** 16; n++) {
    id.writeUInt32LE(n, 4);
    table.begin(id, 0, 0);
  }
  let bytes = 0;
  for (const field of Object.values(table)) if (ArrayBuffer.isView(field)) bytes += field.byteLength;
  assert.ok(bytes / table.slots() <= BYTES_PER_TRACE_MAX, `${bytes / table.slots()} bytes a slot`);
  assert.ok(bytes / table.slots() > 80, 'the arrays were found');
});
