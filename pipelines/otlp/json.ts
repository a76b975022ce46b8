import { isUtf8 } from 'node:buffer';
import { Reject } from '../base/errors.ts';
import { WIRE_LEN } from '../wire/cursor.ts';
import { Writer } from '../wire/writer.ts';
import { checkJsonBounds } from './json-bounds.ts';
import { NotThat, readScalar, wireOf, writeValue } from './json-scalar.ts';
import { rootOf, schema, type Scalar } from './schema.ts';
import type { Signal } from './walk.ts';

interface Field {
  readonly name: string;
  readonly number: number;
  readonly repeated: boolean;
  /** One of the two. */
  readonly message: Message | undefined;
  readonly scalar: Scalar | undefined;
}
type Message = Map<string, Field>;

// Messages within messages that a body may have. Far above what the validator lets an item have (it refuses the item alone), far below what the stack holds.
const DEPTH_MAX = 1000;
// A place deeper than this is named by its beginning: the sender reads the message, and the log of the sender keeps it.
const STEPS_SPELT_MAX = 32;
// Expected sizes, so that the long outer messages need not move their bodies when their length is known: resource, scope, item.
const EXPECTED_BYTES = [0x4000, 0x4000, 0x80];

const messages = new Map<string, Message>(Object.keys(schema).map((name) => [name, new Map<string, Field>()]));
for (const [name, rows] of Object.entries(schema)) {
  for (const [jsonName, [number, type, rule]] of Object.entries(rows)) {
    const message = messages.get(type);
    messages.get(name)!.set(jsonName, {
      name: jsonName,
      number,
      repeated: rule === 'repeated',
      message,
      scalar: message === undefined ? (type as Scalar) : undefined,
    });
  }
}

/**
 * OTLP/JSON to the protobuf bytes of the same request, so that behind the edge there is one path (OTLP specification, JSON
 * Protobuf Encoding): hex ids in any case, base64 bytes, enums as numbers only, 64-bit integers as strings or numbers,
 * lowerCamel keys, unknown fields ignored, null as absent. Whether ids have their length and times make sense is the
 * validator's matter. Objects are made here and nowhere behind.
 *
 * @throws Reject `json`, naming the place, such as `resourceSpans[0].scopeSpans[0].spans[2].traceId`
 */
export function jsonToProtobuf(signal: Signal, body: Buffer): Buffer {
  if (!isUtf8(body)) throw new Reject('json', 'the body is not UTF-8');
  checkJsonBounds(body);
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw new Reject('json', `the body is not JSON: ${(error as Error).message}`);
  }
  const w = new Writer(Math.max(256, body.length >> 1));
  const path: (string | number)[] = [];
  try {
    writeMessage(w, messages.get(rootOf[signal])!, value, path, 0);
  } catch (error) {
    if (error instanceof NotThat) throw new Reject('json', `${spell(path)}: ${error.message}`);
    throw error;
  }
  return w.view();
}

/** `path` is where we are; it is left as it stands when something is wrong. */
function writeMessage(w: Writer, message: Message, value: unknown, path: (string | number)[], depth: number): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new NotThat('not an object');
  if (depth > DEPTH_MAX) throw new NotThat(`nested deeper than ${DEPTH_MAX} messages`);
  for (const [key, inner] of Object.entries(value)) {
    const field = message.get(key);
    if (field === undefined || inner === null || inner === undefined) continue;
    path.push(key);
    if (!field.repeated) writeField(w, field, inner, path, depth);
    else if (!Array.isArray(inner)) throw new NotThat('not an array');
    else if (field.message === undefined) writePacked(w, field, inner, path);
    else {
      for (const [index, one] of inner.entries()) {
        path.push(index);
        writeField(w, field, one, path, depth);
        path.pop();
      }
    }
    path.pop();
  }
}

function writeField(w: Writer, field: Field, value: unknown, path: (string | number)[], depth: number): void {
  if (field.message !== undefined) {
    const mark = w.open(field.number, EXPECTED_BYTES[depth] ?? 0);
    writeMessage(w, field.message, value, path, depth + 1);
    w.close(mark);
    return;
  }
  const scalar = field.scalar!;
  const read = readScalar(scalar, value);
  w.tag(field.number, wireOf(scalar));
  writeValue(w, scalar, read);
}

/** Repeated numbers are one LEN field in proto3. */
function writePacked(w: Writer, field: Field, values: readonly unknown[], path: (string | number)[]): void {
  if (values.length === 0) return;
  w.tag(field.number, WIRE_LEN);
  const packed = new Writer(values.length * 8);
  for (const [index, value] of values.entries()) {
    path.push(index);
    writeValue(packed, field.scalar!, readScalar(field.scalar!, value));
    path.pop();
  }
  w.varint(packed.length);
  w.raw(packed.bytes, 0, packed.length);
}

function spell(path: readonly (string | number)[]): string {
  if (path.length === 0) return 'the body';
  const steps = path
    .slice(0, STEPS_SPELT_MAX)
    .map((step, index) => (typeof step === 'number' ? `[${step}]` : index === 0 ? step : `.${step}`));
  return `${steps.join('')}${path.length > STEPS_SPELT_MAX ? '…' : ''}`;
}
