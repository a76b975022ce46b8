import { ClickHouseError } from '@clickhouse/client';
import { Readable } from 'node:stream';
import { Busy, Reject } from '../base/errors.ts';
import type { EncodedBlock } from '../encode/block.ts';
import type { Store } from './client.ts';

/**
 * Stores one block exactly once for a token: a repeat with the same token is taken and dropped by ClickHouse, in the table and in
 * the targets of its views. One block touches one partition, so the insert is atomic. Resolves when it is stored.
 * @param token at most a few hundred characters
 * @throws Busy (again later, same token) or Reject (these bytes never)
 */
export async function insertBlock(store: Store, block: EncodedBlock, token: string, signal?: AbortSignal): Promise<void> {
  const columns = block.columns.map((column) => `\`${column}\``).join(', ');
  try {
    const { stream } = await store.exec({
      query: `INSERT INTO \`${block.table}\` (${columns}) FORMAT Native`,
      values: Readable.from([block.native], { objectMode: false }),
      ...(signal === undefined ? {} : { abort_signal: signal }),
      clickhouse_settings: {
        insert_deduplication_token: token,
        insert_deduplicate: 1,
        deduplicate_blocks_in_dependent_materialized_views: 1,
        // An acknowledgement means stored.
        async_insert: 0,
        // A block of ours is one insert: squashing or cutting it would change what the token stands for.
        max_insert_threads: '1',
      },
    });
    // Nothing comes back, but the connection is free only when the end was read.
    for await (const _chunk of stream);
  } catch (error) {
    throw classify(error, block);
  }
}

/**
 * ClickHouse's codes for bytes that will never be taken: cannot parse (6, 26, 27, 32, 33, 38, 41, 72, 117, 376, 441, 467), a column that is not there
 * or of another type (8, 10, 16, 20, 43, 44, 47, 50, 53, 70, 321, 349, 407, 691), syntax (62), unknown format (73), too large array or string
 * (128, 131), a violated constraint (469), throwIf in a default expression (395).
 * Everything else is waited for, also a table that is not there (60): migrations may still run, and the bytes are good.
 */
const permanent = new Set([
  6, 8, 10, 16, 20, 26, 27, 32, 33, 38, 41, 43, 44, 47, 50, 53, 62, 70, 72, 73, 117, 128, 131, 321, 349, 376, 395, 407, 441, 467, 469, 691,
]);

const RETRY_AFTER_MS = 1_000;

function classify(error: unknown, block: EncodedBlock): unknown {
  if (error instanceof ClickHouseError) {
    const text = `${block.table}: ${error.type ?? 'ClickHouse'} ${error.code}: ${error.message}`;
    return permanent.has(Number(error.code)) ? new Reject(reasonOf(error), text) : new Busy(reasonOf(error), text, RETRY_AFTER_MS);
  }
  // No answer, or one that is not ClickHouse's (a proxy's, say).
  if (error instanceof Error) return new Busy('clickhouse_unreachable', `${block.table}: ${error.message}`, RETRY_AFTER_MS);
  return error;
}

function reasonOf(error: ClickHouseError): string {
  return error.type === undefined ? `code_${error.code}` : error.type.toLowerCase();
}
