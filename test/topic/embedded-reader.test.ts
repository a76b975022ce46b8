import assert from 'node:assert/strict';
import { closeSync, openSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { OperatorError } from '../../pipelines/base/errors.ts';
import type { EmbeddedTopics } from '../../pipelines/topic/embedded.ts';
import { headersOf, openLog, readLog, RecordingConsumer, ShiftedClock, temporaryDirectory, until } from '../kit/embedded-log.ts';

const value = Buffer.from('value');

async function appendSome(log: EmbeddedTopics, count: number, partition = 0): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => log.append('traces', partition, value, headersOf(value))));
}

const readerOf = (log: EmbeddedTopics, consumer: RecordingConsumer, group = 'g') => readLog(log, consumer, { group });

test('a reader is woken by an append, without waiting for its idle period', async (t) => {
  const log = await openLog(temporaryDirectory(t), { idle_ms: 1000 });
  const consumer = new RecordingConsumer();
  const reader = await readerOf(log, consumer);
  await until(() => consumer.idles.length === 2, 'both partitions idle');
  const began = performance.now();
  await appendSome(log, 1);
  await until(() => consumer.count() === 1, 'the record');
  assert.ok(performance.now() - began < 900, 'it was delivered before the next idle call');
  await reader.stop();
  await log.close();
});

test('a commit and its note are there after a restart, for that group alone, and lag counts what is behind', async (t) => {
  const directory = temporaryDirectory(t);
  const first = await openLog(directory);
  await appendSome(first, 10);
  const consumer = new RecordingConsumer();
  const reader = await readerOf(first, consumer);
  assert.equal(await first.lag('g', 'traces'), 10);
  await until(() => consumer.count() === 10, 'all records');
  await reader.commit('traces', 0, 3, 'first');
  await Promise.all([reader.commit('traces', 0, 4, 'older'), reader.commit('traces', 0, 6, 'newest')]);
  assert.equal(await first.lag('g', 'traces'), 4);
  assert.equal(await first.lag('other', 'traces'), 10);
  await reader.stop();
  await assert.rejects(reader.commit('traces', 0, 7, ''), /does not hold/);
  await first.close();

  const log = await openLog(directory);
  const again = new RecordingConsumer();
  const other = new RecordingConsumer();
  const readers = [await readerOf(log, again), await readerOf(log, other, 'other')];
  await until(() => again.count() === 4 && other.count() === 10, 'the rest, and all');
  const at = (of: RecordingConsumer, partition: number) =>
    of.assignments.find((assignment) => assignment.partition === partition)?.committed;
  assert.equal(at(again, 0)?.offset, 6);
  assert.equal(at(again, 0)?.note, 'newest');
  assert.equal(at(again, 1), undefined);
  assert.equal(at(other, 0), undefined);
  assert.deepEqual(
    again.of('traces', 0).map(({ offset }) => offset),
    [6, 7, 8, 9],
  );
  for (const stop of readers) await stop.stop();
  await log.close();
});

test('a reader begins at an offset, or at the first record of a time', async (t) => {
  const clock = new ShiftedClock();
  const log = await openLog(temporaryDirectory(t), { clock });
  const start_ms = clock.now_ms();
  // Three records at each of five times, a minute apart.
  for (let minute = 0; minute < 5; minute++) {
    clock.shift_ms = minute * 60_000;
    await appendSome(log, 3);
  }
  const firstFrom = async (time_ms: number): Promise<number | undefined> => {
    const consumer = new RecordingConsumer();
    consumer.start = async (_committed, view) => {
      assert.ok([0, 15].includes(await view.end()));
      return { time_ms };
    };
    const reader = await readerOf(log, consumer);
    await until(() => consumer.idles.some(({ partition }) => partition === 0), 'the end');
    await reader.stop();
    return consumer.of('traces', 0)[0]?.offset;
  };
  assert.equal(await firstFrom(0), 0);
  assert.equal(await firstFrom(start_ms + 30_000), 3);
  assert.equal(await firstFrom(start_ms + 3 * 60_000 - 30_000), 9);
  assert.equal(await firstFrom(start_ms + 10 * 60_000), undefined);

  const consumer = new RecordingConsumer();
  let times: (number | undefined)[] = [];
  consumer.start = async (_committed, view) => {
    if ((await view.end()) === 0) return { offset: 0 };
    times = [await view.timeAt(2), await view.timeAt(3), await view.timeAt(15)];
    return { offset: 13 };
  };
  const reader = await readerOf(log, consumer);
  await until(() => consumer.count() === 2, 'the last two');
  assert.ok(times[1]! - times[0]! >= 59_000 && times[1]! - times[0]! < 70_000, String(times));
  assert.equal(times[2], undefined);
  await reader.stop();
  await log.close();
});

