import type { Metadata } from '@grpc/grpc-js';
import type { Lease } from './admission.ts';
import { Reject } from '../base/errors.ts';
import { contentEncoding, decompress, type ContentEncoding } from './decompress.ts';

/*
 * gRPC over HTTP2, Length-Prefixed-Message: Compressed-Flag (1 byte), length (4 bytes, big endian), message. The header grpc-encoding names the
 * coding of the messages whose flag is 1.
 *
 * grpc-js inflates such a message before anyone can say how much memory there is: 100 senders with a bomb of 64 MiB each made it
 * hold 7.5 GB. So it is told that the coding is identity, hands over the message as it came, and we inflate it within the
 * admission's budget, with zstd besides, which grpc-js does not know.
 */

const CODING = 'tailrace-coding';
/** Why a message in a coding that we do not know is refused: gRPC answers it with UNIMPLEMENTED. */
export const UNKNOWN_CODING = 'unknown_coding';

/** What the message begins with: an OTLP request begins with 0x0a (field 1, LEN) and with neither of these. */
const MAGIC: Record<Exclude<ContentEncoding, 'identity'>, readonly number[]> = {
  gzip: [0x1f, 0x8b],
  // CMF of zlib with a window up to 32 KiB; FLG varies.
  deflate: [0x78],
  zstd: [0x28, 0xb5, 0x2f, 0xfd],
};

/** The call's coding, which grpc-js (1.14, BaseServerInterceptingCall) keeps in a field of its own; from now on it sees identity. Without that field it inflates by itself as before. */
export function takeCoding(call: object): string {
  const field = call as { incomingEncoding?: unknown };
  if (typeof field.incomingEncoding !== 'string') return 'identity';
  const coding = field.incomingEncoding;
  field.incomingEncoding = 'identity';
  return coding;
}

/** Hands the coding on to the handler, in the place of anything a sender may have put there. */
export function rememberCoding(metadata: Metadata, coding: string): void {
  metadata.set(CODING, coding);
}

/**
 * The message as it was before compression. Its flag is gone by now: a message that does not begin like its coding was sent plain, as gRPC allows.
 * @throws Reject('too_large'), Reject('compression'), Reject('unknown_coding'), Busy when the budget does not hold it
 */
export async function inflate(message: Buffer, metadata: Metadata, bytes_max: number, lease: Lease): Promise<Buffer> {
  const [name] = metadata.get(CODING);
  const coding = contentEncoding(name?.toString());
  if (coding === 'identity' || (coding === undefined && message[0] === 0x0a)) return message;
  if (coding === undefined) throw new Reject(UNKNOWN_CODING, `coding "${String(name)}" is not known: send gzip, zstd, deflate or identity`);
  if (!MAGIC[coding].every((byte, index) => message[index] === byte)) return message;
  return decompress(message, coding, bytes_max, lease);
}
