import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hashBytes } from '../../pipelines/base/hash.ts';
import { META_COLUMNS, packRecords } from '../../pipelines/topic/embedded-group.ts';
import { RecordReads } from '../../pipelines/topic/embedded-read.ts';
import { loadPartitions, openForReading, openForWriting } from '../../pipelines/topic/embedded-schema.ts';
import { LogWriter } from '../../pipelines/topic/embedded-writer.ts';
import { compress, decompress } from '../../pipelines/topic/record.ts';
import type { LogRecord, RecordHeaders } from '../../pipelines/topic/topic.ts';
import { envoyFixture } from '../kit/senders.ts';
import type { Bench, BenchResult, Scale } from './bench.ts';

/*
 * The embedded log's writer and reader without the thread between them, and the codec. Items are MiB of value, so that the
 * rates read as MiB/s.
 */
const MIB = 2 ** 20;
// 256 KiB of mesh spans make a record of about this size.
const VALUE_BYTES = 24 * 1024;
const GROUP_RECORDS = 160;
const PARTITIONS = 4;

const mibOf = (scale: Scale): number => (scale === 'full' ? 120 : 7.5);

/** Bytes that look random and are the same every time. */
function noise(bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes);
  let state = 12_345;
  for (let at = 0; at < bytes; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    buffer[at] = state >>> 16;
  }
  return buffer;
}

let pool: Buffer | undefined;
const valueAt = (record: number): Buffer => (pool ??= noise(VALUE_BYTES + 4096)).subarray(record % 4096, (record % 4096) + VALUE_BYTES);

function inDirectory<T>(work: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'tailrace-bench-'));
  try {
    return work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Writes the input; returns a hash of the offsets that were given. */
function fill(file: string, scale: Scale): string {
  const db = openForWriting(file);
  const rows = loadPartitions(db, { traces: PARTITIONS });
  db.close();
  const writer = new LogWriter(file, new Map(rows.map(({ id, end }) => [id, end])));
  const headers: RecordHeaders = { format: 1, codec: 'zstd', items: 270, raw_bytes: 262_144 };
  const groups = (mibOf(scale) * MIB) / VALUE_BYTES / GROUP_RECORDS;
  let hash = 0;
  const values = new ArrayBuffer(GROUP_RECORDS * VALUE_BYTES);
  for (let group = 0; group < groups; group++) {
    const items = Array.from({ length: GROUP_RECORDS }, (_, index) => ({
      partition: rows[index % PARTITIONS]!,
      value: valueAt(group * GROUP_RECORDS + index),
      headers,
    }));
    const meta = packRecords(items, values);
    if (meta.length !== GROUP_RECORDS * META_COLUMNS) throw new Error('rows are missing');
    const offsets = writer.write({
      time_ms: 1_780_000_000_000 + group,
      records: GROUP_RECORDS,
      meta,
      values,
      commits: [],
      floor_ms: undefined,
    });
    hash = hashBytes(Buffer.from(offsets.buffer), 0, offsets.byteLength, hash);
    writer.checkpoint();
  }
  writer.close(1_780_000_000_000 + groups);
  return hash.toString(16);
}

function append(scale: Scale): BenchResult {
  return inDirectory((directory) => ({ items: mibOf(scale), hash: fill(join(directory, 'log.sqlite'), scale) }));
}

const filled = new Map<Scale, string>();

function prepareRead(scale: Scale): void {
  if (filled.has(scale)) return;
  const directory = mkdtempSync(join(tmpdir(), 'tailrace-bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'log.sqlite');
  fill(file, scale);
  filled.set(scale, file);
}

function read(scale: Scale): BenchResult {
  prepareRead(scale);
  const file = filled.get(scale)!;
  const reads = new RecordReads(openForReading(file), file);
  let hash = 0;
  let bytes = 0;
  const end = (mibOf(scale) * MIB) / VALUE_BYTES / PARTITIONS;
  for (let id = 1; id <= PARTITIONS; id++) {
    for (let next = 0; next < end;) {
      const records = reads.records(id, next, end, MIB);
      for (const { value } of records) {
        bytes += value.length;
        hash = hashBytes(value, 0, 64, hash);
      }
      next = records.at(-1)!.offset + 1;
    }
  }
  reads.close();
  if (bytes !== mibOf(scale) * MIB) throw new Error(`read ${bytes} bytes`);
  return { items: bytes / MIB, hash: hash.toString(16) };
}

let spans: Buffer | undefined;
let packed: Pick<LogRecord, 'value' | 'headers'> | undefined;

/** 256 KiB of what an Envoy sent, each span with ids of its own. */
function prepareCodec(): void {
  if (spans !== undefined) return;
  const parts: Buffer[] = [];
  const ids = noise(MIB);
  for (let bytes = 0; bytes < 262_144; bytes += parts.at(-1)!.length) {
    const part = Buffer.from(envoyFixture(`trace-${String((parts.length % 20) + 1).padStart(2, '0')}`));
    for (let at = 20; at + 16 < part.length; at += 200) ids.copy(part, at, bytes + at, bytes + at + 16);
    parts.push(part);
  }
  spans = Buffer.concat(parts).subarray(0, 262_144);
  packed = { value: compress(spans, 'zstd'), headers: { format: 1, codec: 'zstd', items: 1, raw_bytes: spans.length } };
}

function pack(scale: Scale): BenchResult {
  prepareCodec();
  const count = scale === 'full' ? 1600 : 40;
  let bytes = 0;
  for (let round = 0; round < count; round++) bytes += compress(spans!, 'zstd').length;
  if (bytes === 0 || bytes > (spans!.length * count) / 5) throw new Error(`${spans!.length * count} bytes became ${bytes}`);
  return { items: count / 4, hash: bytes.toString(16) };
}

function unpack(scale: Scale): BenchResult {
  prepareCodec();
  const count = scale === 'full' ? 4000 : 40;
  let hash = 0;
  for (let round = 0; round < count; round++) hash = hashBytes(decompress(packed!), 200_000, 200_100, hash);
  return { items: count / 4, hash: hash.toString(16) };
}

export const benches: Bench[] = [
  { name: 'topic: append to the embedded log, 4 MiB a group, fsync each', unit: 'MiB', run: append, prepare: () => void valueAt(0) },
  { name: 'topic: read from the embedded log', unit: 'MiB', run: read, prepare: prepareRead },
  { name: 'topic: compress records of 256 KiB, zstd 1', unit: 'MiB', run: pack, prepare: prepareCodec },
  { name: 'topic: decompress records of 256 KiB', unit: 'MiB', run: unpack, prepare: prepareCodec },
];
