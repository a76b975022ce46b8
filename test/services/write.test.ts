import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wallClock } from '../../pipelines/base/clock.ts';
import { compress } from '../../pipelines/topic/record.ts';
import type { WriteSettings } from '../../services/write-settings.ts';
import type { Write } from '../../services/write.ts';
import { Refusal } from '../kit/fake-clickhouse.ts';
import { seeded } from '../kit/random.ts';
import { assertBalanced, expected, lagIsZero, record, scene } from '../kit/write-scene.ts';

test('write stores every row once, a block for each day, and its lag goes to 0', async () => {
  const s = await scene(2);
  const write = await s.start();
  for (let i = 0; i < 6; i++) await s.append(`r${i}`, 8);
  await lagIsZero(s.topics);
  assert.deepEqual(
    s.names().sort(),
    Array.from({ length: 6 }, (_, i) => expected(`r${i}`, 8))
      .flat()
      .sort(),
  );
  for (const insert of s.clickhouse.stored) {
    assert.equal(new Set(insert.rows.map((row) => BigInt(String(row.Timestamp)) / 86_400_000_000_000n)).size, 1, 'one day a block');
    assert.equal(insert.settings.get('async_insert'), '0');
    assert.equal(insert.settings.get('deduplicate_blocks_in_dependent_materialized_views'), '1');
  }
  const [counters] = write.counters;
  assert.equal(counters!.in, 48);
  assert.equal(counters!.out, 48);
  assertBalanced(write);
  await write.drain();
  await s.end();
});

test('write batches by rows: no insert is larger than the limit asks for', async () => {
  const s = await scene();
  for (let i = 0; i < 20; i++) await s.append(`r${i}`, 4);
  const write = await s.start({ batch_rows_max: 12, batchWait_ms: 60_000 });
  await s.topics.until(() => s.names().length >= 72, 'six full batches');
  assert.deepEqual(
    [...new Set(s.clickhouse.stored.map((insert) => insert.token.split(':').slice(2, 4).join('-')))],
    ['0-3', '3-6', '6-9', '9-12', '12-15', '15-18'],
  );
  await write.drain();
  assert.equal(s.names().length, 80, 'drain stores what was read');
  assert.equal(await s.topics.lag('write', 'sampled'), 0);
  await s.end();
});

test('write reads zstd records and refuses what does not unpack, without stopping', async () => {
  const s = await scene();
  const raw = record('z', 4);
  const packed = compress(raw, 'zstd');
  await s.topics.append('sampled', 0, packed, { format: 1, codec: 'zstd', items: 4, raw_bytes: raw.length });
  await s.topics.append('sampled', 0, Buffer.from('not zstd'), { format: 1, codec: 'zstd', items: 3, raw_bytes: 100 });
  await s.topics.append('sampled', 0, Buffer.from('not protobuf'), { format: 1, codec: 'none', items: 2, raw_bytes: 12 });
  await s.append('after', 1);
  const write = await s.start();
  await lagIsZero(s.topics);
  assert.deepEqual(s.names().sort(), [...expected('z', 4), 'after-0'].sort());
  assert.equal(write.counters[0]!.dropped.get('dead_letter'), 5);
  assertBalanced(write);
  const letters = s.letters();
  assert.deepEqual(
    letters.map(({ reason, offset, items, codec, raw_bytes, data }) => [reason, offset, items, codec, raw_bytes, data.toString()]),
    [
      ['malformed_record', 1, 3, 'zstd', 100, 'not zstd'],
      ['malformed_record', 2, 2, 'none', 12, 'not protobuf'],
    ],
  );
  assert.deepEqual([...write.deadLetters], [['malformed_record', 2]]);
  await write.drain();
  await s.end();
});

