import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import { Busy, OperatorError, Reject } from '../../pipelines/base/errors.ts';
import { headersOf, openLog, readLog, RecordingConsumer, ShiftedClock, temporaryDirectory, until } from '../kit/embedded-log.ts';

const text = (word: string): Buffer => Buffer.from(word);

test('append() numbers the records of each partition from 0, in the order of the calls', async (t) => {
  const log = await openLog(temporaryDirectory(t), { topics: { traces: 2, logs: 1 } });
  const offsets = await Promise.all(
    ['a', 'b', 'c', 'd'].map((word, index) => log.append('traces', index % 2, text(word), headersOf(text(word)))),
  );
  assert.deepEqual(offsets, [0, 0, 1, 1]);
  assert.equal(await log.append('logs', 0, text('x'), headersOf(text('x'))), 0);
  assert.equal(await log.append('traces', 0, text('e'), headersOf(text('e'))), 2);
  await log.close();
});

test('a reader gets values, headers and times as they were appended, and a reopened log goes on behind them', async (t) => {
  const directory = temporaryDirectory(t);
  const first = await openLog(directory);
  const before_ms = Date.now();
  await first.append('traces', 1, text('plain'), headersOf(text('plain'), { items: 7 }));
  await first.append(
    'traces',
    1,
    Buffer.alloc(0),
    headersOf(Buffer.alloc(0), { codec: 'zstd', raw_bytes: 99, sequence: 2 ** 45, part: 3 }),
  );
  await first.close();

  const log = await openLog(directory);
  assert.equal(await log.append('traces', 1, text('later'), headersOf(text('later'))), 2);
  const consumer = new RecordingConsumer();
  const reader = await readLog(log, consumer);
  await until(() => consumer.count() === 3, 'three records');
  const records = consumer.of('traces', 1);
  assert.deepEqual(
    records.map(({ offset, value, headers }) => [offset, value.toString(), headers]),
    [
      [0, 'plain', { format: 1, codec: 'none', items: 7, raw_bytes: 5 }],
      [1, '', { format: 1, codec: 'zstd', items: 1, raw_bytes: 99, sequence: 2 ** 45, part: 3 }],
      [2, 'later', { format: 1, codec: 'none', items: 1, raw_bytes: 5 }],
    ],
  );
  for (const { time_ms } of records) assert.ok(time_ms >= before_ms && time_ms <= Date.now(), `time ${time_ms}`);
  await reader.stop();
  assert.deepEqual(consumer.revocations.toSorted(), ['traces 0', 'traces 1']);
  await log.close();
});

test('values may be used again once append() has resolved, and are not changed by later records', async (t) => {
  const log = await openLog(temporaryDirectory(t));
  const shared = Buffer.alloc(3000);
  for (let round = 0; round < 20; round++) {
    shared.fill(round);
    await log.append('traces', 0, shared, headersOf(shared));
  }
  const consumer = new RecordingConsumer();
  const reader = await readLog(log, consumer);
  await until(() => consumer.count() === 20, 'all records');
  for (const { offset, value } of consumer.of('traces', 0)) assert.ok(value.equals(Buffer.alloc(3000, offset)), `record ${offset}`);
  await reader.stop();
  await log.close();
});

test('append times never go back, whatever the clock does and across restarts', async (t) => {
  const directory = temporaryDirectory(t);
  const clock = new ShiftedClock();
  for (const shift_ms of [0, 3_600_000, -3_600_000, 0]) {
    clock.shift_ms = shift_ms;
    const log = await openLog(directory, { clock });
    await log.append('traces', 0, text('a'), headersOf(text('a')));
    clock.shift_ms = shift_ms - 5000;
    await log.append('traces', 0, text('b'), headersOf(text('b')));
    await log.close();
  }
  const log = await openLog(directory, { clock });
  const consumer = new RecordingConsumer();
  const reader = await readLog(log, consumer);
  await until(() => consumer.count() === 8, 'all records');
  const times = consumer.of('traces', 0).map(({ time_ms }) => time_ms);
  assert.deepEqual(
    times,
    times.toSorted((left, right) => left - right),
  );
  assert.ok(times[2]! - times[1]! > 3_000_000, 'the clock set forward shows');
  await reader.stop();
  await log.close();
});

test('a log that is full refuses new records with Busy, takes records made from others a quarter longer, and takes new ones again when it was read', async (t) => {
  const log = await openLog(temporaryDirectory(t), { bytes_max: 4 << 20 });
  const value = Buffer.alloc(100_000, 1);
  const append = async (sequence?: number): Promise<number> => {
    for (let count = 0; ; count++) {
      try {
        await log.append('traces', 0, value, headersOf(value, sequence === undefined ? {} : { sequence }));
      } catch (error) {
        assert.ok(error instanceof Busy && error.reason === 'log_full', String(error));
        return count;
      }
      assert.ok(count < 100, 'it never fills');
    }
  };
  const taken = await append();
  assert.ok(taken > 25 && taken < 42, `${taken} records of 100 KB in 4 MiB`);
  const derived = await append(1);
  assert.ok(derived > 5 && derived < 12, `${derived} derived records of 100 KB in 1 MiB`);

  const consumer = new RecordingConsumer();
  const reader = await readLog(log, consumer);
  await until(() => consumer.count() === taken + derived, 'all records');
  await reader.commit('traces', 0, taken + derived, '');
  await until(async () => (await log.append('traces', 0, value, headersOf(value)).catch(() => -1)) >= 0, 'space for new records');
  await reader.stop();
  await log.close();
});

