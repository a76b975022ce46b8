import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readNote } from '../../pipelines/sample/note.ts';
import { BLOCK_MS, type Place } from '../../pipelines/sample/policies/rate-limit.ts';
import { Sampler } from '../../pipelines/sample/sampler.ts';
import type { SamplerSettings } from '../../pipelines/sample/settings.ts';
import { decompress } from '../../pipelines/topic/record.ts';
import { seeded } from '../kit/random.ts';
import { randomLog, randomSettings, record as recordOf, type TestRecord, type TestSpan } from '../sample/random-log.ts';

const SEEDS = Number(process.env['SIM_SEEDS'] ?? 3000);
const FIRST_SEED = Number(process.env['SIM_SEED'] ?? 1);
const NOTE_CHARACTERS_MAX = 3_800;
const AFTER_ALL_MS = 1e9;
const CRASHES_MAX = 6;

/** What a reader of the topic keeps: it skips what is not above the last sequence it has seen. */
class Sampled {
  readonly outputs: string[] = [];
  readonly sequences: number[] = [];
  repeats = 0;
  readonly sink = (bytes: Buffer, items: number, offset: number): void => {
    const text = `${offset} ${items} ${bytes.toString('base64')}`;
    const at = this.sequences.indexOf(offset);
    if (at >= 0) {
      this.repeats++;
      assert.equal(text, this.outputs[at], 'a repeated output differs from the first');
      return;
    }
    assert.ok(offset > (this.sequences.at(-1) ?? -1), `output ${offset} after ${this.sequences.at(-1)}: it would be skipped`);
    this.outputs.push(text);
    this.sequences.push(offset);
  };
}

/** What came to be leased for each block; before its first record, as services/sample-budget.ts does it. */
type Leases = Map<number, readonly number[]>;

function settle(sampler: Sampler, time_ms: number, leases: Leases): void {
  const block = Math.floor(time_ms / BLOCK_MS);
  if (block <= sampler.settledBlock) return;
  sampler.settledBlock = block;
  for (const [index, limit] of sampler.limits.entries()) limit.lease(block, leases.get(block)?.[index] ?? 0);
}

function oneGo(
  settings: SamplerSettings,
  log: readonly TestRecord[],
  place: Place,
  leases: Leases,
): { sampled: Sampled; sampler: Sampler } {
  const sampled = new Sampled();
  const sampler = new Sampler({ settings, sink: sampled.sink, unpack: decompress, place });
  for (const record of log) {
    settle(sampler, record.time_ms, leases);
    sampler.push(record, decompress(record));
  }
  sampler.tick(log.at(-1)!.time_ms + AFTER_ALL_MS);
  return { sampled, sampler };
}

function slowly(settings: SamplerSettings, log: readonly TestRecord[], place: Place, leases: Leases, random: () => number): Sampled {
  const sampled = new Sampled();
  const sampler = new Sampler({ settings, sink: sampled.sink, unpack: decompress, place, hashSeed: 7 });
  for (const [index, record] of log.entries()) {
    sampler.tick(record.time_ms);
    settle(sampler, record.time_ms, leases);
    sampler.push(record, decompress(record));
    const room_ms = (log[index + 1]?.time_ms ?? record.time_ms) - record.time_ms;
    if (random() < 0.5) sampler.tick(record.time_ms + Math.floor(random() * (room_ms + 1)));
    if (random() < 0.3) sampler.note(NOTE_CHARACTERS_MAX);
    assert.equal(sampler.metrics.stage.imbalance(), 0);
  }
  sampler.tick(log.at(-1)!.time_ms + AFTER_ALL_MS);
  return sampled;
}

/** An answer that no run before this one has seen; once it is in a commit it must hold for all that come after. */
function settleAnew(sampler: Sampler, block: number, place: Place, leases: Leases, random: () => number): void {
  assert.ok(!leases.has(block), 'a block was settled twice');
  sampler.settledBlock = block;
  leases.set(
    block,
    sampler.limits.map((limit) => {
      const own = Math.floor(limit.limit / place.partitions);
      const spans =
        place.partitions === 1 || random() < 0.4 ? 0 : Math.floor(random() * (limit.limit - own + 1)) - (random() < 0.5 ? own : 0);
      limit.lease(block, spans);
      return spans;
    }),
  );
}

interface Crashes {
  crashes: number;
  notedLives: number;
}

function withCrashes(
  settings: SamplerSettings,
  log: readonly TestRecord[],
  place: Place,
  leases: Leases,
  random: () => number,
  seen: Crashes,
): Sampled {
  const sampled = new Sampled();
  let committed: { offset: number; note: string; outputs: number } | undefined;
  let sampler = new Sampler({ settings, sink: sampled.sink, unpack: decompress, place });
  const crash = 0.02 + random() * 0.1;
  let left = CRASHES_MAX;
  const commit = 0.05 + random() * 0.4;
  for (let index = 0; index < log.length;) {
    const record = log[index++]!;
    const block = Math.floor(record.time_ms / BLOCK_MS);
    if (block > sampler.settledBlock) {
      // A border: emit what is due, settle with whatever answer there is now, commit.
      sampler.tick(record.time_ms);
      assert.ok(sampler.isLive(), 'a border while reading again');
      settleAnew(sampler, block, place, leases, random);
      committed = { offset: sampler.position(), note: sampler.note(NOTE_CHARACTERS_MAX), outputs: sampled.outputs.length };
    }
    sampler.push(record, decompress(record));
    if (random() < 0.3) {
      const next_ms = log[index]?.time_ms ?? record.time_ms;
      sampler.tick(record.time_ms + Math.floor(random() * (next_ms - record.time_ms + 1)));
    }
    if (random() < commit && sampler.isLive() && sampler.position() > (committed?.offset ?? -1)) {
      committed = { offset: sampler.position(), note: sampler.note(NOTE_CHARACTERS_MAX), outputs: sampled.outputs.length };
      assert.equal(sampler.metrics.noteOverflow, 0);
    }
    if (left > 0 && random() < crash) {
      left--;
      seen.crashes++;
      // Appends after the last commit may or may not have become durable; those before it are.
      const durable = (committed?.outputs ?? 0) + Math.floor(random() * (sampled.outputs.length - (committed?.outputs ?? 0) + 1));
      sampled.outputs.length = sampled.sequences.length = durable;
      sampler = new Sampler({ settings, sink: sampled.sink, unpack: decompress, place, hashSeed: 3 });
      index = 0;
      if (committed !== undefined) {
        const note = readNote(committed.note)!;
        seen.notedLives += note.lives.length;
        sampler.restore(committed.offset, note);
        index = log.findIndex((one) => one.offset >= note.from);
        if (index < 0) index = log.length;
      }
    }
  }
  sampler.tick(log.at(-1)!.time_ms + AFTER_ALL_MS);
  assert.equal(sampler.metrics.stage.imbalance(), 0);
  assert.equal(sampler.metrics.stage.held, 0);
  return sampled;
}

