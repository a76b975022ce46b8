import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { EmbeddedTopics } from '../../pipelines/topic/embedded.ts';
import { retentionRules } from '../../pipelines/topic/embedded-retention.ts';
import { headersOf, openLog, readLog, RecordingConsumer, ShiftedClock, temporaryDirectory, until } from '../kit/embedded-log.ts';

const MINUTE_MS = 60_000;
const value = Buffer.alloc(2000, 1);
const topics = { traces: 1 };

/** One record a minute of the clock. */
async function appendMinutes(log: EmbeddedTopics, clock: ShiftedClock, minutes: number): Promise<void> {
  for (let minute = 0; minute < minutes; minute++) {
    await log.append('traces', 0, value, headersOf(value));
    clock.shift_ms += MINUTE_MS;
  }
}

function retentionPassed(): () => boolean {
  const end = performance.now() + 12;
  return () => performance.now() > end;
}

test('records go when every group has committed past them and keepBehind has passed, by the time of its committed record', async (t) => {
  const clock = new ShiftedClock();
  const log = await openLog(temporaryDirectory(t), { topics, clock });
  await appendMinutes(log, clock, 20);
  const kept = (): Promise<number> => log.lag('nobody', 'traces');
  const slow = await readLog(log, new RecordingConsumer(), { group: 'slow', keepBehind_ms: 5.5 * MINUTE_MS });
  const fast = await readLog(log, new RecordingConsumer(), { group: 'fast' });
  await fast.commit('traces', 0, 20, '');
  // Several periods of retention pass with these.
  for (let count = 0; count < 5; count++) {
    await log.append('traces', 0, value, headersOf(value));
    await until(retentionPassed(), 'a period of retention');
  }
  assert.equal(await kept(), 25, 'slow has committed nothing');
  await slow.commit('traces', 0, 12, '');
  // Record 12 is of minute 12: minutes 0 to 6 are older than it by more than five and a half.
  await until(async () => (await kept()) === 25 - 7, 'records 0 to 6 gone');
  await slow.commit('traces', 0, 20, '');
  // Record 20 is of minute 20; what is below 15 goes.
  await until(async () => (await kept()) === 25 - 15, 'records 0 to 14 gone');
  await slow.stop();
  await fast.stop();
  await log.close();
});

test('a group that has read to the end is measured from the clock', async (t) => {
  const clock = new ShiftedClock();
  const log = await openLog(temporaryDirectory(t), { topics, clock });
  await appendMinutes(log, clock, 3);
  const reader = await readLog(log, new RecordingConsumer(), { keepBehind_ms: 10 * MINUTE_MS });
  await reader.commit('traces', 0, 3, '');
  clock.shift_ms += 20 * MINUTE_MS;
  await until(async () => (await log.lag('nobody', 'traces')) === 0, 'all gone');
  await reader.stop();
  await log.close();
});

test('offsets and times go on where they were after everything was removed and the log reopened', async (t) => {
  const directory = temporaryDirectory(t);
  const clock = new ShiftedClock();
  const first = await openLog(directory, { topics, clock });
  await appendMinutes(first, clock, 3);
  const reader = await readLog(first, new RecordingConsumer());
  await reader.commit('traces', 0, 3, 'note');
  await until(async () => (await first.lag('nobody', 'traces')) === 0, 'all gone');
  await reader.stop();
  await first.close();

  const removed_ms = clock.now_ms();
  clock.shift_ms -= 60 * MINUTE_MS;
  const log = await openLog(directory, { topics, clock });
  assert.equal(await log.append('traces', 0, value, headersOf(value)), 3);
  const consumer = new RecordingConsumer();
  const again = await readLog(log, consumer);
  await until(() => consumer.count() === 1, 'the record');
  assert.deepEqual(consumer.assignments[0]!.committed?.offset, 3);
  assert.ok(consumer.of('traces', 0)[0]!.time_ms >= removed_ms - MINUTE_MS, 'time did not go back');
  await again.stop();
  await log.close();
});

