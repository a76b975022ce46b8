import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { wallClock } from '../../pipelines/base/clock.ts';
import { Busy } from '../../pipelines/base/errors.ts';
import { createLog } from '../../pipelines/base/log.ts';
import { jsonToProtobuf } from '../../pipelines/otlp/json.ts';
import type { Signal } from '../../pipelines/otlp/walk.ts';
import { createStore, storeDefaults } from '../../pipelines/store/client.ts';
import { decodeDeadLetter, encodeDeadLetter, keyOf, type DeadLetter } from '../../pipelines/topic/dead-letter.ts';
import { DoneLetters } from '../../services/dead-done.ts';
import { otlpToJson } from '../../services/dead-json.ts';
import { DeadLetters, type DeadFilter } from '../../services/dead-letters.ts';
import { FakeClickhouse, Refusal } from '../kit/fake-clickhouse.ts';
import { FakeTopics } from '../kit/fake-topics.ts';
import { messages } from '../kit/messages.ts';
import { traces } from '../kit/otlp.ts';
import { decode } from '../kit/proto.ts';
import { seeded } from '../kit/random.ts';

const everything: DeadFilter = { reason: undefined, from: undefined, to: undefined };
const NO_ID = Buffer.alloc(0);

function letterOf(names: string[], more: Partial<DeadLetter> = {}): DeadLetter {
  const data = traces(names.map((name, n) => ({ name, span: String(n + 1) })));
  return {
    stage: 'write.clickhouse',
    signal: 'traces',
    topic: 'sampled',
    partition: 3,
    offset: 17,
    time_ms: 1_780_000_000_000,
    item: 5,
    items: names.length,
    table: 'otel_traces',
    reason: 'violated_constraint',
    message: 'no',
    traceId: Buffer.alloc(16, 1),
    spanId: Buffer.alloc(8, 2),
    codec: 'none',
    raw_bytes: data.length,
    data,
    ...more,
  };
}

interface Scene {
  readonly clickhouse: FakeClickhouse;
  readonly topics: FakeTopics;
  readonly dead: DeadLetters;
  append(letter: DeadLetter): Promise<void>;
  open(): Promise<number[]>;
  names(): string[];
  end(): Promise<void>;
}

async function scene(): Promise<Scene> {
  const clickhouse = await new FakeClickhouse().start();
  const store = createStore({ ...storeDefaults, url: clickhouse.url });
  // Three partitions as every other topic may have; letters are on the first.
  const topics = new FakeTopics({ topics: { dead: 3 }, clock: wallClock });
  const parts = { topics, clock: wallClock, log: createLog('silent'), stores: [{ group: 'write.clickhouse', store }] };
  const dead = new DeadLetters(parts);
  return {
    clickhouse,
    topics,
    dead,
    async append(letter) {
      const value = encodeDeadLetter(letter);
      await topics.append('dead', 0, value, { format: 1, codec: 'none', items: letter.items, raw_bytes: value.length });
    },
    open: async () => (await dead.list(everything, false, 1_000)).letters.map(({ number }) => number),
    names: () => clickhouse.rows('otel_traces').map((row) => String(row.SpanName)),
    async end() {
      await dead.stop();
      await store.close();
      await clickhouse.stop();
    },
  };
}

const quiet = (): void => undefined;

test('a dead letter comes back as it was written; its message is bounded', () => {
  const letter = letterOf(['a', 'b'], { message: 'ä'.repeat(5_000), offset: 2 ** 40 });
  const back = decodeDeadLetter(encodeDeadLetter(letter));
  assert.deepEqual(back, { ...letter, message: 'ä'.repeat(1_000) });
  const empty = letterOf([], { table: '', message: '', traceId: NO_ID, spanId: NO_ID, codec: 'zstd', raw_bytes: 0, data: NO_ID });
  assert.deepEqual(decodeDeadLetter(encodeDeadLetter(empty)), empty);
  assert.throws(() => decodeDeadLetter(traces([{}])), { name: 'Reject' });
});

test('replay by reason stores those and leaves the others; a second one stores nothing again', async () => {
  const s = await scene();
  for (let n = 0; n < 300; n++)
    await s.append(letterOf([`span-${n}`], { offset: n, reason: n % 3 === 0 ? 'type_mismatch' : 'violated_constraint' }));
  const first = await s.dead.replay({ ...everything, reason: 'violated_constraint' }, quiet);
  assert.equal(first.done, 200);
  assert.equal(s.names().length, 200);
  assert.deepEqual(
    await s.open(),
    Array.from({ length: 100 }, (_, n) => n * 3),
  );
  assert.equal((await s.dead.replay({ ...everything, reason: 'violated_constraint' }, quiet)).done, 0);
  assert.equal((await s.dead.replay({ ...everything, from: 0, to: 30 }, quiet)).done, 11);
  assert.equal((await s.dead.drop({ ...everything, from: 33, to: 33 }, quiet)).done, 1);
  assert.equal((await s.dead.replay(everything, quiet)).done, 88);
  assert.equal(new Set(s.names()).size, 299);
  assert.equal(s.names().length, 299);
  assert.equal(await s.topics.lag('dead-replay', 'dead'), 0);
  assert.equal((await s.dead.list(everything, true, 1_000)).matching, 300);
  await s.end();
});

