import { sameBytes } from '../otlp/attributes.ts';
import { Cursor, EMPTY, WIRE_LEN } from '../wire/cursor.ts';
import { Writer } from '../wire/writer.ts';

const STRIDE = 7;
const KEY = 0; // source, start, stop
const VALUE = 3; // source, start, stop
const WHOLE_STOP = 6; // end of the KeyValue in `bytes` when nothing of it changed, else 0; its start is kept in `wholes`

/** Where a key or value lies: the message, the settings' constants, or what this edit computed. */
const FROM_MESSAGE = 0;
export const FROM_SETTINGS = 1;
export const FROM_SCRATCH = 2;

/**
 * The attributes of one message while actions change them: ranges in typed arrays, no object an attribute. Read with `load`, changed by
 * `setValue`, `append`, `remove`, written with `write`. Computed values are appended to `scratch`, which `load` empties.
 */
export class AttributeEdit {
  count = 0;
  changed = false;
  readonly scratch = new Writer();
  private bytes: Buffer = EMPTY;
  private readonly settings: Buffer;
  private entries = new Int32Array(64 * STRIDE);
  private wholes = new Int32Array(64);
  private readonly cursor = new Cursor();
  private readonly pair = new Cursor();

  /** `settings` holds the keys and values that actions bring. */
  constructor(settings: Buffer) {
    this.settings = settings;
  }

  /** Reads the KeyValues in field `field` of the message bytes[start, stop). @throws Malformed */
  load(bytes: Buffer, start: number, stop: number, field: number): void {
    this.bytes = bytes;
    this.count = 0;
    this.changed = false;
    this.scratch.reset();
    const { pair } = this;
    const cursor = this.cursor.reset(bytes, start, stop);
    while (cursor.next()) {
      if (cursor.field !== field) continue;
      cursor.expect(WIRE_LEN);
      const at = this.add();
      const { entries } = this;
      entries[at + KEY] = entries[at + VALUE] = FROM_MESSAGE;
      entries[at + KEY + 1] = entries[at + KEY + 2] = entries[at + VALUE + 1] = entries[at + VALUE + 2] = cursor.start;
      this.wholes[this.count - 1] = cursor.start;
      entries[at + WHOLE_STOP] = cursor.stop;
      pair.reset(bytes, cursor.start, cursor.stop);
      while (pair.next()) {
        if (pair.field > 2) continue;
        pair.expect(WIRE_LEN);
        const part = at + (pair.field === 1 ? KEY : VALUE);
        entries[part + 1] = pair.start;
        entries[part + 2] = pair.stop;
      }
    }
  }

  /** The first attribute with this key, or −1. */
  find(key: Buffer): number {
    for (let index = 0; index < this.count; index++) {
      const start = this.keyStart(index);
      if (this.keyStop(index) - start === key.length && sameBytes(this.keyBytes(index), start, key, 0, key.length)) return index;
    }
    return -1;
  }

  keyBytes(index: number): Buffer {
    return this.source(this.entries[index * STRIDE + KEY]!);
  }
  keyStart(index: number): number {
    return this.entries[index * STRIDE + KEY + 1]!;
  }
  keyStop(index: number): number {
    return this.entries[index * STRIDE + KEY + 2]!;
  }
  valueSource(index: number): number {
    return this.entries[index * STRIDE + VALUE]!;
  }
  /** The buffer of an AnyValue payload. Taken anew after every write to `scratch`, which may move. */
  valueBytes(index: number): Buffer {
    return this.source(this.valueSource(index));
  }
  valueStart(index: number): number {
    return this.entries[index * STRIDE + VALUE + 1]!;
  }
  valueStop(index: number): number {
    return this.entries[index * STRIDE + VALUE + 2]!;
  }

  /** Gives the attribute another AnyValue payload. */
  setValue(index: number, source: number, start: number, stop: number): void {
    const at = index * STRIDE;
    this.entries[at + VALUE] = source;
    this.entries[at + VALUE + 1] = start;
    this.entries[at + VALUE + 2] = stop;
    this.entries[at + WHOLE_STOP] = 0;
    this.changed = true;
  }

  /** Adds an attribute; its key lies in the settings. */
  append(keyStart: number, keyStop: number, source: number, start: number, stop: number): void {
    const at = this.add();
    this.entries[at + KEY] = FROM_SETTINGS;
    this.entries[at + KEY + 1] = keyStart;
    this.entries[at + KEY + 2] = keyStop;
    this.setValue(this.count - 1, source, start, stop);
  }

  /** Takes the attribute out; those behind it move up. */
  remove(index: number): void {
    this.entries.copyWithin(index * STRIDE, (index + 1) * STRIDE, this.count * STRIDE);
    this.wholes.copyWithin(index, index + 1, this.count);
    this.count--;
    this.changed = true;
  }

  /** Writes every attribute as field `field`. Those that nobody changed are copied as they came. */
  write(out: Writer, field: number): void {
    for (let index = 0; index < this.count; index++) {
      const wholeStop = this.entries[index * STRIDE + WHOLE_STOP]!;
      if (wholeStop > 0) {
        out.bytesField(field, this.bytes, this.wholes[index]!, wholeStop);
        continue;
      }
      const keySize = this.keyStop(index) - this.keyStart(index);
      const valueSize = this.valueStop(index) - this.valueStart(index);
      const mark = out.open(field, keySize + valueSize + 4);
      out.bytesField(1, this.keyBytes(index), this.keyStart(index), this.keyStop(index));
      out.bytesField(2, this.valueBytes(index), this.valueStart(index), this.valueStop(index));
      out.close(mark);
    }
  }

  private source(source: number): Buffer {
    return source === FROM_MESSAGE ? this.bytes : source === FROM_SETTINGS ? this.settings : this.scratch.bytes;
  }

  private add(): number {
    if (this.count === this.wholes.length) {
      const entries = new Int32Array(this.entries.length * 2);
      entries.set(this.entries);
      this.entries = entries;
      const wholes = new Int32Array(this.wholes.length * 2);
      wholes.set(this.wholes);
      this.wholes = wholes;
    }
    return this.count++ * STRIDE;
  }
}

/** The fields of the message bytes[start, stop) but field `field`, as runs of bytes. @throws Malformed */
export function copyWithout(out: Writer, cursor: Cursor, bytes: Buffer, start: number, stop: number, field: number): void {
  cursor.reset(bytes, start, stop);
  let run = start;
  for (let at = start; cursor.next(); at = cursor.pos) {
    if (cursor.field !== field) continue;
    out.raw(bytes, run, at);
    run = cursor.pos;
  }
  out.raw(bytes, run, stop);
}
