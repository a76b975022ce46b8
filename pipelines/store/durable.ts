import type { Store } from './client.ts';

/**
 * Makes the embedded engine put every insert on the disk before it answers. By default it leaves that to the system: after a power cut the log
 * would say that a batch is stored, whose files were still in memory. A server's own settings are its operator's.
 */
export async function syncInserts(store: Store, database: string): Promise<void> {
  const answer = await store.query({
    query: `SELECT name FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree' AND create_table_query NOT LIKE '%fsync_after_insert%'`,
    query_params: { database },
    format: 'JSONEachRow',
  });
  for (const { name } of await answer.json<{ name: string }>()) {
    await store.command({
      query: `ALTER TABLE \`${database}\`.\`${name}\` MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1`,
    });
  }
}
