import type { SourceRecord } from './source-record.ts';
import { NO_SLOT } from './trace-table.ts';

const RECORDS_START = 256;

/** a − b of two serials modulo 2^32, as a signed distance. */
export function distance(a: number, b: number): number {
  return (a - b) | 0;
}

/**
 * The records that the sampler remembers, a ring in log order. Serials number them without gaps (offsets may have gaps), modulo 2^32.
 *
 *      tail ……………… horizon ……………… heldFrom ……………… next
 *      |  a restart   |  traces that   |  records      |
 *      |  may seek to |  began here    |  that wait    |
 *                       are alive
 *
 * `horizonOf(x)` is what the horizon was when x was read: the oldest record whose traces were still alive for x. It depends on the
 * records between the two alone, and it never goes back; the restart (sampler.ts) rests on that.
 */
export class RecordWindow {
  tail = 0;
  horizon = 0;
  heldFrom = 0;
  next = 0;
  private mask = RECORDS_START - 1;
  private offsets = new Float64Array(RECORDS_START);
  private times = new Float64Array(RECORDS_START);
  /** Appearances of traces in all records before this one. */
  private appearances = new Float64Array(RECORDS_START);
  private costs = new Float64Array(RECORDS_START);
  private horizons = new Uint32Array(RECORDS_START);
  /** Head of the list of slots that are looked at when the horizon passes this record. */
  private heads = new Int32Array(RECORDS_START);
  private records: (SourceRecord | undefined)[] = [];
  private slots: (Int32Array | undefined)[] = [];

  /** Begins the record at `next`; `appearancesBefore` counts all records before it. Returns its serial. */
  open(offset: number, time_ms: number, appearancesBefore: number): number {
    if (distance(this.next, this.tail) > this.mask) this.grow();
    const serial = this.next;
    const at = serial & this.mask;
    this.offsets[at] = offset;
    this.times[at] = time_ms;
    this.appearances[at] = appearancesBefore;
    this.costs[at] = 0;
    this.horizons[at] = this.horizon;
    this.heads[at] = NO_SLOT;
    this.next = (serial + 1) >>> 0;
    return serial;
  }

  /** What waits: the record as it came (undefined: it cannot be read, so there is nothing to emit), the slot of each span, and what that costs against the budget. */
  hold(serial: number, record: SourceRecord | undefined, slots: Int32Array, cost_bytes: number): void {
    const at = serial & this.mask;
    this.records[at] = record;
    this.slots[at] = slots;
    this.costs[at] = cost_bytes;
  }

  letGo(serial: number): void {
    const at = serial & this.mask;
    this.records[at] = undefined;
    this.slots[at] = undefined;
  }

  isHeld(): boolean {
    return this.heldFrom !== this.next;
  }
  offsetOf(serial: number): number {
    return this.offsets[serial & this.mask]!;
  }
  timeOf(serial: number): number {
    return this.times[serial & this.mask]!;
  }
  appearancesBefore(serial: number): number {
    return this.appearances[serial & this.mask]!;
  }
  costOf(serial: number): number {
    return this.costs[serial & this.mask]!;
  }
  horizonOf(serial: number): number {
    return serial === this.next ? this.horizon : this.horizons[serial & this.mask]!;
  }
  recordOf(serial: number): SourceRecord | undefined {
    return this.records[serial & this.mask];
  }
  slotsOf(serial: number): Int32Array | undefined {
    return this.slots[serial & this.mask];
  }
  headOf(serial: number): number {
    return this.heads[serial & this.mask]!;
  }
  setHead(serial: number, slot: number): void {
    this.heads[serial & this.mask] = slot;
  }

  /** Where a restart that commits at the oldest held record has to begin: the horizon of that record's horizon. See sampler.ts. */
  seekSerial(): number {
    return this.horizonOf(this.horizonOf(this.heldFrom));
  }

  /** Forgets what no restart needs any more. */
  trim(): void {
    this.tail = this.seekSerial();
  }

  /** Records remembered. */
  size(): number {
    return distance(this.next, this.tail);
  }

  private grow(): void {
    const mask = this.mask * 2 + 1;
    const offsets = new Float64Array(mask + 1);
    const times = new Float64Array(mask + 1);
    const appearances = new Float64Array(mask + 1);
    const costs = new Float64Array(mask + 1);
    const horizons = new Uint32Array(mask + 1);
    const heads = new Int32Array(mask + 1);
    const records: (SourceRecord | undefined)[] = [];
    const slots: (Int32Array | undefined)[] = [];
    for (let serial = this.tail; serial !== this.next; serial = (serial + 1) >>> 0) {
      const from = serial & this.mask;
      const to = serial & mask;
      offsets[to] = this.offsets[from]!;
      times[to] = this.times[from]!;
      appearances[to] = this.appearances[from]!;
      costs[to] = this.costs[from]!;
      horizons[to] = this.horizons[from]!;
      heads[to] = this.heads[from]!;
      records[to] = this.records[from];
      slots[to] = this.slots[from];
    }
    this.mask = mask;
    this.offsets = offsets;
    this.times = times;
    this.appearances = appearances;
    this.costs = costs;
    this.horizons = horizons;
    this.heads = heads;
    this.records = records;
    this.slots = slots;
  }
}