test('a consumer that waits is not called again for that partition; the other partition goes on', async (t) => {
  const log = await openLog(temporaryDirectory(t), { readBytes_max: 1 });
  await appendSome(log, 3, 0);
  await appendSome(log, 3, 1);
  const gate = Promise.withResolvers<void>();
  const consumer = new RecordingConsumer();
  let calls = 0;
  consumer.onRecords = async (partition, records) => {
    assert.equal(records.length, 1, 'batches end at readBytes_max');
    if (partition === 0 && ++calls === 2) await gate.promise;
  };
  const reader = await readerOf(log, consumer);
  await until(
    () => calls === 2 && consumer.of('traces', 1).length === 3 && consumer.idles.some(({ partition }) => partition === 1),
    'partition 1 at its end',
  );
  assert.equal(consumer.of('traces', 0).length, 1);
  const stopped = reader.stop();
  assert.equal(await Promise.race([stopped.then(() => 'stopped'), until(() => false, '', 30).catch(() => 'waiting')]), 'waiting');
  gate.resolve();
  await stopped;
  assert.equal(consumer.of('traces', 0).length, 2, 'the call under way ended, no other began');
  await log.close();
});

test('a consumer that throws ends its reader and no other', async (t) => {
  const log = await openLog(temporaryDirectory(t));
  const bad = new RecordingConsumer();
  bad.onRecords = () => {
    throw new Error('cannot');
  };
  const good = new RecordingConsumer();
  const reader = await readerOf(log, bad, 'bad');
  const other = await readerOf(log, good, 'good');
  await appendSome(log, 1);
  await assert.rejects(reader.failed, /cannot/);
  await reader.stop();
  assert.deepEqual(bad.revocations, []);
  await until(() => good.count() === 1, 'the record at the other reader');
  await other.stop();
  await log.close();
});

test('a consumer that throws in assigned(), or begins beyond the end, ends its reader; read() resolves all the same', async (t) => {
  const log = await openLog(temporaryDirectory(t));
  const bad = new RecordingConsumer();
  bad.start = () => Promise.reject(new Error('cannot begin'));
  await assert.rejects((await readerOf(log, bad)).failed, /cannot begin/);
  bad.start = () => ({ offset: 1 });
  await assert.rejects((await readerOf(log, bad)).failed, /beyond the end/);
  await log.close();
});

test('read() resolves with every partition assigned, so that it can be committed, and records come after it', async (t) => {
  const log = await openLog(temporaryDirectory(t));
  await appendSome(log, 2);
  const consumer = new RecordingConsumer();
  const reader = await readerOf(log, consumer);
  assert.equal(consumer.assignments.length, 2);
  assert.equal(consumer.count(), 0);
  await reader.commit('traces', 0, 1, '');
  await until(() => consumer.count() === 2, 'the records');
  await reader.stop();
  await log.close();
});

test('a group has one reader a topic in a process', async (t) => {
  const log = await openLog(temporaryDirectory(t));
  const reader = await readerOf(log, new RecordingConsumer());
  await assert.rejects(readerOf(log, new RecordingConsumer()), /reads traces already/);
  await assert.rejects(log.close(), /stop the readers/);
  await reader.stop();
  await (await readerOf(log, new RecordingConsumer())).stop();
  await log.close();
});

test('commit() refuses offsets beyond the end and notes that are too long', async (t) => {
  const log = await openLog(temporaryDirectory(t));
  const consumer = new RecordingConsumer();
  const reader = await readerOf(log, consumer);
  await until(() => consumer.assignments.length === 2, 'assigned');
  await assert.rejects(reader.commit('traces', 0, 1, ''), /beyond the end/);
  await assert.rejects(reader.commit('traces', 0, 0, 'x'.repeat(4001)), /note/);
  await reader.commit('traces', 0, 0, 'x'.repeat(4000));
  await reader.stop();
  await log.close();
});

