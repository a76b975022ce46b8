import type { Transform } from 'node:stream';
import {
  constants,
  createBrotliCompress,
  createBrotliDecompress,
  createDeflate,
  createGunzip,
  createGzip,
  createInflate,
  createZstdCompress,
  createZstdDecompress,
} from 'node:zlib';
import { FaceError } from './exception.ts';
import type { ResponseCoding } from './http-request.ts';

/** For a request's Content-Encoding. @throws FaceError for one that is not known */
export function decoderOf(coding: string): Transform {
  switch (coding) {
    case 'gzip':
      return createGunzip({ chunkSize: 262_144 });
    case 'zstd':
      return createZstdDecompress({ chunkSize: 262_144 });
    case 'br':
      return createBrotliDecompress();
    case 'deflate':
      return createInflate();
    default:
      throw new FaceError(89, 'UNKNOWN_COMPRESSION_METHOD', `Unknown compression method ${coding}`, 400);
  }
}

/** For a response. Fast rather than small: mostly it stays on the machine. */
export const encoders: Readonly<Record<Exclude<ResponseCoding, 'identity'>, () => Transform>> = {
  gzip: () => createGzip({ level: 3, chunkSize: 65_536 }),
  zstd: () => createZstdCompress(),
  br: () => createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 3 } }),
  deflate: () => createDeflate({ level: 3 }),
};
