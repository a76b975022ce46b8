import { Malformed } from '../pipelines/base/errors.ts';
import type { EncodedBlock } from '../pipelines/encode/block.ts';
import { createEncoder, type BlockEncoder } from '../pipelines/encode/encoder.ts';
import { Copier } from '../pipelines/otlp/copier.ts';
import { MetricView } from '../pipelines/otlp/metric.ts';
import { Walker, type Signal } from '../pipelines/otlp/walk.ts';
import { Cursor } from '../pipelines/wire/cursor.ts';
import { Writer } from '../pipelines/wire/writer.ts';

type Range = readonly [start: number, stop: number, urlStart: number, urlStop: number];

/** A scope under its resource, in one record. */
interface Head {
  readonly record: number;
  readonly resource: Range;
  readonly scope: Range;
  readonly bytes: number;
}

/** A row to be: a span, a log record, or one data point of a metric. */
interface Row {
  readonly head: Head;
  /** Its place in its record. */
  readonly index: number;
  /** The item. */
  readonly start: number;
  readonly stop: number;
  /** The data point within it; an empty range for the other signals. */
  readonly pointStart: number;
  readonly pointStop: number;
}

/** The metric's fields with data points; see metric.ts. */
const DATA_FIELDS = new Set([5, 7, 9, 10, 11]);
const GROUP_ROWS_MAX = 500;
const GROUP_BYTES_MAX = 256 * 1024;

/**
 * The rows of a batch one by one, for the rare batch of which ClickHouse refuses a part: any range [from, to) of them can be encoded again, or be
 * written as OTLP. The same records give the same rows under the same numbers.
 */
export class BatchRows {
  readonly rows: readonly Row[];
  readonly signal: Signal;
  private readonly records: readonly Buffer[];
  private readonly encoder: BlockEncoder;
  private readonly out = new Writer(0);
  private readonly copier = new Copier(this.out);

  /** `records` are OTLP bytes that the encoder took before. */
  constructor(signal: Signal, records: readonly Buffer[]) {
    this.signal = signal;
    this.records = records;
    this.encoder = createEncoder(signal);
    this.rows = records.flatMap((bytes, record) => rowsOf(signal, bytes, record));
  }

  get count(): number {
    return this.rows.length;
  }

  /** What of [from, to) goes into the block of that table and day; undefined where nothing does. */
  encode(from: number, to: number, table: string, day: number): EncodedBlock | undefined {
    let found: EncodedBlock | undefined;
    this.encoder.add(this.otlp(this.rows.slice(from, to)));
    this.encoder.finish((block) => {
      if (block.table === table && block.day === day) found = block;
    });
    return found;
  }

  /** The rows of [from, to) that go into that block, in groups that each make a dead letter of a good size. */
  groups(from: number, to: number, table: string, day: number): Row[][] {
    const groups: Row[][] = [];
    let bytes = 0;
    for (const row of this.members(from, to, table, day)) {
      const group = groups.at(-1);
      const more = row.head.bytes + (row.pointStop > 0 ? row.pointStop - row.pointStart : row.stop - row.start);
      bytes += more;
      if (group === undefined || group.length >= GROUP_ROWS_MAX || bytes > GROUP_BYTES_MAX) {
        groups.push([row]);
        bytes = more;
      } else group.push(row);
    }
    return groups;
  }

  private members(from: number, to: number, table: string, day: number): readonly Row[] {
    const rows = this.encode(from, to, table, day)?.rows ?? 0;
    if (rows === 0) return [];
    if (rows === to - from) return this.rows.slice(from, to);
    const half = from + ((to - from) >> 1);
    return [...this.members(from, half, table, day), ...this.members(half, to, table, day)];
  }

