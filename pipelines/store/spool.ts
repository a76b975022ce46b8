import { createWriteStream } from 'node:fs';
import { mkdir, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { FaceError } from './exception.ts';

/**
 * Data of inserts on its way into the engine. chdb's parser of inline data loses bytes of binary formats (found with
 * Native), while `INSERT … FROM INFILE 'path' FORMAT X` reads every format right; so the body goes through a file.
 */
export class Spool {
  private readonly directory: string;
  private readonly bytes_max: number;
  private serial = 0;

  private constructor(directory: string, bytes_max: number) {
    this.directory = directory;
    this.bytes_max = bytes_max;
  }

  /** Makes the folder and empties it: what a crash left there was never acknowledged. */
  static async open(directory: string, bytes_max: number): Promise<Spool> {
    await mkdir(directory, { recursive: true });
    for (const name of await readdir(directory)) if (name.startsWith('insert-')) await unlink(join(directory, name));
    return new Spool(directory, bytes_max);
  }

  /** Writes `head` and then `rest` into a file of its own. Remove it after use. @throws FaceError where the data is too large */
  async write(head: Buffer, rest: Readable | undefined): Promise<string> {
    const path = join(this.directory, `insert-${process.pid}-${++this.serial}`);
    let bytes = 0;
    const counted = async function* (this: Spool): AsyncGenerator<Buffer> {
      if (head.length > 0) yield this.within((bytes += head.length), head);
      if (rest !== undefined) for await (const chunk of rest as AsyncIterable<Buffer>) yield this.within((bytes += chunk.length), chunk);
    };
    try {
      await pipeline(counted.call(this), createWriteStream(path));
    } catch (error) {
      await this.remove(path);
      throw error;
    }
    return path;
  }

  async remove(path: string): Promise<void> {
    await unlink(path).catch(() => {});
  }

  private within(bytes: number, chunk: Buffer): Buffer {
    if (bytes > this.bytes_max)
      throw new FaceError(
        307,
        'TOO_MANY_BYTES',
        `Data of this INSERT is larger than ${this.bytes_max} bytes, the embedded engine's limit: send it in parts`,
        413,
      );
    return chunk;
  }
}
