import { hashBytes, partitionOf } from '../base/hash.ts';
import { Cursor, EMPTY, WIRE_LEN } from '../wire/cursor.ts';
import { Writer } from '../wire/writer.ts';
import { Copier } from './copier.ts';
import { TRACE_ID_BYTES } from './span.ts';
import { Walker, type ItemVisitor, type Signal } from './walk.ts';

/** One request's items for one partition: a Data message, borrowed until the call returns, and how many items it holds. */
export type PartSink = (partition: number, part: Buffer, items: number) => void;

const SPAN_TRACE_ID = 1;
const LOG_TRACE_ID = 9;
// A buffer that one large request made grow is given back, so that many partitions do not each keep its size for ever.
const WRITER_KEEP_BYTES_MAX = 4 << 20;
const WRITER_START_BYTES = 16 << 10;
const NOTHING_YET = -1;

/**
 * Cuts a request by partition (DESIGN, Roles and topics): spans by the hash of their trace id, log records by their trace
 * id where they have one, else by their resource, metrics by their resource. Every part is a Data message in which each
 * item stands under its own resource and scope, in the order of the request. A request that all goes to one partition
 * is handed on as it came, without a copy.
 *
 * The bytes should have passed the validator: where a span has several trace ids (validate.ts refuses those) the first
 * one counts here.
 */
export class Splitter implements ItemVisitor {
  readonly signal: Signal;
  readonly partitions: number;
  private readonly idField: number;
  private readonly walker = new Walker();
  private readonly cursor = new Cursor();
  private readonly writers: Writer[] = [];
  private readonly copiers: Copier[] = [];
  // Which resource and scope each copier was told of last: heads are announced only to partitions that get an item.
  private readonly resourceTold: Int32Array;
  private readonly scopeTold: Int32Array;
  private readonly touched: Int32Array;
  private touchedCount = 0;
  private bytes: Buffer = EMPTY;
  private copying = false;
  /** The one partition of all items so far, or partitions where there are several. */
  private only = NOTHING_YET;
  private resourceSerial = 0;
  private scopeSerial = 0;
  private resourceHash = 0;
  private resourceStart = 0;
  private resourceStop = 0;
  private resourceUrlStart = 0;
  private resourceUrlStop = 0;
  private scopeStart = 0;
  private scopeStop = 0;
  private scopeUrlStart = 0;
  private scopeUrlStop = 0;

  /** `partitions` ≥ 1. */
  constructor(signal: Signal, partitions: number) {
    this.signal = signal;
    this.partitions = partitions;
    this.idField = signal === 'traces' ? SPAN_TRACE_ID : signal === 'logs' ? LOG_TRACE_ID : 0;
    this.resourceTold = new Int32Array(partitions);
    this.scopeTold = new Int32Array(partitions);
    this.touched = new Int32Array(partitions);
    for (let p = 0; p < partitions; p++) {
      const writer = new Writer(0);
      this.writers.push(writer);
      this.copiers.push(new Copier(writer));
    }
  }

  /** Returns the number of items; calls `sink` once for each partition that has any, in the order of their first items. @throws Malformed, before any part was handed on */
  split(bytes: Buffer, sink: PartSink): number {
    this.bytes = bytes;
    this.copying = false;
    this.only = NOTHING_YET;
    const items = this.walker.walk(bytes, 0, bytes.length, this);
    if (items === 0) return 0;
    if (this.only < this.partitions) {
      this.bytes = EMPTY;
      sink(this.only, bytes, items);
      return items;
    }
    this.copying = true;
    this.touchedCount = 0;
    this.resourceTold.fill(0);
    this.scopeTold.fill(0);
    this.resourceSerial = this.scopeSerial = 0;
    this.walker.walk(bytes, 0, bytes.length, this);
    for (let i = 0; i < this.touchedCount; i++) {
      const partition = this.touched[i]!;
      const writer = this.writers[partition]!;
      const copier = this.copiers[partition]!;
      copier.finish();
      sink(partition, writer.view(), copier.items);
      if (writer.bytes.length > WRITER_KEEP_BYTES_MAX) this.writers[partition] = new Writer(0);
      // Neither the request nor a buffer given back may be kept alive from here.
      copier.begin(EMPTY, this.writers[partition]!);
    }
    this.bytes = EMPTY;
    return items;
  }

  // ---- ItemVisitor: called by the walker ----

  resource(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.resourceHash = this.signal === 'traces' ? 0 : hashBytes(this.bytes, start, stop);
    this.resourceStart = start;
    this.resourceStop = stop;
    this.resourceUrlStart = urlStart;
    this.resourceUrlStop = urlStop;
    this.resourceSerial++;
  }

  scope(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.scopeStart = start;
    this.scopeStop = stop;
    this.scopeUrlStart = urlStart;
    this.scopeUrlStop = urlStop;
    this.scopeSerial++;
  }

  item(start: number, stop: number): void {
    if (!this.copying) {
      if (this.only === this.partitions) return;
      const partition = this.partitionAt(start, stop);
      if (this.only === NOTHING_YET) this.only = partition;
      else if (this.only !== partition) this.only = this.partitions;
      return;
    }
    const partition = this.partitionAt(start, stop);
    const copier = this.copiers[partition]!;
    if (this.resourceTold[partition] !== this.resourceSerial) {
      if (this.resourceTold[partition] === 0) this.begin(partition);
      this.resourceTold[partition] = this.resourceSerial;
      copier.resource(this.resourceStart, this.resourceStop, this.resourceUrlStart, this.resourceUrlStop);
    }
    if (this.scopeTold[partition] !== this.scopeSerial) {
      this.scopeTold[partition] = this.scopeSerial;
      copier.scope(this.scopeStart, this.scopeStop, this.scopeUrlStart, this.scopeUrlStop);
    }
    copier.item(start, stop);
  }

  private begin(partition: number): void {
    const writer = this.writers[partition]!;
    writer.reset();
    if (writer.bytes.length === 0) writer.reserve(WRITER_START_BYTES);
    this.copiers[partition]!.begin(this.bytes, writer);
    this.touched[this.touchedCount++] = partition;
  }

  private partitionAt(start: number, stop: number): number {
    if (this.idField !== 0) {
      const cursor = this.cursor.reset(this.bytes, start, stop);
      while (cursor.next()) {
        if (cursor.field !== this.idField) continue;
        cursor.expect(WIRE_LEN);
        // A log record without a trace may spell that as sixteen zeros: those must not all meet in one partition.
        if (this.signal === 'traces' || hasTrace(this.bytes, cursor.start, cursor.stop)) {
          return partitionOf(hashBytes(this.bytes, cursor.start, cursor.stop), this.partitions);
        }
        break;
      }
    }
    return partitionOf(this.resourceHash, this.partitions);
  }
}

function hasTrace(bytes: Buffer, start: number, stop: number): boolean {
  if (stop - start !== TRACE_ID_BYTES) return false;
  for (let at = start; at < stop; at++) if (bytes[at] !== 0) return true;
  return false;
}
