const DIGITS = Buffer.from('0123456789abcdef');

/** Writes bytes[start, stop) as lower-case hex digits to `to` from `at` on, where there is room for two a byte. Returns where they end. */
export function writeHexDigits(to: Uint8Array, at: number, bytes: Uint8Array, start: number, stop: number): number {
  let end = at;
  for (let i = start; i < stop; i++) {
    const byte = bytes[i]!;
    to[end++] = DIGITS[byte >>> 4]!;
    to[end++] = DIGITS[byte & 15]!;
  }
  return end;
}