test('what idle() promises holds: later records are not older, whatever the clock and restarts do, and it is told only at the end', async (t) => {
  const seed = Number(process.env['TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const step = fc.oneof(
    fc.record({ append: fc.integer({ min: 1, max: 5 }), partition: fc.nat(1) }),
    fc.record({ shift_ms: fc.integer({ min: -100_000, max: 100_000 }) }),
    fc.constant('idle' as const),
    fc.constant('restart' as const),
  );
  let promises = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 15 }), async (steps) => {
      const directory = temporaryDirectory(t);
      const clock = new ShiftedClock();
      const counts = [0, 0];
      /** Per partition: [records delivered when it was told, time]. */
      const told: [number, number][][] = [[], []];
      const all = new RecordingConsumer();
      const open = async () => {
        const log = await openLog(directory, { clock, idle_ms: 3 });
        const consumer = new RecordingConsumer();
        return { log, consumer, reader: await readerOf(log, consumer) };
      };
      let now = await open();
      const close = async (): Promise<void> => {
        await now.reader.stop();
        await now.log.close();
        for (const { partition, time_ms, delivered } of now.consumer.idles) told[partition]!.push([delivered, time_ms]);
      };
      for (const what of steps) {
        if (what === 'idle') {
          const seen = now.consumer.idles.length;
          await until(() => now.consumer.idles.length > seen, 'an idle call');
        } else if (what === 'restart') {
          await close();
          now = await open();
          // The new reader begins at the first record, so that its counts are comparable.
        } else if ('shift_ms' in what) clock.shift_ms += what.shift_ms;
        else {
          const appended = appendSome(now.log, what.append, what.partition);
          counts[what.partition]! += what.append;
          await appended;
        }
      }
      await until(() => now.consumer.count() === counts[0]! + counts[1]!, 'all records');
      await close();
      now = await open();
      const last = now;
      await until(() => last.consumer.count() === counts[0]! + counts[1]!, 'all records again');
      for (const partition of [0, 1]) all.byPartition.set(`traces ${partition}`, [...last.consumer.of('traces', partition)]);
      await close();
      for (const partition of [0, 1]) {
        const records = all.of('traces', partition);
        for (const [delivered, time_ms] of told[partition]!) {
          promises++;
          const later = records[delivered];
          if (later !== undefined)
            assert.ok(later.time_ms >= time_ms, `record ${delivered} has time ${later.time_ms}, promised ${time_ms}`);
        }
      }
    }),
    { seed, numRuns: 8 },
  );
  assert.ok(promises > 15, `only ${promises} promises were seen`);
});

test('idle() is told only when all that is durable was delivered, and looks at the records being written', async (t) => {
  const clock = new ShiftedClock();
  const log = await openLog(temporaryDirectory(t), { topics: { traces: 1 }, clock, idle_ms: 1 });
  const consumer = new RecordingConsumer();
  const reader = await readerOf(log, consumer);
  // Takes long enough to write for several idle calls to fall into it.
  const large = Buffer.alloc(3 << 20);
  for (let round = 1; round <= 12; round++) {
    // Now and then past what was promised durably, so that idle() must wait for a write of its own, which records go along with;
    // else within it, so that idle() is told at once, while the group is being written.
    if (round % 3 === 1) clock.shift_ms += 10_000;
    const seen = consumer.idles.length;
    await Promise.all([log.append('traces', 0, large, headersOf(large)), log.append('traces', 0, value, headersOf(value))]);
    await until(() => consumer.count() === 2 * round && consumer.idles.length > seen, 'delivery and an idle call');
  }
  await reader.stop();
  await log.close();
  const records = consumer.of('traces', 0);
  for (const { delivered, end, time_ms } of consumer.idles) {
    assert.equal(delivered, end);
    const later = records[delivered];
    if (later !== undefined) assert.ok(later.time_ms >= time_ms, `record ${delivered} has time ${later.time_ms}, promised ${time_ms}`);
  }
});

test('a value that the disk has damaged ends the readers with an OperatorError, not with wrong bytes', async (t) => {
  const directory = temporaryDirectory(t);
  const first = await openLog(directory, { topics: { traces: 1 } });
  const large = Buffer.alloc(400_000, 3);
  for (let count = 0; count < 5; count++) await first.append('traces', 0, large, headersOf(large));
  await first.close();
  const file = `${directory}/log.sqlite`;
  // The file holds some 125 pages of 16 KiB, a record takes 25. The first four bytes of an overflow page point at the next one.
  const damaged = Buffer.from([0xff, 0xff, 0xff, 0xff]);
  const fd = openSync(file, 'r+');
  for (let page = 60; page < 70; page++) assert.equal(writeSync(fd, damaged, 0, 4, page * 16_384), 4);
  closeSync(fd);

  const log = await openLog(directory, { topics: { traces: 1 } });
  const consumer = new RecordingConsumer();
  consumer.onRecords = (_partition, records) => {
    for (const { offset, value: read } of records) assert.ok(read.equals(large), `record ${offset}`);
  };
  const reader = await readerOf(log, consumer);
  await assert.rejects(reader.failed, (error) => error instanceof OperatorError && error.message.includes('damaged'));
  await log.close();
});
