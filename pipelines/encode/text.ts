import { u64ToNumber } from '../wire/cursor.ts';
import type { Writer } from '../wire/writer.ts';

/*
 * Numbers and bytes as text, straight into a Writer.
 */
const ZERO = 0x30;
const MINUS = 0x2d;

/** A 64-bit two's-complement integer in decimal, exact, without BigInt. */
export function writeInt(out: Writer, lo: number, hi: number): void {
  let low = lo >>> 0;
  let high = hi >>> 0;
  if (high >= 0x8000_0000) {
    out.byte(MINUS);
    low = -low >>> 0;
    high = (~high + (low === 0 ? 1 : 0)) >>> 0;
  }
  if (high < 0x20_0000) {
    writeDigits(out, u64ToNumber(low, high), 1);
    return;
  }
  // Above 2^53: long division by 10^9, 16 bits at a time, so that nothing leaves the exact range of a double.
  let quotient = 0;
  let rest = 0;
  for (let limb = 0; limb < 4; limb++) {
    const part = limb < 2 ? high : low;
    const dividend = rest * 0x1_0000 + (limb % 2 === 0 ? part >>> 16 : part & 0xffff);
    const digit = Math.floor(dividend / 1e9);
    quotient = quotient * 0x1_0000 + digit;
    rest = dividend - digit * 1e9;
  }
  writeDigits(out, quotient, 1);
  writeDigits(out, rest, 9);
}

/** `value` below 2^53 in decimal, with zeros in front up to `width_min` digits. */
function writeDigits(out: Writer, value: number, width_min: number): void {
  let width = 1;
  for (let limit = 10; width < width_min || value >= limit; limit *= 10) width++;
  out.reserve(width);
  let rest = value;
  for (let at = out.length + width - 1; at >= out.length; at--) {
    const quotient = Math.floor(rest / 10);
    out.bytes[at] = ZERO + (rest - quotient * 10);
    rest = quotient;
  }
  out.length += width;
}

/**
 * Go's JSON form of a double (encoding/json floatEncoder), which is ECMAScript's Number::toString but for −0; what JSON cannot say
 * has pdata's own words.
 */
export function doubleText(value: number): string {
  if (Object.is(value, -0)) return '-0';
  if (Number.isNaN(value)) return 'json: unsupported value: NaN';
  if (value === Infinity) return 'json: unsupported value: +Inf';
  if (value === -Infinity) return 'json: unsupported value: -Inf';
  return String(value);
}

const BASE64 = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const PAD = 0x3d;

/** Standard base64 with padding (RFC 4648, section 4). */
export function writeBase64(out: Writer, bytes: Buffer, start: number, stop: number): void {
  out.reserve(Math.ceil((stop - start) / 3) * 4);
  const to = out.bytes;
  let length = out.length;
  for (let at = start; at < stop; at += 3) {
    const left = stop - at;
    const group = (bytes[at]! << 16) | ((left > 1 ? bytes[at + 1]! : 0) << 8) | (left > 2 ? bytes[at + 2]! : 0);
    to[length++] = BASE64[group >>> 18]!;
    to[length++] = BASE64[(group >>> 12) & 63]!;
    to[length++] = left > 1 ? BASE64[(group >>> 6) & 63]! : PAD;
    to[length++] = left > 2 ? BASE64[group & 63]! : PAD;
  }
  out.length = length;
}

/** Text of ASCII characters only. */
export function writeAscii(out: Writer, ascii: string): void {
  out.reserve(ascii.length);
  out.length += out.bytes.write(ascii, out.length, 'latin1');
}
