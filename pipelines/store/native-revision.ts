import { FaceError } from './exception.ts';

/**
 * Native blocks as files hold them (revision 0) → as a client asks for them by `client_protocol_version` (clickhouse-go, so Grafana).
 *
 *   file block   = columns:varuint rows:varuint column*
 *   column       = name:string type:string data            (no data where rows = 0)
 *   client block = 0x01 is_overflows:bool 0x02 bucket:int32 0x00     from revision 51903: BlockInfo
 *                  columns:varuint rows:varuint column*
 *   column       = name:string type:string has_custom:bool data     has_custom from revision 54454
 *
 * So the bytes stay, only two little headers come between; but to find where a column ends its type must be walked.
 */
const REVISION_WITH_BLOCK_INFO = 51_903;
const REVISION_WITH_CUSTOM_SERIALIZATION = 54_454;
const blockInfo = Buffer.from([1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0]);
const noCustomSerialization = Buffer.from([0]);

/** @throws FaceError for column types that are not walked: Variant, Dynamic, JSON, AggregateFunction */
export function withRevision(native: Buffer, revision: number): Buffer {
  if (revision < REVISION_WITH_BLOCK_INFO) return native;
  const custom = revision >= REVISION_WITH_CUSTOM_SERIALIZATION;
  const out: Buffer[] = [];
  const reader = new Walker(native);
  while (reader.at < native.length) {
    out.push(blockInfo);
    let copied = reader.at;
    const columns = reader.varuint();
    const rows = reader.varuint();
    for (let column = 0; column < columns; column++) {
      reader.skip(reader.varuint());
      const type = reader.text();
      if (custom) {
        out.push(native.subarray(copied, reader.at), noCustomSerialization);
        copied = reader.at;
      }
      if (rows > 0) {
        const parsed = parseType(type);
        reader.prefix(parsed);
        reader.data(parsed, rows);
      }
    }
    out.push(native.subarray(copied, reader.at));
  }
  return Buffer.concat(out);
}

/** `Map(LowCardinality(String), String)` → name and arguments; a named element `a Int8` keeps its type only. */
interface Type {
  readonly name: string;
  readonly args: readonly Type[];
  /** The text between the brackets, for the types whose arguments are numbers. */
  readonly text: string;
}

const widths: Readonly<Record<string, number>> = {
  Int8: 1,
  UInt8: 1,
  Bool: 1,
  Enum8: 1,
  Nothing: 1,
  Int16: 2,
  UInt16: 2,
  Enum16: 2,
  Date: 2,
  BFloat16: 2,
  Int32: 4,
  UInt32: 4,
  Float32: 4,
  Date32: 4,
  DateTime: 4,
  IPv4: 4,
  Time: 4,
  Decimal32: 4,
  Int64: 8,
  UInt64: 8,
  Float64: 8,
  DateTime64: 8,
  Time64: 8,
  Decimal64: 8,
  Int128: 16,
  UInt128: 16,
  UUID: 16,
  IPv6: 16,
  Decimal128: 16,
  Int256: 32,
  UInt256: 32,
  Decimal256: 32,
};

const nestedTypes = new Set([
  'Nullable',
  'LowCardinality',
  'Array',
  'Tuple',
  'Map',
  'Nested',
  'SimpleAggregateFunction',
  'Point',
  'Ring',
  'Polygon',
  'MultiPolygon',
]);

function parseType(text: string): Type {
  const open = text.indexOf('(');
  const name = open < 0 ? text.trim() : text.slice(0, open).trim();
  const inner = open < 0 ? '' : text.slice(open + 1, text.lastIndexOf(')'));
  if (!nestedTypes.has(name)) return { name, args: [], text: inner };
  const parts = splitArguments(inner);
  // A name in front: `a Int8`, `\`a b\` Array(String)`.
  const named = name === 'Tuple' || name === 'Nested';
  return { name, text: inner, args: parts.map((part) => parseType(named ? withoutName(part) : part)) };
}

