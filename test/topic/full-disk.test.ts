import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { wallClock, type Clock } from '../../pipelines/base/clock.ts';
import { Busy } from '../../pipelines/base/errors.ts';
import { headersOf, openLog, readLog, RecordingConsumer, temporaryDirectory, until } from '../kit/embedded-log.ts';

/** Rests of a second pass in no time. */
const clock: Clock = { now_ms: () => wallClock.now_ms(), sleep: (delay_ms, signal) => wallClock.sleep(Math.min(delay_ms, 30), signal) };

/**
 * From here on the log's file refuses records, and commits where `commits`, with SQLITE_FULL, as on a full disk. SQLite itself answers so: a
 * table that counts its rows by itself has given out the last number there is. Returns what makes space again.
 */
function fillDisk(directory: string, tables: readonly ('record' | 'committed')[] = ['record']): () => void {
  const db = new DatabaseSync(join(directory, 'log.sqlite'), { timeout: 5000 });
  db.exec('CREATE TABLE no_space (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO no_space VALUES (9223372036854775807)');
  for (const table of tables)
    db.exec(`CREATE TRIGGER full_${table} BEFORE INSERT ON ${table} BEGIN INSERT INTO no_space VALUES (NULL); END`);
  return () => {
    for (const table of tables) db.exec(`DROP TRIGGER full_${table}`);
    db.exec('DROP TABLE no_space');
    db.close();
  };
}

const isDiskFull = (error: unknown): boolean => error instanceof Busy && error.reason === 'disk_full';

test('a disk that is full for a moment loses nothing: no record becomes durable behind one that was refused', async (t) => {
  const directory = temporaryDirectory(t);
  // A group for each record, so that the first is being written while the others wait.
  const log = await openLog(directory, { clock, topics: { sampled: 2 }, groupBytes_max: 1, linger_ms: 0 });
  const consumer = new RecordingConsumer();
  const reader = await readLog(log, consumer, { topics: ['sampled'] });
  const makeSpace = fillDisk(directory);
  const value = Buffer.from('kept spans');
  const append = (sequence: number): Promise<number> => log.append('sampled', sequence % 2, value, headersOf(value, { sequence }));
  const first = append(0);
  const others = [1, 2, 3, 4, 5].map((sequence) => append(sequence));
  const told = Promise.allSettled(others);
  await assert.rejects(first, isDiskFull);
  makeSpace();
  const refused: number[] = [0];
  for (const [index, result] of (await told).entries()) {
    if (result.status === 'rejected') {
      assert.ok(isDiskFull(result.reason), String(result.reason));
      refused.push(index + 1);
    } else assert.ok(!refused.some((sequence) => sequence % 2 === (index + 1) % 2), `${index + 1} overtook one of ${refused.join(', ')}`);
  }
  // Senders come again, in order.
  for (const sequence of refused) {
    let done = false;
    await until(
      () =>
        append(sequence).then(
          () => (done = true),
          () => done,
        ),
      'space',
    );
  }
  await until(() => consumer.count() === 6, 'all records');
  for (const partition of [0, 1]) {
    assert.deepEqual(
      consumer.of('sampled', partition).map(({ headers }) => headers.sequence),
      [partition, partition + 2, partition + 4],
    );
  }
  await reader.stop();
  await log.close();
});

test('while the disk is full commits wait, and appends are refused at once and take no space in memory', async (t) => {
  const directory = temporaryDirectory(t);
  const value = Buffer.alloc(1000);
  const log = await openLog(directory, { clock, pendingBytes_max: 1500 });
  await log.append('traces', 0, value, headersOf(value));
  const consumer = new RecordingConsumer();
  const reader = await readLog(log, consumer);
  await until(() => consumer.count() === 1, 'the record');
  const makeSpace = fillDisk(directory, ['record', 'committed']);
  let committed = false;
  const commit = reader.commit('traces', 0, 1, 'note').then(() => (committed = true));
  // Each of them would not fit beside another one that is still pending.
  for (let n = 0; n < 5; n++) await assert.rejects(log.append('traces', 0, value, headersOf(value)), isDiskFull);
  assert.equal(committed, false);
  makeSpace();
  await commit;
  await until(
    () =>
      log.append('traces', 0, value, headersOf(value)).then(
        () => true,
        () => false,
      ),
    'space',
  );
  await until(() => consumer.count() === 2, 'the second record');
  await reader.stop();
  await log.close();
  const again = await openLog(directory, { clock });
  assert.equal(await again.lag('g', 'traces'), 1);
  await again.close();
});