test('write skips what a stage before has appended again', async () => {
  const s = await scene();
  await s.append('a', 2, { sequence: 5 });
  await s.append('b', 2, { sequence: 6, part: 0 });
  await s.append('c', 2, { sequence: 6, part: 1 });
  const first = await s.start();
  await lagIsZero(s.topics);
  await first.drain();
  // The repeat comes after a restart: the note knows how far it was.
  const second = await s.start();
  await s.append('a', 2, { sequence: 5 });
  await s.append('c', 2, { sequence: 6, part: 1 });
  await s.append('d', 2, { sequence: 7 });
  await lagIsZero(s.topics);
  assert.deepEqual(
    s.names().sort(),
    ['a', 'b', 'c', 'd'].flatMap((prefix) => expected(prefix, 2)),
  );
  assert.equal(second.counters[0]!.dropped.get('repeat'), 4);
  assertBalanced(second);
  await second.drain();
  await s.end();
});

test('write waits while ClickHouse takes nothing, and loses nothing', async () => {
  const s = await scene();
  let refusals = 0;
  s.clickhouse.before = () => {
    if (++refusals <= 3) throw new Refusal(252, 'TOO_MANY_PARTS');
    if (refusals <= 5) throw new Error('the connection breaks');
  };
  const write = await s.start();
  await s.append('r', 3);
  await s.topics.until(() => write.outageSince_ms() !== undefined, 'the outage to be noticed');
  await lagIsZero(s.topics);
  assert.deepEqual(s.names(), expected('r', 3));
  assert.equal(write.outageSince_ms(), undefined);
  await write.drain();
  await s.end();
});

test('write starts while ClickHouse is down; drain gives up in time and the next start stores the batch', async () => {
  const s = await scene();
  await s.append('r', 4);
  s.clickhouse.before = () => {
    throw new Error('down');
  };
  const first = await s.start({ drainDeadline_ms: 50 });
  await s.topics.until(() => s.clickhouse.inserts.length > 1, 'a second try');
  await first.drain();
  assertBalanced(first);
  assert.equal(s.names().length, 0);
  s.clickhouse.before = () => {};
  const second = await s.start();
  await lagIsZero(s.topics);
  assert.deepEqual(s.names().sort(), expected('r', 4));
  assert.equal(new Set(s.clickhouse.inserts.map((insert) => insert.token)).size, 2, 'the same tokens as before: one a day');
  await second.drain();
  await s.end();
});

for (const seed of [1, 2, 3, 4, 5, 6, Date.now() % 100_000]) {
  test(`write crashed around every commit and insert stores every row once (seed ${seed})`, async () => {
    const s = await scene(2);
    const next = seeded(seed);
    let crashes = 0;
    // One process at a time; what a dead one still had on the wire may arrive all the same.
    let down = true;
    let restart: (() => void) | undefined;
    const maybeCrash = (): void => {
      if (down || crashes >= 25 || next() > 0.3) return;
      crashes++;
      down = true;
      s.topics.crash('write');
      restart?.();
      throw new Error('crashed');
    };
    const quietly = (): void => {
      // A commit that was stored cannot be taken back: the process is gone all the same.
      try {
        maybeCrash();
      } catch {}
    };
    s.topics.beforeCommit = maybeCrash;
    s.topics.afterCommit = quietly;
    s.clickhouse.before = maybeCrash;
    s.clickhouse.after = maybeCrash;
    const limits = (): Partial<WriteSettings> => ({ batch_rows_max: 1 + Math.floor(next() * 40), batchWait_ms: Math.floor(next() * 5) });
    const writes: Write[] = [];
    let starting: Promise<void> = Promise.resolve();
    restart = () => {
      starting = starting.then(async () => {
        const write = await s.start(limits());
        write.failed.catch(() => {});
        writes.push(write);
        down = false;
      });
    };
    restart();
    const all: string[] = [];
    for (let i = 0; i < 60; i++) {
      const count = 1 + Math.floor(next() * 9);
      // Partition by turns; one in five is a repeat of nothing: sequences rise a partition.
      await s.append(`s${seed}r${i}`, count, { sequence: i });
      all.push(...expected(`s${seed}r${i}`, count));
      if (i % 10 === 0) await wallClock.sleep(1);
    }
    await lagIsZero(s.topics);
    await starting;
    assert.ok(crashes > 3, `only ${crashes} crashes`);
    assert.deepEqual(s.names().sort(), all.sort());
    for (const write of writes.slice(-1)) await write.drain();
    await s.end();
  });
}