  /** A Data message of these rows, each under its resource and scope; borrowed until the next call. */
  otlp(rows: readonly Row[]): Buffer {
    const { copier, out } = this;
    out.reset();
    let head: Head | undefined;
    for (let at = 0; at < rows.length;) {
      const row = rows[at]!;
      if (head?.record !== row.head.record) {
        if (head !== undefined) copier.finish();
        copier.begin(this.records[row.head.record]!, out);
      }
      if (head?.resource !== row.head.resource) copier.resource(...row.head.resource);
      if (head !== row.head) copier.scope(...row.head.scope);
      head = row.head;
      let end = at + 1;
      if (row.pointStop > 0) {
        while (rows[end]?.head === head && rows[end]!.start === row.start) end++;
        this.metric(rows.slice(at, end));
      } else copier.item(row.start, row.stop);
      at = end;
    }
    if (head !== undefined) copier.finish();
    return out.view();
  }

  /** Trace and span id of a row, empty where it has none. The caller's own. */
  ids(row: Row): { traceId: Buffer; spanId: Buffer } {
    const [traceField, spanField] = this.signal === 'traces' ? [1, 2] : this.signal === 'logs' ? [9, 10] : [0, 0];
    const bytes = this.records[row.head.record]!;
    let traceId = Buffer.alloc(0);
    let spanId = Buffer.alloc(0);
    const cursor = new Cursor().reset(bytes, row.start, row.stop);
    while (cursor.next()) {
      if (cursor.field === traceField) traceId = Buffer.from(bytes.subarray(cursor.start, cursor.stop));
      else if (cursor.field === spanField) spanId = Buffer.from(bytes.subarray(cursor.start, cursor.stop));
    }
    return { traceId, spanId };
  }

  /** One metric with the data points of these rows and no others. */
  private metric(rows: readonly Row[]): void {
    const { copier, out } = this;
    const { head, start, stop } = rows[0]!;
    const bytes = this.records[head.record]!;
    const mark = copier.openItem(stop - start);
    const cursor = new Cursor().reset(bytes, start, stop);
    let kind = 0;
    let dataStart = 0;
    let dataStop = 0;
    for (let from = cursor.pos; cursor.next(); from = cursor.pos) {
      if (!DATA_FIELDS.has(cursor.field)) {
        out.raw(bytes, from, cursor.pos);
        continue;
      }
      kind = cursor.field;
      dataStart = cursor.start;
      dataStop = cursor.stop;
    }
    const data = out.open(kind, dataStop - dataStart);
    cursor.reset(bytes, dataStart, dataStop);
    for (let from = cursor.pos; cursor.next(); from = cursor.pos) if (cursor.field !== 1) out.raw(bytes, from, cursor.pos);
    for (const { pointStart, pointStop } of rows) out.bytesField(1, bytes, pointStart, pointStop);
    out.close(data);
    copier.closeItem(mark);
  }
}

function rowsOf(signal: Signal, bytes: Buffer, record: number): Row[] {
  const rows: Row[] = [];
  const metric = new MetricView();
  let resource: Range = [0, 0, 0, 0];
  let head: Head | undefined;
  const add = (start: number, stop: number, pointStart: number, pointStop: number): void =>
    void rows.push({ head: head!, index: rows.length, start, stop, pointStart, pointStop });
  new Walker().walk(bytes, 0, bytes.length, {
    resource: (...range) => {
      resource = range;
    },
    scope: (...scope) => {
      head = { record, resource, scope, bytes: resource[1] - resource[0] + scope[1] - scope[0] };
    },
    item: (start, stop) => {
      const points = signal === 'metrics' ? pointsOf(metric, bytes, start, stop) : 0;
      if (points === 0) add(start, stop, 0, 0);
      for (let i = 0; i < points; i++) add(start, stop, metric.points.start(i), metric.points.stop(i));
    },
  });
  return rows;
}

/** 0 where the metric cannot be read: the encoder drops it whole. */
function pointsOf(metric: MetricView, bytes: Buffer, start: number, stop: number): number {
  try {
    return metric.parse(bytes, start, stop).points.count;
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return 0;
  }
}