test('the same log in one go, slowly, and with crashes at random commits gives the same bytes', () => {
  const seen: Crashes = { crashes: 0, notedLives: 0 };
  let outputs = 0;
  let repeats = 0;
  let early = 0;
  let late = 0;
  let leased = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const random = seeded(seed);
    const settings = randomSettings(random);
    const log = randomLog(random, settings, 20 + Math.floor(random() * 120));
    try {
      const partitions = random() < 0.4 ? 1 : 2 + Math.floor(random() * 4);
      const place: Place = { partitions, partition: Math.floor(random() * partitions) };
      const leases: Leases = new Map();
      const crashed = withCrashes(settings, log, place, leases, random, seen);
      const { sampled, sampler } = oneGo(settings, log, place, leases);
      leased += leases.size;
      outputs += sampled.outputs.length;
      early += sampler.metrics.earlyTraces;
      late += sampler.metrics.lateKept + sampler.metrics.lateDropped;
      assert.equal(sampler.metrics.stage.imbalance(), 0);
      assert.equal(sampler.metrics.stage.held, 0);
      assert.deepEqual(slowly(settings, log, place, leases, random).outputs, sampled.outputs, 'slowly');
      repeats += crashed.repeats;
      assert.deepEqual(crashed.outputs, sampled.outputs, 'with crashes');
    } catch (error) {
      throw new Error(`seed ${seed} (SIM_SEED=${seed} SIM_SEEDS=1 runs it alone), settings ${JSON.stringify(settings)}`, { cause: error });
    }
  }
  // The simulation must have met what it is for; one seed alone need not.
  assert.ok(
    SEEDS < 100 ||
      (outputs > SEEDS && repeats > 0 && early > 0 && late > 0 && seen.crashes > SEEDS && leased > SEEDS && seen.notedLives > 0),
    JSON.stringify({ outputs, repeats, early, late, leased, seen }),
  );
  console.log(
    `${SEEDS} seeds: ${outputs} outputs, ${seen.crashes} crashes, ${seen.notedLives} noted lives, ${repeats} repeats, ${early} early decisions, ${late} late spans`,
  );
});

test('traces that live for hours with a span every second come out alike after a crash at any commit', () => {
  const settings: SamplerSettings = {
    decisionWait_ms: 30_000,
    lateWait_ms: 60_000,
    heldBytes_max: 1e9,
    traces_max: 1e9,
    policies: [
      { name: 'errors', type: 'status_code', statusCodes: ['ERROR'] },
      { name: 'rate', type: 'rate_limiting', spansPerSecond: 40 },
    ],
  };
  const random = seeded(4);
  const log: TestRecord[] = [];
  for (let second = 0; second < 2 * 3600; second++) {
    const spans: TestSpan[] = [];
    for (let trace = 1; trace <= 5; trace++) spans.push({ trace, error: random() < 0.003, slow: false });
    spans.push({ trace: 1000 + Math.floor(second / 4), error: false, slow: false });
    log.push(recordOf(second, 1_780_000_000_000 + second * 1000 + Math.floor(random() * 999), spans));
  }
  const { sampled } = oneGo(settings, log, { partition: 0, partitions: 1 }, new Map());
  let noted = 0;
  const commits: { offset: number; note: string }[] = [];
  const sampler = new Sampler({ settings, sink: () => {}, unpack: decompress });
  for (const one of log) {
    sampler.push(one, decompress(one));
    if (random() < 0.01) commits.push({ offset: sampler.position(), note: sampler.note(NOTE_CHARACTERS_MAX) });
  }
  assert.ok(commits.length > 40);
  for (const { offset, note } of commits) {
    const parsed = readNote(note)!;
    noted = Math.max(noted, parsed.lives.length);
    const again = new Sampled();
    const restarted = new Sampler({ settings, sink: again.sink, unpack: decompress });
    restarted.restore(offset, parsed);
    // Far enough that every life the commit knew of is over.
    const until = Math.min(log.length, offset + 400);
    for (const one of log.slice(parsed.from, until)) restarted.push(one, decompress(one));
    const expected = sampled.outputs.filter((_, n) => sampled.sequences[n]! >= offset && sampled.sequences[n]! <= again.sequences.at(-1)!);
    assert.ok(again.outputs.length > 100 || until === log.length);
    assert.deepEqual(again.outputs, expected, `commit at ${offset}`);
  }
  assert.equal(noted, 5, 'the long-lived traces were noted');
});