function withoutName(element: string): string {
  const quoted = /^`(?:[^`\\]|\\.|``)*`\s+/.exec(element);
  if (quoted !== null) return element.slice(quoted[0].length);
  return /^[A-Za-z_][\w.]*\s+(?=[A-Z])/.test(element) ? element.replace(/^[A-Za-z_][\w.]*\s+/, '') : element;
}

function splitArguments(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let quote = '';
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (quote !== '') {
      if (char === '\\') at++;
      else if (char === quote) quote = '';
    } else if (char === "'" || char === '`') quote = char;
    else if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (char === ',' && depth === 0) {
      parts.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  if (text.slice(start).trim() !== '') parts.push(text.slice(start).trim());
  return parts;
}

function geometry(name: string): Type | undefined {
  const depth = { Point: 0, Ring: 1, Polygon: 2, MultiPolygon: 3 }[name];
  if (depth === undefined) return undefined;
  let type = parseType('Tuple(Float64, Float64)');
  for (let level = 0; level < depth; level++) type = { name: 'Array', args: [type], text: '' };
  return type;
}

class Walker {
  at = 0;
  private readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  varuint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw new RangeError('Native block ends early');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  text(): string {
    const length = this.varuint();
    this.skip(length);
    return this.bytes.toString('utf8', this.at - length, this.at);
  }

  skip(bytes: number): void {
    this.at += bytes;
    if (this.at > this.bytes.length) throw new RangeError('Native block ends early');
  }

  /** State before the data of a column: LowCardinality writes its version once, however deep it sits. */
  prefix(type: Type): void {
    if (type.name === 'LowCardinality') this.skip(8);
    else for (const arg of type.args) this.prefix(arg);
  }

  data(type: Type, rows: number): void {
    const width = widths[type.name];
    if (width !== undefined) return this.skip(width * rows);
    switch (type.name) {
      case 'String':
        for (let row = 0; row < rows; row++) this.skip(this.varuint());
        return;
      case 'FixedString':
        return this.skip(Number(type.text) * rows);
      case 'Decimal': {
        const precision = Number(type.text.split(',')[0]);
        return this.skip((precision <= 9 ? 4 : precision <= 18 ? 8 : precision <= 38 ? 16 : 32) * rows);
      }
      case 'Nullable':
        this.skip(rows);
        return this.data(type.args[0]!, rows);
      case 'SimpleAggregateFunction':
        return this.data(type.args[1]!, rows);
      case 'Array':
        return this.array(type.args[0]!, rows);
      case 'Map':
        return this.array({ name: 'Tuple', args: type.args, text: '' }, rows);
      case 'Nested':
        return this.array({ name: 'Tuple', args: type.args, text: '' }, rows);
      case 'Tuple':
        // An empty tuple takes a byte a row.
        if (type.args.length === 0) return this.skip(rows);
        for (const arg of type.args) this.data(arg, rows);
        return;
      case 'LowCardinality':
        // Nothing is written for no rows: the column of an array whose rows are all empty.
        if (rows > 0) this.lowCardinality(type.args[0]!);
        return;
    }
    const geo = geometry(type.name);
    if (geo !== undefined) return this.data(geo, rows);
    if (type.name.startsWith('Interval')) return this.skip(8 * rows);
    throw new FaceError(
      48,
      'NOT_IMPLEMENTED',
      `A column of type ${type.name} cannot be sent as Native to a client that gives client_protocol_version; cast it with toString()`,
    );
  }

  /** offsets:uint64 × rows, then the elements of all rows. */
  private array(element: Type, rows: number): void {
    if (rows === 0) return;
    this.skip(8 * rows);
    const elements = Number(this.bytes.readBigUInt64LE(this.at - 8));
    this.data(element, elements);
  }

  /** flags:uint64 [keys:uint64 dictionary] rows:uint64 indexes. Low byte of flags: width of an index as a power of 2. */
  private lowCardinality(inner: Type): void {
    this.skip(8);
    const flags = this.bytes.readUInt32LE(this.at - 8);
    const keys = Number(this.bytes.readBigUInt64LE(this.at));
    this.skip(8);
    // The NULL of a Nullable dictionary is its first key: no mask is written.
    this.data(inner.name === 'Nullable' ? inner.args[0]! : inner, keys);
    const rows = Number(this.bytes.readBigUInt64LE(this.at));
    this.skip(8 + rows * 2 ** (flags & 0xff));
  }
}
