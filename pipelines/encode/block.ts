import { Writer, varintSize } from '../wire/writer.ts';
import type { StageCounters } from '../base/counters.ts';
import type { Column } from './column.ts';
import type { Context } from './context.ts';

/*
 * ClickHouse `Native` (src/Formats/NativeWriter.cpp with revision 0, which is what HTTP, files and the FORMAT clause speak):
 *
 *   block   varuint number of columns, varuint number of rows, then each column:
 *           String name (varuint length, bytes), String type, prefix, data
 *
 * The order of the columns is free: the reader finds them by name, and casts where the table's type differs from the block's.
 */

/** Rows of one table and one UTC day, ready for `INSERT INTO table (columns) FORMAT Native`. */
export interface EncodedBlock {
  readonly table: string;
  /** Days since 1970-01-01 UTC: the partition, toDate of the rows' timestamps. */
  readonly day: number;
  /** Names in the order of the block, `Events.Name` for nested ones. */
  readonly columns: readonly string[];
  readonly rows: number;
  /** The caller's own. */
  readonly native: Buffer;
}

/** How the items of one signal become rows. */
export interface RowWriter {
  /** Rows written for the item at context.bytes[start, stop); 0 with the reason in `dropped`. @throws Malformed with nothing written */
  item(context: Context, start: number, stop: number): number;
  readonly dropped: string;
  /** Where rows are counted apart from items. */
  readonly rowCounters?: StageCounters;
  size(): number;
  drain(sink: (block: EncodedBlock) => void): void;
}

/** The rows of one table and one day, column by column. Subclasses hold the columns and know how an item becomes rows. */
export class Block {
  readonly table: string;
  readonly names: string[] = [];
  private readonly columns: Column[] = [];
  rows = 0;
  /** Context serials of the last row's resource and scope: −1 where there is no row to repeat. */
  protected resourceSerial = -1;
  protected scopeSerial = -1;

  constructor(table: string) {
    this.table = table;
  }

  /** Declares the next column; for constructors of subclasses. */
  protected column<C extends Column>(name: string, column: C): C {
    this.names.push(name);
    this.columns.push(column);
    return column;
  }

  /** Takes back what was written behind the last whole row. */
  rollback(): void {
    for (const column of this.columns) column.truncate(this.rows);
    this.resourceSerial = this.scopeSerial = -1;
  }

  clear(): void {
    for (const column of this.columns) column.clear();
    this.rows = 0;
    this.resourceSerial = this.scopeSerial = -1;
  }

  /** Bytes of the block as it would be sent now. */
  size(): number {
    let size = varintSize(this.columns.length) + varintSize(this.rows);
    for (let i = 0; i < this.columns.length; i++) {
      const column = this.columns[i]!;
      size += textSize(this.names[i]!) + textSize(column.type) + column.prefixSize() + column.dataSize();
    }
    return size;
  }

  /** The block's bytes, the caller's own. */
  native(): Buffer {
    const size = this.size();
    const out = new Writer(size);
    out.varint(this.columns.length);
    out.varint(this.rows);
    for (const [i, column] of this.columns.entries()) {
      if (column.rows !== this.rows) throw new Error(`${this.table}.${this.names[i]} has ${column.rows} rows instead of ${this.rows}`);
      writeText(out, this.names[i]!);
      writeText(out, column.type);
      column.writePrefix(out);
      column.writeData(out);
    }
    if (out.length !== size) throw new Error(`block of ${this.table} has ${out.length} bytes instead of ${size}`);
    return out.view();
  }
}

/** Names and types are ASCII. */
function textSize(text: string): number {
  return varintSize(text.length) + text.length;
}

function writeText(out: Writer, text: string): void {
  out.varint(text.length);
  out.reserve(text.length);
  out.length += out.bytes.write(text, out.length, 'latin1');
}
