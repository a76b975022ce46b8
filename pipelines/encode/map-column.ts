import type { AttributeList } from '../otlp/attributes.ts';
import type { Writer } from '../wire/writer.ts';
import { IndexList, type Column } from './column.ts';
import { LowCardinalityColumn } from './dictionary.ts';
import { StringColumn } from './string-column.ts';

const INSERTION_RUN = 16;
const NO_SHAPE = -1;
let merged = new Int32Array(64);

/**
 * `Map(LowCardinality(String), String)`, on the wire an Array(Tuple(key, value)): prefix of the keys; then the offsets (UInt64 a row),
 * all keys as one LowCardinality column, all values as one String column.
 *
 * Keys are sorted by their bytes in each row, as the Collector's exporter does since contrib#33634: equal attribute sets are then equal maps, and
 * compress. A key that comes twice stays twice, in its order: `map['key']` reads the first.
 */
export class MapColumn implements Column {
  readonly type = 'Map(LowCardinality(String), String)';
  private readonly offsets = new IndexList();
  private readonly keys = new LowCardinalityColumn();
  private readonly values = new StringColumn();
  private lastValues = 0;

  // The shape of the last row: its keys in wire order (as dictionary numbers), and which of them comes first, second … when sorted.
  // One sender's spans have the same keys in the same order, so that comparing is usually all there is to do.
  private shape = NO_SHAPE;
  private shapeKeys = new Int32Array(64);
  private shapeOrder = new Int32Array(64);

  get rows(): number {
    return this.offsets.count;
  }

  /** One row: the attributes of `list`, whose ranges lie in `bytes`. @throws Malformed (then `truncate`) */
  add(bytes: Buffer, list: AttributeList): void {
    const { keys, values, shapeKeys, shapeOrder } = this;
    const { count } = list;
    if (!this.sameShape(bytes, list)) {
      this.learn(bytes, list);
      this.add(bytes, list);
      return;
    }
    this.lastValues = values.position;
    for (let rank = 0; rank < count; rank++) {
      const item = shapeOrder[rank]!;
      keys.indexes.push(shapeKeys[item]!);
      values.value(bytes, list.valueStart(item), list.valueStop(item));
    }
    this.offsets.push(keys.rows);
  }

  /** The last row once more. */
  repeat(): void {
    const { offsets, keys, values } = this;
    const stop = offsets.at(offsets.count - 1);
    const start = offsets.count > 1 ? offsets.at(offsets.count - 2) : 0;
    const position = values.position;
    keys.indexes.repeat(start, stop);
    values.repeatFrom(this.lastValues, stop - start);
    this.lastValues = position;
    offsets.push(keys.rows);
  }

  prefixSize(): number {
    return this.keys.prefixSize();
  }
  writePrefix(out: Writer): void {
    this.keys.writePrefix(out);
  }
  dataSize(): number {
    return this.offsets.count * 8 + this.keys.dataSize() + this.values.dataSize();
  }
  writeData(out: Writer): void {
    this.offsets.writeU64(out);
    this.keys.writeData(out);
    this.values.writeData(out);
  }
  truncate(rows: number): void {
    const pairs = rows === 0 ? 0 : this.offsets.at(rows - 1);
    this.offsets.count = rows;
    this.keys.truncate(pairs);
    this.values.truncate(pairs);
  }
  clear(): void {
    this.offsets.count = 0;
    this.keys.clear();
    this.values.clear();
    this.shape = NO_SHAPE;
    this.lastValues = 0;
  }

  private sameShape(bytes: Buffer, list: AttributeList): boolean {
    const { count } = list;
    if (this.shape !== count) return false;
    const { dictionary } = this.keys;
    for (let i = 0; i < count; i++) if (!dictionary.is(this.shapeKeys[i]!, bytes, list.keyStart(i), list.keyStop(i))) return false;
    return true;
  }

  private learn(bytes: Buffer, list: AttributeList): void {
    const { count } = list;
    if (count > this.shapeKeys.length) {
      this.shapeKeys = new Int32Array(count * 2);
      this.shapeOrder = new Int32Array(count * 2);
    }
    for (let i = 0; i < count; i++) {
      this.shapeKeys[i] = this.keys.dictionary.index(bytes, list.keyStart(i), list.keyStop(i));
      this.shapeOrder[i] = i;
    }
    this.sort(count);
    this.shape = count;
  }

  /** Sorts shapeOrder by key, stable: insertion in short runs, then merges, because a span may come with a million attributes. */
  private sort(count: number): void {
    const order = this.shapeOrder;
    for (let start = 0; start < count; start += INSERTION_RUN) {
      const stop = Math.min(start + INSERTION_RUN, count);
      for (let i = start + 1; i < stop; i++) {
        const item = order[i]!;
        let at = i;
        while (at > start && this.compare(order[at - 1]!, item) > 0) {
          order[at] = order[at - 1]!;
          at--;
        }
        order[at] = item;
      }
    }
    if (count <= INSERTION_RUN) return;
    if (merged.length < count) merged = new Int32Array(count * 2);
    for (let run = INSERTION_RUN; run < count; run *= 2) {
      for (let start = 0; start < count; start += run * 2)
        this.merge(start, Math.min(start + run, count), Math.min(start + run * 2, count));
      for (let i = 0; i < count; i++) order[i] = merged[i]!;
    }
  }

  private merge(start: number, middle: number, stop: number): void {
    const order = this.shapeOrder;
    let left = start;
    let right = middle;
    for (let to = start; to < stop; to++) {
      const takeRight = left >= middle || (right < stop && this.compare(order[left]!, order[right]!) > 0);
      merged[to] = takeRight ? order[right++]! : order[left++]!;
    }
  }

  private compare(left: number, right: number): number {
    return this.keys.dictionary.compare(this.shapeKeys[left]!, this.shapeKeys[right]!);
  }
}
