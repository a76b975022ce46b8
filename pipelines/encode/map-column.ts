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
    for (let i = 0; i < count; i++) this.shapeOrder[i] = i;
    this.sort(bytes, list);
    // In sorted order: the dictionary then has its keys in the order of their first use, as the engine's own blocks do.
    for (let rank = 0; rank < count; rank++) {
      const item = this.shapeOrder[rank]!;
      this.shapeKeys[item] = this.keys.dictionary.index(bytes, list.keyStart(item), list.keyStop(item));
    }
    this.shape = count;
  }

  /** Sorts shapeOrder by key, stable: insertion in short runs, then merges, because a span may come with a million attributes. */
  private sort(bytes: Buffer, list: AttributeList): void {
    const { count } = list;
    const order = this.shapeOrder;
    for (let start = 0; start < count; start += INSERTION_RUN) {
      const stop = Math.min(start + INSERTION_RUN, count);
      for (let i = start + 1; i < stop; i++) {
        const item = order[i]!;
        let at = i;
        while (at > start && compareKeys(bytes, list, order[at - 1]!, item) > 0) {
          order[at] = order[at - 1]!;
          at--;
        }
        order[at] = item;
      }
    }
    if (count <= INSERTION_RUN) return;
    if (merged.length < count) merged = new Int32Array(count * 2);
    for (let run = INSERTION_RUN; run < count; run *= 2) {
      for (let start = 0; start < count; start += run * 2) merge(bytes, list, order, start, run);
      for (let i = 0; i < count; i++) order[i] = merged[i]!;
    }
  }
}

/** Merges the sorted runs order[start, start + run) and the one behind it into `merged`. */
function merge(bytes: Buffer, list: AttributeList, order: Int32Array, start: number, run: number): void {
  const middle = Math.min(start + run, list.count);
  const stop = Math.min(middle + run, list.count);
  let left = start;
  let right = middle;
  for (let to = start; to < stop; to++) {
    const takeRight = left >= middle || (right < stop && compareKeys(bytes, list, order[left]!, order[right]!) > 0);
    merged[to] = takeRight ? order[right++]! : order[left++]!;
  }
}

/** Order of two keys by their bytes: negative, 0 or positive. */
function compareKeys(bytes: Buffer, list: AttributeList, left: number, right: number): number {
  let a = list.keyStart(left);
  let b = list.keyStart(right);
  const sizeA = list.keyStop(left) - a;
  const sizeB = list.keyStop(right) - b;
  const stop = a + Math.min(sizeA, sizeB);
  while (a < stop) {
    const difference = bytes[a++]! - bytes[b++]!;
    if (difference !== 0) return difference;
  }
  return sizeA - sizeB;
}
