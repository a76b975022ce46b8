/**
 * A small, slow, independent reader of ClickHouse's Native format, for tests of what encode writes. Values come as the golden test
 * reads them from the engine: 64-bit integers and DateTime64(9) (nanoseconds) as decimal strings, maps as [key, value] pairs in their order.
 */
interface NativeBlock {
  readonly rows: number;
  readonly columns: { readonly name: string; readonly type: string; readonly values: unknown[] }[];
}

function readNative(bytes: Buffer): NativeBlock {
  const reader = new Reader(bytes);
  const count = reader.varuint();
  const rows = reader.varuint();
  const columns = [];
  for (let i = 0; i < count; i++) {
    const name = reader.text();
    const type = reader.text();
    reader.prefix(type);
    columns.push({ name, type, values: reader.column(type, rows) });
  }
  if (!reader.done) throw new Error(`bytes left behind the last column`);
  return { rows, columns };
}

/** The block as one object a row. */
export function nativeRows(bytes: Buffer): Record<string, unknown>[] {
  const block = readNative(bytes);
  return Array.from({ length: block.rows }, (_, row) => Object.fromEntries(block.columns.map((c) => [c.name, c.values[row]])));
}

class Reader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get done(): boolean {
    return this.at === this.bytes.length;
  }

  varuint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes.readUInt8(this.at++);
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  raw(): Buffer {
    const size = this.varuint();
    if (this.at + size > this.bytes.length) throw new Error('string runs past the end');
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }

  text(): string {
    return this.raw().toString('utf8');
  }

  prefix(type: string): void {
    const inner = innerOf(type);
    if (type === 'LowCardinality(String)' || type.startsWith('Map(')) {
      if (this.u64() !== 1n) throw new Error(`${type}: serialization version is not 1`);
    } else if (inner !== undefined) {
      this.prefix(inner);
    }
  }

  column(type: string, rows: number): unknown[] {
    const inner = innerOf(type);
    if (inner !== undefined) return this.arrays(rows, (total) => this.column(inner, total));
    const scalar = scalars[type];
    if (scalar !== undefined) {
      const [width, read] = scalar;
      return Array.from({ length: rows }, () => {
        this.at += width;
        return read(this.bytes, this.at - width);
      });
    }
    switch (type) {
      case 'String':
        return Array.from({ length: rows }, () => this.text());
      case 'LowCardinality(String)':
        return this.lowCardinality(rows);
      case 'Map(LowCardinality(String), String)':
        return this.arrays(rows, (total) => {
          const keys = this.lowCardinality(total);
          return this.column('String', total).map((value, i) => [keys[i], value]);
        });
      default:
        throw new Error(`no reader for ${type}`);
    }
  }

  private arrays(rows: number, elements: (total: number) => unknown[]): unknown[] {
    const stops = Array.from({ length: rows }, () => Number(this.u64()));
    const all = elements(stops.at(-1) ?? 0);
    return stops.map((stop, i) => all.slice(i === 0 ? 0 : stops[i - 1], stop));
  }

  private lowCardinality(rows: number): unknown[] {
    if (rows === 0) return [];
    const flags = this.u64();
    if (flags >> 8n !== 6n) throw new Error(`flags ${flags}`);
    const width = 2 ** Number(flags & 0xffn);
    const raw: string[] = [];
    const keys = Array.from({ length: Number(this.u64()) }, () => {
      const from = this.at;
      const key = this.text();
      // Two keys that are not UTF-8 may read as the same text and are two all the same.
      raw.push(this.bytes.toString('latin1', from, this.at));
      return key;
    });
    if (keys[0] !== '' || new Set(raw).size !== raw.length) throw new Error('keys must be distinct and begin with the empty one');
    if (Number(this.u64()) !== rows) throw new Error('rows of a dictionary column differ');
    return Array.from({ length: rows }, () => {
      const index = this.bytes.readUIntLE(this.at, width);
      this.at += width;
      if (index >= keys.length) throw new Error('index past the dictionary');
      return keys[index];
    });
  }

  private u64(): bigint {
    this.at += 8;
    return this.bytes.readBigUInt64LE(this.at - 8);
  }
}

const scalars: Record<string, [width: number, read: (bytes: Buffer, at: number) => unknown]> = {
  UInt8: [1, (b, at) => b.readUInt8(at)],
  Bool: [1, (b, at) => b.readUInt8(at) === 1],
  UInt32: [4, (b, at) => b.readUInt32LE(at)],
  Int32: [4, (b, at) => b.readInt32LE(at)],
  UInt64: [8, (b, at) => b.readBigUInt64LE(at).toString()],
  Float64: [8, (b, at) => b.readDoubleLE(at)],
  'DateTime64(9)': [8, (b, at) => b.readBigInt64LE(at).toString()],
};

function innerOf(type: string): string | undefined {
  return type.startsWith('Array(') ? type.slice(6, -1) : undefined;
}
