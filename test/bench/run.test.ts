import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bench } from './bench.ts';
import { loadBenches, median, table, time } from './run.ts';

const quiet = (): void => {};

void test('bench: every room file that there is is found, and names are unique', async () => {
  const benches = await loadBenches(new URL('.', import.meta.url));
  assert.ok(benches.length >= 3, `${benches.length} benches`);
});

void test('bench: a hash or a count that changes from run to run is an error', () => {
  let calls = 0;
  const changing: Bench = { name: 'x: changes', unit: 'span', run: () => ({ items: 1, hash: `${calls++}` }) };
  assert.throws(() => time(changing, 'full', 3, quiet), /hash 1 after 0/);
  let items = 1;
  const growing: Bench = { name: 'x: grows', unit: 'span', run: () => ({ items: items++, hash: 'aa' }) };
  assert.throws(() => time(growing, 'full', 3, quiet), /2 items after 1/);
});

void test('bench: nothing done, or no hash, is an error', () => {
  const idle: Bench = { name: 'x: idle', unit: 'span', run: () => ({ items: 0, hash: 'aa' }) };
  assert.throws(() => time(idle, 'full', 3, quiet), /no items/);
  const silent: Bench = { name: 'x: silent', unit: 'span', run: () => ({ items: 1, hash: '' }) };
  assert.throws(() => time(silent, 'full', 3, quiet), /no hexadecimal hash/);
});

void test('bench: runs once to warm up and then as often as asked, and shows the medians', () => {
  let prepared = 0;
  let runs = 0;
  const bench: Bench = {
    name: 'x: counts',
    unit: 'row',
    prepare: () => {
      prepared++;
    },
    run: () => {
      runs++;
      return { items: 1000, hash: 'c0ffee' };
    },
  };
  const timing = time(bench, 'full', 4, quiet);
  assert.equal(prepared, 1);
  assert.equal(runs, 5);
  assert.match(table([timing], 'a machine'), /\| x: counts \| row \| 1,000 \| [\d,∞]+ \| \d+ \| [\d.]+ \| \d+ % \| c0ffee \|/);
  assert.equal(median([5, 1, 3]), 3);
  assert.equal(median([4, 1, 3, 2]), 2.5);
});
