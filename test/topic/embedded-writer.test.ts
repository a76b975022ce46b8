import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { packRecords } from '../../pipelines/topic/embedded-group.ts';
import { RecordReads } from '../../pipelines/topic/embedded-read.ts';
import { loadCommitted, loadFloor_ms, loadPartitions, openForReading, openForWriting } from '../../pipelines/topic/embedded-schema.ts';
import { LogWriter } from '../../pipelines/topic/embedded-writer.ts';
import { headersOf, temporaryDirectory } from '../kit/embedded-log.ts';

function setUp(t: TestContext) {
  const file = join(temporaryDirectory(t), 'log.sqlite');
  const db = openForWriting(file);
  const [row] = loadPartitions(db, { traces: 1 });
  db.close();
  const partition = row!;
  const writer = new LogWriter(file, new Map([[partition.id, partition.end]]));
  const reading = openForReading(file);
  t.after(() => reading.close());
  const write = (
    time_ms: number,
    values: readonly string[],
    more: { offset?: number; floor_ms?: number; id?: number } = {},
  ): Float64Array => {
    const items = values.map((text) => ({
      partition: { id: more.id ?? partition.id },
      value: Buffer.from(text),
      headers: headersOf(Buffer.from(text)),
    }));
    const to = new ArrayBuffer(1000);
    const meta = packRecords(items, to);
    const commits =
      more.offset === undefined ? [] : [{ group: 'g', partitionId: partition.id, offset: more.offset, note: 'n', keepBehind_ms: 0 }];
    return writer.write({ time_ms, records: items.length, meta, values: to, commits, floor_ms: more.floor_ms });
  };
  return { file, partition, writer, reading, write, reads: new RecordReads(reading, file) };
}

test('write() stores records, commits and the floor together', (t) => {
  const { writer, reading, write, reads, partition } = setUp(t);
  assert.deepEqual([...write(5, ['a', 'bb', ''], { offset: 2, floor_ms: 99 })], [0, 1, 2]);
  assert.deepEqual(
    reads.records(partition.id, 0, 10, 1000).map(({ time_ms, value }) => [time_ms, value.toString()]),
    [
      [5, 'a'],
      [5, 'bb'],
      [5, ''],
    ],
  );
  assert.equal(loadCommitted(reading)[0]!.offset, 2);
  assert.equal(loadFloor_ms(reading), 99);
  write(6, [], { floor_ms: 50 });
  assert.equal(loadFloor_ms(reading), 99, 'a floor never sinks while the log is open');
  writer.close(60);
  assert.equal(loadFloor_ms(reading), 60, 'a clean end takes back what was only reserved');
});

test('a group that fails stores nothing and uses no offset', (t) => {
  const { writer, write, reads, partition } = setUp(t);
  write(1, ['a']);
  assert.throws(() => write(2, ['b'], { id: 77 }), /partition id 77/);
  // SQLite itself refuses: a commit's offset must be a whole number.
  assert.throws(() => write(2, ['b'], { offset: 0.5 }));
  assert.equal(reads.records(partition.id, 0, 10, 1000).length, 1);
  assert.deepEqual([...write(3, ['c'])], [1]);
  writer.close(3);
});

test('retain() makes the time that it measured from durable together with the removal', (t) => {
  const { writer, reading, write, reads, partition } = setUp(t);
  write(10, ['a', 'b']);
  write(20, ['c']);
  const rules = [{ partitionId: partition.id, readers: [{ offset: 3, keepBehind_ms: 985 }] }];
  assert.deepEqual(writer.retain(rules, 1000, 0), { first: [[partition.id, 2]], removed: 2, more: false });
  assert.equal(loadFloor_ms(reading), 1000);
  assert.deepEqual(
    reads.records(partition.id, 0, 10, 1000).map(({ offset }) => offset),
    [2],
  );
  assert.deepEqual(writer.retain(rules, 1000, 0), { first: [], removed: 0, more: false });
  writer.close(1000);
});

test('retain() removes a bounded number of records a step', (t) => {
  const { writer, write, partition } = setUp(t);
  for (let group = 0; group < 25; group++)
    write(
      1,
      Array.from({ length: 100 }, () => 'x'),
    );
  const rules = [{ partitionId: partition.id, readers: [{ offset: 2500, keepBehind_ms: 0 }] }];
  const steps = [1, 2, 3].map(() => writer.retain(rules, 1000, 0));
  assert.deepEqual(
    steps.map(({ removed, more }) => [removed, more]),
    [
      [1000, true],
      [1000, true],
      [500, false],
    ],
  );
  writer.close(1000);
});
