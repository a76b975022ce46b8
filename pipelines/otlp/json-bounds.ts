import { Reject } from '../base/errors.ts';

/** Objects and arrays of one body. Two make an attribute; a body of 64 MiB with more than this holds hardly anything else. */
const CONTAINERS_MAX = 4_194_304;
/** Brackets within brackets, also in fields that nobody knows. Above what json.ts lets messages nest, each in an array of its own. */
const BRACKETS_DEEP_MAX = 4096;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Looks at a body before JSON.parse does: 58 KB of gzip can hold 60 MB of `[` or `{},`, and those held the process for 12 s
 * and 27 s and took 2 GB. Reading the brackets takes a tenth of a second at most. Says nothing about what is not JSON.
 *
 * @throws Reject `json`
 */
export function checkJsonBounds(body: Buffer, containersMax = CONTAINERS_MAX): void {
  let containers = 0;
  let depth = 0;
  for (let at = 0; at < body.length; at++) {
    const byte = body[at]!;
    if (byte === QUOTE) {
      at = stringStop(body, at + 1);
      continue;
    }
    // `[` 5b and `{` 7b, `]` 5d and `}` 7d: alike but for one bit.
    const bracket = byte | 0x20;
    if (bracket === 0x7b) {
      if (++containers > containersMax) throw new Reject('json', `the body holds more than ${containersMax} objects and arrays`);
      if (++depth > BRACKETS_DEEP_MAX) throw new Reject('json', `the body is nested deeper than ${BRACKETS_DEEP_MAX} brackets`);
    } else if (bracket === 0x7d) depth--;
  }
}

/** The place of the quote that ends the string which begins at `from`; the end of the body where none does. */
function stringStop(body: Buffer, from: number): number {
  for (let at = from; at < body.length; at++) {
    const byte = body[at]!;
    if (byte === BACKSLASH) at++;
    else if (byte === QUOTE) return at;
  }
  return body.length;
}
