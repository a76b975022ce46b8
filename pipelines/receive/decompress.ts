import { createGunzip, createInflate, createZstdDecompress, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib';
import { Reject } from '../base/errors.ts';
import { TOO_LARGE } from './receive.ts';
import type { Lease } from './admission.ts';

export type ContentEncoding = 'identity' | 'gzip' | 'deflate' | 'zstd';

/** Compressed bodies up to this are inflated at once: a call costs less than a stream. */
const SYNC_COMPRESSED_BYTES_MAX = 64 * 1024;
/** … as long as what comes out stays below this (about 2 ms of work): a bomb must not hold up everyone else. */
const SYNC_BYTES_MAX = 1024 * 1024;
/** Output comes in pieces of this size: a third cheaper than zlib's own 16 KiB. */
const CHUNK_BYTES = 256 * 1024;
const CHUNK_BYTES_MIN = 4 * 1024;

/** The header's value, or undefined where we do not know the coding. Several codings after one another are not supported. */
export function contentEncoding(header: string | undefined): ContentEncoding | undefined {
  switch (header?.trim().toLowerCase()) {
    case undefined:
    case '':
    case 'identity':
      return 'identity';
    case 'gzip':
    case 'x-gzip':
      return 'gzip';
    case 'deflate':
      return 'deflate';
    case 'zstd':
      return 'zstd';
    default:
      return undefined;
  }
}

/**
 * The body as it was before compression, at most `bytes_max` long; `lease` is charged for it. `deflate` is the zlib format (RFC 9110, 8.4.1.2).
 * @throws Reject('too_large'), Reject('compression') when it does not decompress, Busy when the budget does not hold it
 */
export async function decompress(body: Buffer, encoding: ContentEncoding, bytes_max: number, lease: Lease): Promise<Buffer> {
  if (encoding === 'identity' || body.length === 0) return body;
  if (body.length <= SYNC_COMPRESSED_BYTES_MAX) {
    const whole = decompressAtOnce(body, encoding, Math.min(bytes_max, SYNC_BYTES_MAX));
    if (whole !== undefined) {
      lease.take(whole.length);
      return whole;
    }
  }
  return decompressInPieces(body, encoding, bytes_max, lease);
}

/** Undefined where more than `bytes_max` come out. @throws Reject */
function decompressAtOnce(body: Buffer, encoding: Exclude<ContentEncoding, 'identity'>, bytes_max: number): Buffer | undefined {
  const options = { chunkSize: chunkBytes(body, encoding), maxOutputLength: bytes_max };
  try {
    if (encoding === 'gzip') return gunzipSync(body, options);
    if (encoding === 'deflate') return inflateSync(body, options);
    return zstdDecompressSync(body, options);
  } catch (error) {
    if (error instanceof RangeError && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') return undefined;
    throw corrupt(encoding, error);
  }
}

/** One piece that holds all of it, where that can be told, spares a copy. Gzip ends with its own size (RFC 1952, ISIZE); others are guessed: mesh spans shrink about ten times. */
function chunkBytes(body: Buffer, encoding: ContentEncoding): number {
  const guess = encoding === 'gzip' && body.length >= 18 ? body.readUInt32LE(body.length - 4) + 64 : body.length * 12;
  return Math.min(Math.max(guess, CHUNK_BYTES_MIN), CHUNK_BYTES);
}

function decompressInPieces(
  body: Buffer,
  encoding: Exclude<ContentEncoding, 'identity'>,
  bytes_max: number,
  lease: Lease,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = { chunkSize: CHUNK_BYTES };
    const stream =
      encoding === 'gzip' ? createGunzip(options) : encoding === 'deflate' ? createInflate(options) : createZstdDecompress(options);
    const pieces: Buffer[] = [];
    let total = 0;
    const stop = (error: unknown): void => {
      stream.destroy();
      reject(error);
    };
    stream.on('data', (piece: Buffer) => {
      total += piece.length;
      try {
        if (total > bytes_max) throw tooLarge(bytes_max);
        lease.take(piece.length);
        pieces.push(piece);
      } catch (error) {
        stop(error);
      }
    });
    stream.on('error', (error) => stop(corrupt(encoding, error)));
    stream.on('end', () => resolve(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, total)));
    stream.end(body);
  });
}

export function tooLarge(bytes_max: number): Reject {
  return new Reject(TOO_LARGE, `the request is larger than ${bytes_max} bytes after decompression`);
}

function corrupt(encoding: string, error: unknown): Reject {
  return new Reject('compression', `the body is not valid ${encoding}: ${error instanceof Error ? error.message : String(error)}`);
}
