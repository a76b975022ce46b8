import type { RecordHeaders } from './topic.ts';

/*
 * Record headers as Kafka carries them, all values as text:
 *
 *   format    "1"
 *   codec     "none" | "zstd"
 *   items     decimal
 *   raw_bytes decimal
 *   sequence  decimal, only where there is one
 *   part      decimal, only where there is one
 */

export type TextHeaders = Record<string, string>;

/** What kafkajs hands over. */
export type RawHeaders = Readonly<Record<string, Buffer | string | readonly (Buffer | string)[] | undefined>>;

export function toTextHeaders(headers: RecordHeaders): TextHeaders {
  const made: TextHeaders = {
    format: '1',
    codec: headers.codec,
    items: String(headers.items),
    raw_bytes: String(headers.raw_bytes),
  };
  if (headers.sequence !== undefined) made.sequence = String(headers.sequence);
  if (headers.part !== undefined) made.part = String(headers.part);
  return made;
}

/** A record that somebody else made has no headers of ours: it is taken as plain OTLP of an unknown number of items. */
export function fromTextHeaders(raw: RawHeaders | undefined, value_bytes: number): RecordHeaders {
  const codec = text(raw, 'codec');
  if (text(raw, 'format') !== '1' || (codec !== 'none' && codec !== 'zstd'))
    return { format: 1, codec: 'none', items: 0, raw_bytes: value_bytes };
  const sequence = number(raw, 'sequence');
  const part = number(raw, 'part');
  return {
    format: 1,
    codec,
    items: number(raw, 'items') ?? 0,
    raw_bytes: number(raw, 'raw_bytes') ?? value_bytes,
    ...(sequence === undefined ? {} : { sequence }),
    ...(part === undefined ? {} : { part }),
  };
}

function text(raw: RawHeaders | undefined, key: string): string | undefined {
  const value = raw?.[key];
  // A header that is there twice is not ours.
  return typeof value === 'string' || Buffer.isBuffer(value) ? value.toString() : undefined;
}

function number(raw: RawHeaders | undefined, key: string): number | undefined {
  const value = text(raw, key);
  if (value === undefined || !/^[0-9]{1,16}$/.test(value)) return undefined;
  return Number(value);
}
