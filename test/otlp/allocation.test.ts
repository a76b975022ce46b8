import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import v8 from 'node:v8';
import { Cutter } from '../../pipelines/otlp/cut.ts';
import { LogRecordView } from '../../pipelines/otlp/log-record.ts';
import { SpanView } from '../../pipelines/otlp/span.ts';
import { Splitter } from '../../pipelines/otlp/split.ts';
import { defaultValidateSettings } from '../../pipelines/otlp/validate-item.ts';
import { Validator } from '../../pipelines/otlp/validate.ts';
import { Walker, type ItemVisitor } from '../../pipelines/otlp/walk.ts';

/*
 * No object, string or BigInt per span or attribute: measured, not read. V8 counts every byte that it ever gave out on its
 * heap (`total_allocated_bytes`, never lowered by a collection), so the difference over synchronous work is what that
 * work allocated, whether or not it was collected meanwhile; no flag and no forced collection is needed. The work runs
 * first until it is compiled: the interpreter boxes numbers above 2^31 that optimised code keeps in registers.
 * One object a span (the smallest takes 24 bytes, an attribute's pair of strings about 60) would break the bound.
 */
const BYTES_PER_SPAN_MAX = 4;
const NOW_MS = 1_795_600_000_000;
const REPEATS = 20;
const ROUNDS = 10;
const ATTEMPTS_MAX = 100;

function fixtures(start: string): Buffer {
  const folder = new URL('../fixtures/envoy/', import.meta.url);
  const files = readdirSync(folder).filter((file) => file.startsWith(start) && file.endsWith('.bin'));
  return Buffer.concat(files.map((file) => readFileSync(new URL(file, folder))));
}

/**
 * Bytes allocated by one round of `work`, measured until it is `enough` or for `ATTEMPTS_MAX` times: not yet compiled code and a
 * compilation under way only ever add, so the least that was seen is the truth.
 */
function allocatedBy(work: () => void, enough: number): number {
  let least = Infinity;
  for (let attempt = 0; attempt < ATTEMPTS_MAX && least > enough; attempt++) {
    const before = v8.getHeapStatistics().total_allocated_bytes;
    for (let round = 0; round < ROUNDS; round++) work();
    least = Math.min(least, (v8.getHeapStatistics().total_allocated_bytes - before) / ROUNDS);
  }
  return least;
}

class Reader<View extends { parse(bytes: Buffer, start: number, stop: number): unknown }> implements ItemVisitor {
  readonly view: View;
  bytes: Buffer = Buffer.alloc(0);
  constructor(view: View) {
    this.view = view;
  }
  resource(): void {}
  scope(): void {}
  item(start: number, stop: number): void {
    this.view.parse(this.bytes, start, stop);
  }
}

for (const [signal, files, reader] of [
  ['traces', 'trace', new Reader(new SpanView())],
  ['logs', 'logs', new Reader(new LogRecordView())],
] as const) {
  test(`${signal}: validate, walk, parse, split and cut allocate less than ${BYTES_PER_SPAN_MAX} bytes an item`, () => {
    // One request with many items: what is allocated once a request (the views of the parts) is not what is measured here.
    const one = fixtures(files);
    const bytes = Buffer.concat(Array.from({ length: REPEATS }, () => one));
    const validator = new Validator(signal, defaultValidateSettings);
    const splitter = new Splitter(signal, 4);
    const walker = new Walker();
    const cutter = new Cutter();
    reader.bytes = bytes;
    let items = walker.walk(bytes, 0, bytes.length, reader);
    assert.ok(items >= 1000);
    let split = 0;
    let cut = 0;
    const onPart = (_partition: number, _part: Buffer, count: number): void => {
      split += count;
    };
    const cutSink = {
      part: (_part: Buffer, count: number): void => {
        cut += count;
      },
      oversize: (): void => assert.fail(),
    };
    const per = allocatedBy(() => {
      split = cut = 0;
      const verdict = validator.check(bytes, NOW_MS);
      reader.bytes = verdict.bytes;
      items = walker.walk(verdict.bytes, 0, verdict.bytes.length, reader);
      splitter.split(verdict.bytes, onPart);
      cutter.cut(verdict.bytes, 1 << 20, cutSink);
    }, items * BYTES_PER_SPAN_MAX);
    assert.ok(split === items && cut === items, `${items} items, ${split} split, ${cut} cut`);
    assert.ok(per / items < BYTES_PER_SPAN_MAX, `${(per / items).toFixed(2)} bytes an item`);
  });
}

test('the measure sees one small object a span', () => {
  const kept: object[] = [];
  const perObject = allocatedBy(() => {
    kept.length = 0;
    for (let i = 0; i < 5000; i++) kept.push({ start: i });
  }, 5000 * BYTES_PER_SPAN_MAX);
  assert.ok(perObject / 5000 > BYTES_PER_SPAN_MAX, `${perObject / 5000} bytes an object`);
});
