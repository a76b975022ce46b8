import { isUtf8 } from 'node:buffer';

/**
 * Whether bytes[start, stop) is UTF-8 as protobuf's `string` asks. Nearly every string of a span is ASCII, which is seen
 * without making anything; only a string with a byte above 0x7f costs a subarray and a native call.
 */
export function isUtf8Range(bytes: Buffer, start: number, stop: number): boolean {
  let at = start;
  const four = stop - 3;
  while (at < four) {
    if (((bytes[at]! | bytes[at + 1]! | bytes[at + 2]! | bytes[at + 3]!) & 0x80) !== 0) return isUtf8(bytes.subarray(start, stop));
    at += 4;
  }
  while (at < stop) if (bytes[at++]! > 0x7f) return isUtf8(bytes.subarray(start, stop));
  return true;
}
