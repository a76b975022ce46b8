import { AttributeList, RESOURCE_ATTRIBUTES, VALUE_STRING, ValueView, parseAttributes } from '../otlp/attributes.ts';
import { EMPTY } from '../wire/cursor.ts';
import { Writer } from '../wire/writer.ts';
import { ABSENT, type SpanFields } from './span-fields.ts';

/** The Collector's names of the dimensions that every span has (connector/spanmetricsconnector, connector.go). */
export const SERVICE_NAME = 'service.name';
const SPAN_NAME = 'span.name';
const SPAN_KIND = 'span.kind';
const STATUS_CODE = 'status.code';

export interface Dimension {
  /** Key of a span attribute or, where the span has none, of a resource attribute. */
  readonly name: string;
  /** Value where neither has it; without a default the metric's point goes without the attribute. */
  readonly default?: string;
}

/** A resource without a service: the name that OpenTelemetry's resource conventions tell SDKs to use. The Collector leaves such spans out; here every span is counted. */
const UNKNOWN_SERVICE = Buffer.from('unknown_service');

const KIND_NAMES = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];
const STATUS_NAMES = ['UNSET', 'OK', 'ERROR'];

/*
 * The key of a series, made for hashing and to be turned into a data point's attributes once a window:
 *
 *   key     := service(u32) kind(byte) status(byte) varint(name length) name value*      one value for each configured dimension
 *   value   := 0                                   absent
 *            | varint(1 + length) AnyValue bytes   as they came, so that the attribute keeps its type
 *   overflow key of a service := service(u32) 0xff
 *
 * An excluded dimension is written as 0.
 */
const HEADER_BYTES = 6;
const OVERFLOW_KIND = 0xff;

/** Which part of a span tells its series apart. Reads spans into keys, and keys into attributes. */
export class Dimensions {
  /** The key that was written last: [0, key.length). */
  readonly key = new Writer(512);
  /** The service name that `readResource` found: in `serviceBytes`, [serviceStart, serviceStop). */
  serviceBytes: Buffer = EMPTY;
  serviceStart = 0;
  serviceStop = 0;

  /** Keys of the configured dimensions that are in use; SpanFields finds their values. */
  readonly names: readonly Buffer[];
  /** AnyValue bytes. */
  private readonly defaults: (Buffer | undefined)[];
  private readonly withService: boolean;
  private readonly withName: boolean;
  private readonly withKind: boolean;
  private readonly withStatus: boolean;
  private readonly resource = new AttributeList();
  private readonly value = new ValueView();

  constructor(dimensions: readonly Dimension[], excluded: readonly string[]) {
    const used = dimensions.filter((dimension) => !excluded.includes(dimension.name));
    this.names = used.map((dimension) => Buffer.from(dimension.name));
    this.defaults = used.map((dimension) => (dimension.default === undefined ? undefined : stringValue(dimension.default)));
    this.withService = !excluded.includes(SERVICE_NAME);
    this.withName = !excluded.includes(SPAN_NAME);
    this.withKind = !excluded.includes(SPAN_KIND);
    this.withStatus = !excluded.includes(STATUS_CODE);
  }

  /** Reads the Resource at bytes[start, stop), which the spans after it belong to. Borrowed until the last of them. @throws Malformed */
  readResource(bytes: Buffer, start: number, stop: number): void {
    const { resource, value } = this;
    parseAttributes(bytes, start, stop, RESOURCE_ATTRIBUTES, resource);
    this.serviceBytes = UNKNOWN_SERVICE;
    this.serviceStart = 0;
    this.serviceStop = UNKNOWN_SERVICE.length;
    const at = resource.find(bytes, SERVICE_KEY);
    if (at < 0) return;
    value.parse(bytes, resource.valueStart(at), resource.valueStop(at));
    if (value.kind !== VALUE_STRING) return;
    this.serviceBytes = bytes;
    this.serviceStart = value.start;
    this.serviceStop = value.stop;
  }

  /** Writes the key of a span of the resource read last. */
  writeKey(service: number, span: SpanFields): void {
    const key = this.begin(service);
    key.byte(this.withKind && span.kind < KIND_NAMES.length ? span.kind : 0);
    key.byte(this.withStatus && span.statusCode < STATUS_NAMES.length ? span.statusCode : 0);
    const nameLength = this.withName ? span.nameStop - span.nameStart : 0;
    key.varint(nameLength);
    key.raw(span.bytes, span.nameStart, span.nameStart + nameLength);
    for (let i = 0; i < this.names.length; i++) this.writeValue(span, i);
  }

  /** Writes the key under which a service counts what found no room in the table. */
  writeOverflowKey(service: number): void {
    this.begin(service).byte(OVERFLOW_KIND);
  }

