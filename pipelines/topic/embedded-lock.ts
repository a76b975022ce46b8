import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { OperatorError } from '../base/errors.ts';

/** Held while this process owns the directory. */
export interface DirectoryLock {
  release(): void;
}

/**
 * Makes the directory and takes it for this process. The lock is the kernel's, on a file that SQLite holds exclusively: it
 * goes with the process, also on kill -9, so there is no stale lock to remove by hand. `log.pid` only tells who holds it.
 * @throws OperatorError held by another process, or not writable
 */
export function lockDirectory(directory: string): DirectoryLock {
  const owner = join(directory, 'log.pid');
  let db: DatabaseSync | undefined;
  try {
    mkdirSync(directory, { recursive: true });
    db = new DatabaseSync(join(directory, 'log.lock'), { timeout: 0 });
    db.exec('BEGIN EXCLUSIVE');
    writeFileSync(owner, `${process.pid}\n`);
  } catch (error) {
    db?.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === 5) {
      throw new OperatorError(
        `the log in ${directory} is in use by another process${pidIn(owner)}`,
        'Stop that process first, or give this one a data directory of its own.',
      );
    }
    const why = error instanceof Error ? error.message : String(error);
    throw new OperatorError(
      `cannot use ${directory} for the log (${why})`,
      'Check that it is a directory, that this user may write to it, and that the disk is not full.',
    );
  }
  const held = db;
  return {
    release: () => {
      rmSync(owner, { force: true });
      held.close();
    },
  };
}

function pidIn(file: string): string {
  try {
    const pid = readFileSync(file, 'utf8').trim();
    return pid === '' ? '' : ` (pid ${pid})`;
  } catch {
    return '';
  }
}