test('append() refuses what is too large for ever, and what is too much for now', async (t) => {
  const log = await openLog(temporaryDirectory(t), { recordBytes_max: 1000, pendingBytes_max: 1500 });
  const value = Buffer.alloc(1000);
  await assert.rejects(
    log.append('traces', 0, Buffer.alloc(1001), headersOf(Buffer.alloc(1001))),
    (error) => error instanceof Reject && error.reason === 'record_too_large',
  );
  const first = log.append('traces', 0, value, headersOf(value));
  await assert.rejects(
    log.append('traces', 0, value, headersOf(value)),
    (error) => error instanceof Busy && error.reason === 'log_backlog',
  );
  assert.equal(await first, 0);
  assert.equal(await log.append('traces', 0, value, headersOf(value)), 1);
  await log.close();
  await assert.rejects(log.append('traces', 0, value, headersOf(value)), Busy);
});

test('close() waits for every append', async (t) => {
  const directory = temporaryDirectory(t);
  const log = await openLog(directory, { linger_ms: 60_000, groupBytes_max: 5000 });
  const value = Buffer.alloc(2000);
  const appends = Promise.all(Array.from({ length: 10 }, () => log.append('traces', 0, value, headersOf(value))));
  await log.close();
  assert.deepEqual(await appends, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('a directory that is open already, is a file, or holds something else gives an OperatorError', async (t) => {
  const directory = temporaryDirectory(t);
  const log = await openLog(directory);
  await assert.rejects(openLog(directory), (error) => error instanceof OperatorError && error.message.includes(`(pid ${process.pid})`));
  await log.close();
  await (await openLog(directory)).close();

  writeFileSync(join(directory, 'file'), '');
  await assert.rejects(openLog(join(directory, 'file')), OperatorError);

  const foreign = temporaryDirectory(t);
  const db = new DatabaseSync(join(foreign, 'log.sqlite'));
  db.exec('CREATE TABLE t (x); PRAGMA application_id = 7; PRAGMA user_version = 1');
  db.close();
  await assert.rejects(openLog(foreign), (error) => error instanceof OperatorError && error.message.includes('not a log of Tailrace'));
});

test('a damaged file gives an OperatorError that says what to do', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'log.sqlite'), Buffer.alloc(40_000, 'garbage'));
  await assert.rejects(
    openLog(directory),
    (error) => error instanceof OperatorError && error.message.includes('damaged') && error.hint.includes('move the directory away'),
  );
});

test('partitions can be added, not taken away', async (t) => {
  const directory = temporaryDirectory(t);
  const first = await openLog(directory, { topics: { traces: 2 } });
  await first.append('traces', 1, text('kept'), headersOf(text('kept')));
  await first.close();
  const more = await openLog(directory, { topics: { traces: 3, logs: 1 } });
  assert.equal(await more.append('traces', 2, text('new'), headersOf(text('new'))), 0);
  assert.equal(await more.append('traces', 1, text('kept'), headersOf(text('kept'))), 1);
  await more.close();
  await assert.rejects(
    openLog(directory, { topics: { traces: 2, logs: 1 } }),
    (error) => error instanceof OperatorError && error.message.includes('has 3 partitions'),
  );
});

test('any mix of appends, sizes and reopenings keeps every record once and in order', async (t) => {
  const seed = Number(process.env['TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ partition: fc.nat(1), size: fc.oneof(fc.nat(50), fc.nat(40_000)), wait: fc.boolean() }) },
    { weight: 1, arbitrary: fc.constant('reopen' as const) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      const directory = temporaryDirectory(t);
      let log = await openLog(directory, { groupBytes_max: 50_000 });
      const expected: Buffer[][] = [[], []];
      const waiting: Promise<unknown>[] = [];
      for (const [index, what] of steps.entries()) {
        if (what === 'reopen') {
          await log.close();
          log = await openLog(directory, { groupBytes_max: 50_000 });
          continue;
        }
        const value = Buffer.alloc(what.size, index);
        const offset = expected[what.partition]!.push(value) - 1;
        waiting.push(log.append('traces', what.partition, value, headersOf(value)).then((got) => assert.equal(got, offset)));
        if (what.wait) await Promise.all(waiting);
      }
      await Promise.all(waiting);
      const consumer = new RecordingConsumer();
      const reader = await readLog(log, consumer);
      await until(() => consumer.count() === expected[0]!.length + expected[1]!.length, 'all records');
      await reader.stop();
      await log.close();
      for (const partition of [0, 1]) {
        const got = consumer.of('traces', partition);
        assert.deepEqual(
          got.map(({ offset }) => offset),
          expected[partition]!.map((_, index) => index),
        );
        for (const { offset, value } of got) assert.ok(value.equals(expected[partition]![offset]!));
      }
    }),
    { seed, numRuns: 12 },
  );
});