test('retention_ms keeps what everyone has read for replays', async (t) => {
  const clock = new ShiftedClock();
  const log = await openLog(temporaryDirectory(t), { topics, clock, retention_ms: 5 * MINUTE_MS + MINUTE_MS / 2 });
  await appendMinutes(log, clock, 10);
  const reader = await readLog(log, new RecordingConsumer());
  await reader.commit('traces', 0, 10, '');
  await until(async () => (await log.lag('nobody', 'traces')) === 5, 'the older half gone');
  await reader.stop();
  await log.close();
});

test('a reader far behind is not robbed, and one that begins below what is kept begins at the first kept record', async (t) => {
  const clock = new ShiftedClock();
  const log = await openLog(temporaryDirectory(t), { topics, clock });
  await appendMinutes(log, clock, 6);
  const ahead = await readLog(log, new RecordingConsumer(), { group: 'ahead' });
  await ahead.commit('traces', 0, 4, '');
  await until(async () => (await log.lag('nobody', 'traces')) === 2, 'four records gone');
  const consumer = new RecordingConsumer();
  consumer.start = () => ({ offset: 0 });
  const late = await readLog(log, consumer, { group: 'late' });
  await ahead.commit('traces', 0, 6, '');
  await until(() => consumer.count() === 2, 'what is left');
  assert.deepEqual(
    consumer.of('traces', 0).map(({ offset }) => offset),
    [4, 5],
  );
  assert.equal(await log.lag('late', 'traces'), 2, 'late has not committed');
  await late.stop();
  await ahead.stop();
  await log.close();
});

test('the file does not grow for ever: pages are used again, and given back when most of it is free', async (t) => {
  const directory = temporaryDirectory(t);
  const log = await openLog(directory, { topics });
  const large = Buffer.alloc(1 << 20, 1);
  const reader = await readLog(log, new RecordingConsumer());
  const append = async (count: number): Promise<number> => {
    let last = 0;
    // A group of four at a time.
    for (let at = 0; at < count; at += 4)
      last = Math.max(...(await Promise.all([1, 2, 3, 4].map(() => log.append('traces', 0, large, headersOf(large))))));
    return last + 1;
  };
  for (let round = 0; round < 4; round++) {
    await reader.commit('traces', 0, await append(20), '');
    await until(async () => (await log.lag('nobody', 'traces')) === 0, 'all gone');
  }
  assert.ok(log.usage().file_bytes < 50 << 20, `80 MiB went through a file of ${log.usage().file_bytes} bytes`);
  const end = await append(80);
  assert.ok(log.usage().file_bytes > 80 << 20);
  await reader.commit('traces', 0, end, '');
  await until(() => log.usage().file_bytes < 66 << 20, 'the file shrinks');
  assert.ok(log.usage().used_bytes < 1 << 20);
  await reader.stop();
  await log.close();
  assert.ok(statSync(join(directory, 'log.sqlite')).size < 66 << 20);
});

test('retentionRules() waits for every group of a topic, and for none that is not named', () => {
  const row = (group: string, partitionId: number, offset: number) => ({ group, partitionId, offset, note: '', keepBehind_ms: 5 });
  const parts = new Map([
    ['traces', [{ id: 1 }, { id: 2 }]],
    ['logs', [{ id: 3 }]],
  ]);
  const committed = new Map([
    [
      'sample',
      new Map([
        [1, row('sample', 1, 10)],
        [2, row('sample', 2, 20)],
      ]),
    ],
    [
      'gone',
      new Map([
        [1, row('gone', 1, 3)],
        [2, row('gone', 2, -1)],
      ]),
    ],
  ]);
  const ids = (groups?: Record<string, string[]>) =>
    retentionRules(parts, committed, groups).map(({ partitionId, readers }) => [partitionId, readers.length]);
  assert.deepEqual(ids(), [[1, 2]]);
  assert.deepEqual(ids({ traces: ['sample'] }), [
    [1, 1],
    [2, 1],
  ]);
  assert.deepEqual(ids({ traces: ['sample', 'new'] }), []);
  assert.deepEqual(ids({ traces: ['sample'], logs: [] }), [
    [1, 1],
    [2, 1],
    [3, 0],
  ]);
});
