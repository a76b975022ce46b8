import type { IncomingMessage } from 'node:http';
import { Reject } from '../base/errors.ts';
import type { Lease } from './admission.ts';
import { tooLarge } from './decompress.ts';

/**
 * The whole body as it came over the wire, charged to `lease` piece by piece. @throws Reject('too_large') above `bytes_max`
 * (by Content-Length before anything is read), Busy when the budget does not hold it, Reject('sender_gone') when the connection broke
 */
export function readBody(request: IncomingMessage, bytes_max: number, lease: Lease): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const announced = Number(request.headers['content-length'] ?? 0);
    if (announced > bytes_max) {
      reject(tooLarge(bytes_max));
      return;
    }
    const pieces: Buffer[] = [];
    let total = 0;
    const stop = (error: unknown): void => {
      request.off('data', piece);
      request.pause();
      reject(error);
    };
    const piece = (bytes: Buffer): void => {
      total += bytes.length;
      try {
        if (total > bytes_max) throw tooLarge(bytes_max);
        lease.take(bytes.length);
        pieces.push(bytes);
      } catch (error) {
        stop(error);
      }
    };
    request.on('data', piece);
    request.once('end', () => resolve(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, total)));
    request.once('error', () => reject(new Reject('sender_gone', 'the connection broke before the request was complete')));
  });
}

/**
 * Reads the rest of a request that is refused and throws it away, so that the sender gets to see the answer: closing a
 * connection with unread bytes resets it. False where more than `bytes_max` would have to be read: then close.
 */
export function discardBody(request: IncomingMessage, bytes_max: number): Promise<boolean> {
  return new Promise((resolve) => {
    if (request.readableEnded || request.destroyed) {
      resolve(request.readableEnded);
      return;
    }
    let left = bytes_max;
    request.on('data', (bytes: Buffer) => {
      left -= bytes.length;
      if (left < 0) {
        request.pause();
        resolve(false);
      }
    });
    request.once('end', () => resolve(true));
    request.once('close', () => resolve(request.readableEnded));
    request.resume();
  });
}