  /** Writes the attributes that key[start, stop) stands for, as `repeated KeyValue` in `field` of an open data point. */
  writeAttributes(
    writer: Writer,
    field: number,
    key: Buffer,
    start: number,
    service: Buffer,
    serviceStart: number,
    serviceStop: number,
  ): void {
    if (key[start + 4] === OVERFLOW_KIND) {
      writer.bytesField(field, OVERFLOW_ATTRIBUTE, 0, OVERFLOW_ATTRIBUTE.length);
      return;
    }
    if (this.withService) writeString(writer, field, SERVICE_KEY, service, serviceStart, serviceStop);
    let at = start + HEADER_BYTES;
    const nameLength = readVarint(key, at);
    at = afterVarint(key, at);
    if (this.withName) writeString(writer, field, SPAN_NAME_KEY, key, at, at + nameLength);
    at += nameLength;
    if (this.withKind) writeConstant(writer, field, KIND_ATTRIBUTES[key[start + 4]!]!);
    if (this.withStatus) writeConstant(writer, field, STATUS_ATTRIBUTES[key[start + 5]!]!);
    for (const name of this.names) {
      const size = readVarint(key, at);
      at = afterVarint(key, at);
      if (size === 0) continue;
      const pair = writer.open(field, name.length + size + 4);
      writer.bytesField(1, name, 0, name.length);
      writer.bytesField(2, key, at, at + size - 1);
      writer.close(pair);
      at += size - 1;
    }
  }

  private begin(service: number): Writer {
    this.key.reset();
    this.key.u32(service);
    return this.key;
  }

  /** The span's attribute goes before the resource's, and that before the default (connector.go, getDimensionValue). */
  private writeValue(span: SpanFields, dimension: number): void {
    const { key, resource } = this;
    const start = span.valueStart[dimension]!;
    if (start !== ABSENT) {
      writePresent(key, span.bytes, start, span.valueStop[dimension]!);
      return;
    }
    const at = resource.find(span.bytes, this.names[dimension]!);
    const fallback = this.defaults[dimension];
    if (at >= 0) writePresent(key, span.bytes, resource.valueStart(at), resource.valueStop(at));
    else if (fallback !== undefined) writePresent(key, fallback, 0, fallback.length);
    else key.varint(0);
  }
}

function writePresent(key: Writer, bytes: Buffer, start: number, stop: number): void {
  key.varint(1 + stop - start);
  key.raw(bytes, start, stop);
}

const SERVICE_KEY = Buffer.from(SERVICE_NAME);
const SPAN_NAME_KEY = Buffer.from(SPAN_NAME);
const KIND_ATTRIBUTES = KIND_NAMES.map((name) => stringAttribute(SPAN_KIND, `SPAN_KIND_${name}`));
const STATUS_ATTRIBUTES = STATUS_NAMES.map((name) => stringAttribute(STATUS_CODE, `STATUS_CODE_${name}`));
/** Metrics SDK specification, Cardinality limits: the attribute (boolean true) of the one series that takes the rest. */
const OVERFLOW_ATTRIBUTE = booleanAttribute('otel.metric.overflow');

/** A KeyValue whose value is the string from[start, stop). */
export function writeString(writer: Writer, field: number, name: Buffer, from: Buffer, start: number, stop: number): void {
  const pair = writer.open(field, name.length + stop - start + 6);
  writer.bytesField(1, name, 0, name.length);
  const any = writer.open(2, stop - start + 2);
  writer.bytesField(1, from, start, stop);
  writer.close(any);
  writer.close(pair);
}

function writeConstant(writer: Writer, field: number, pair: Buffer): void {
  writer.bytesField(field, pair, 0, pair.length);
}

function stringValue(text: string): Buffer {
  const writer = new Writer(16);
  writer.stringField(1, text);
  return writer.copy();
}

function stringAttribute(name: string, text: string): Buffer {
  const writer = new Writer(64);
  writer.stringField(1, name);
  const value = stringValue(text);
  writer.bytesField(2, value, 0, value.length);
  return writer.copy();
}

function booleanAttribute(name: string): Buffer {
  const writer = new Writer(64);
  writer.stringField(1, name);
  const any = writer.open(2, 2);
  writer.varintField(2, 1);
  writer.close(any);
  return writer.copy();
}

/** A varint below 2^31 that a Writer wrote. */
function readVarint(bytes: Buffer, from: number): number {
  let at = from;
  let value = 0;
  let shift = 0;
  for (;;) {
    const byte = bytes[at++]!;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
    shift += 7;
  }
}

function afterVarint(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at]! >= 0x80) at++;
  return at + 1;
}
