import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { OperatorError } from '../../pipelines/base/errors.ts';
import { valueOf } from '../kit/append-child.ts';
import { headersOf, openLog, readLog, RecordingConsumer, ShiftedClock, temporaryDirectory, until } from '../kit/embedded-log.ts';
import { start } from '../kit/process.ts';
import { seeded } from '../kit/random.ts';

const CHILD = fileURLToPath(new URL('../kit/append-child.ts', import.meta.url));
const KILLS = 6;

test('kill -9 at any moment loses no acknowledged record, doubles none, and keeps the order', async (t) => {
  const seed = Number(process.env['TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const random = seeded(seed);
  const directory = temporaryDirectory(t);
  /** Per partition: offset → serial number, as acknowledged. */
  const acknowledged: Map<number, number>[] = [new Map(), new Map()];
  for (let kill = 0; kill < KILLS; kill++) {
    const child = start(process.execPath, [CHILD, directory, String(kill * 1_000_000)]);
    await until(() => child.output().includes('open\n'), `the child to open the log: ${child.output()}`);
    // From the first group to some hundred groups, retention steps and a checkpoint later.
    await wait(random() * 700);
    child.child.kill('SIGKILL');
    await child.ended;
    // The kill may have cut the last line short.
    const lines = child.output().split('\n').slice(1, -1);
    for (const line of lines) {
      const [partition, offset, serial] = line.split(' ').map(Number);
      assert.ok(!acknowledged[partition!]!.has(offset!), `offset ${offset} was given twice`);
      acknowledged[partition!]!.set(offset!, serial!);
    }
  }
  const total = acknowledged[0]!.size + acknowledged[1]!.size;
  t.diagnostic(`${total} acknowledged records in ${KILLS} lives`);
  assert.ok(total > 50, `only ${total} records were acknowledged: the test has seen nothing`);

  const log = await openLog(directory, { topics: { traces: 2 } });
  const consumer = new RecordingConsumer();
  const reader = await readLog(log, consumer);
  await until(
    async () => consumer.idles.some(({ partition }) => partition === 0) && consumer.idles.some(({ partition }) => partition === 1),
    'the end of both partitions',
  );
  for (const partition of [0, 1]) {
    const records = consumer.of('traces', partition);
    const serials = new Set<number>();
    let last_ms = 0;
    for (const [index, { offset, time_ms, value }] of records.entries()) {
      assert.equal(offset, index, 'offsets without gaps');
      assert.ok(time_ms >= last_ms, 'time does not go back');
      last_ms = time_ms;
      const serial = value.readDoubleLE(0);
      assert.ok(value.equals(valueOf(serial)), `record ${offset} is whole`);
      assert.ok(!serials.has(serial), `record ${serial} is there once`);
      serials.add(serial);
    }
    for (const [offset, serial] of acknowledged[partition]!)
      assert.equal(records[offset]?.value.readDoubleLE(0), serial, `record ${offset} of partition ${partition}`);
    // What was written and not acknowledged may be there too, but no more than was under way at each kill: three appends a partition.
    assert.ok(
      records.length - acknowledged[partition]!.size <= 3 * KILLS,
      `${records.length} records, ${acknowledged[partition]!.size} acknowledged`,
    );
  }
  await reader.stop();
  await log.close();
});

test('what idle() promised before a kill -9 holds for records after it, with the clock set back', async (t) => {
  const directory = temporaryDirectory(t);
  const child = start(process.execPath, [CHILD, directory, 'idle']);
  await until(() => child.output().split('idle').length > 20, `promises of the child: ${child.output()}`);
  child.child.kill('SIGKILL');
  await child.ended;
  const clock = new ShiftedClock();
  clock.shift_ms = -3_600_000;
  const log = await openLog(directory, { clock });
  const consumer = new RecordingConsumer();
  const reader = await readLog(log, consumer);
  const value = valueOf(1);
  for (const partition of [0, 1]) await log.append('traces', partition, value, headersOf(value));
  await until(() => consumer.count() === 2, 'both records');
  for (const line of child.output().split('\n').slice(1, -1)) {
    const [, partition, time_ms] = line.split(' ').map(Number);
    const record = consumer.of('traces', partition!)[0];
    assert.ok(record!.time_ms >= time_ms!, `record of ${record!.time_ms}, promised ${time_ms}`);
  }
  await reader.stop();
  await log.close();
});

test('a second process on the same directory is told which process holds it; after kill -9 of that one the directory is free', async (t) => {
  const directory = temporaryDirectory(t);
  const holder = start(process.execPath, [CHILD, directory, '0']);
  await until(() => holder.output().includes('open\n'), 'the child to open the log');
  await assert.rejects(
    openLog(directory),
    (error) => error instanceof OperatorError && error.message.includes(`(pid ${holder.child.pid})`) && error.hint !== '',
  );

  const second = start(process.execPath, [CHILD, directory, '0']);
  assert.equal(await second.ended, 1);
  assert.match(second.output(), /in use by another process \(pid \d+\)/);

  holder.child.kill('SIGKILL');
  await holder.ended;
  assert.ok(existsSync(join(directory, 'log.pid')), 'the dead process left its mark');
  await (await openLog(directory)).close();
  assert.ok(!existsSync(join(directory, 'log.pid')));
});