test('a letter that is refused again stays, with the reason; of a group the good rows are stored and the bad ones come back one by one', async () => {
  const s = await scene();
  s.clickhouse.before = ({ rows }) => {
    if (rows.some((row) => String(row.SpanName).startsWith('bad'))) throw new Refusal(469, 'VIOLATED_CONSTRAINT');
  };
  await s.append(letterOf(['bad']));
  await s.append(letterOf(['good-0', 'good-1', 'bad-2', 'good-3', 'bad-4'], { item: 9 }));
  const told: number[] = [];
  const progress = await s.dead.replay(everything, ({ at }) => told.push(at));
  assert.deepEqual([progress.done, progress.refused], [1, 1]);
  assert.match(progress.message, /469/);
  assert.deepEqual(told, [0, 1]);
  assert.deepEqual(s.names().toSorted(), ['good-0', 'good-1', 'good-3']);
  const { letters } = await s.dead.list(everything, false, 10);
  assert.deepEqual(
    letters.map(({ number, letter }) => [number, letter.topic, letter.offset, letter.item, letter.items]),
    [
      [0, 'sampled', 17, 5, 1],
      [2, 'dead', 1, 2, 1],
      [3, 'dead', 1, 4, 1],
    ],
  );
  assert.equal(new Set(letters.map(({ letter }) => keyOf(letter))).size, 3);
  s.clickhouse.before = () => {};
  assert.equal((await s.dead.replay(everything, quiet)).done, 3);
  assert.deepEqual(s.names().toSorted(), ['bad', 'bad-2', 'bad-4', 'good-0', 'good-1', 'good-3']);
  await s.end();
});

test('a letter that a crash wrote twice is shown and stored once, also when its repeat comes after the replay', async () => {
  const s = await scene();
  await s.append(letterOf(['a']));
  await s.append(letterOf(['a']));
  assert.deepEqual(await s.open(), [0]);
  assert.equal((await s.dead.replay(everything, quiet)).done, 1);
  assert.deepEqual(await s.open(), []);
  await s.append(letterOf(['a']));
  await s.dead.replay(everything, quiet);
  assert.deepEqual(s.names(), ['a']);
  await s.end();
});

test('ClickHouse away in the middle of a replay: what was stored is done with, the rest stays open', async () => {
  const s = await scene();
  for (let n = 0; n < 20; n++) await s.append(letterOf([`span-${n}`], { offset: n }));
  let left = 7;
  s.clickhouse.before = () => {
    if (left-- <= 0) throw new Refusal(252, 'TOO_MANY_PARTS');
  };
  await assert.rejects(s.dead.replay(everything, quiet), Busy);
  assert.equal((await s.open()).length, 13);
  s.clickhouse.before = () => {};
  assert.equal((await s.dead.replay(everything, quiet)).done, 13);
  assert.equal(s.names().length, 20);
  await s.end();
});

test('letters of another exporter, and without data, stay and say why; two calls at a time are refused', async () => {
  const s = await scene();
  await s.append(letterOf(['a'], { stage: 'write.other' }));
  await s.append(letterOf([], { stage: 'ingest', data: NO_ID, raw_bytes: 0, items: 1 }));
  const replay = s.dead.replay(everything, quiet);
  await assert.rejects(s.dead.list(everything, false, 10), Busy);
  assert.equal((await replay).refused, 2);
  assert.equal((await s.dead.find(1))?.letter.stage, 'ingest');
  assert.equal(await s.dead.find(2), undefined);
  await s.end();
});

test('which letters are done with: any set comes back from the note, and the offset is the first that is not', () => {
  fc.assert(
    fc.property(fc.nat(5_000), fc.array(fc.nat(3_000), { maxLength: 200 }), (offset, letters) => {
      const done = new DoneLetters(offset, '');
      for (const letter of letters) done.add(offset + letter);
      const back = new DoneLetters(done.offset, done.note()!);
      for (let letter = 0; letter < 3_002; letter++) {
        const is = letters.includes(letter);
        if (back.has(offset + letter) !== is || done.has(offset + letter) !== is) return false;
      }
      return !back.has(back.offset) && back.offset === done.offset;
    }),
    { numRuns: 30 },
  );
  const scattered = new DoneLetters(0, '');
  const next = seeded(1);
  for (let letter = 1; letter < 200_000; letter++) if (next() < 0.5) scattered.add(letter);
  assert.equal(scattered.note(), undefined);
});

const roots: Record<Signal, string> = { traces: 'TracesData', logs: 'LogsData', metrics: 'MetricsData' };
for (const signal of ['traces', 'logs', 'metrics'] as const) {
  test(`OTLP/JSON of any ${signal} message, read again, is the message`, () => {
    fc.assert(
      fc.property(messages[signal], (bytes) => {
        const again = jsonToProtobuf(signal, Buffer.from(JSON.stringify(otlpToJson(signal, bytes))));
        assert.deepEqual(decode(roots[signal], again), decode(roots[signal], bytes));
      }),
      { numRuns: 40 },
    );
  });
}
