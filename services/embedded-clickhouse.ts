import { mkdir } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { ChdbEngine } from '../pipelines/store/chdb-engine.ts';
import { createHttpFace } from '../pipelines/store/http-face.ts';
import { Spool } from '../pipelines/store/spool.ts';

/**
 * The embedded ClickHouse's process: the engine over DATA/clickhouse, its HTTP interface on one port. Started by
 * embedded-clickhouse-parent.ts, which hears `ready` or `failed` over IPC; when the parent goes, so does this.
 *
 *   node services/embedded-clickhouse.ts DATA HOST PORT
 */
export type ChildMessage =
  | { readonly type: 'ready'; readonly port: number }
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

const INSERT_BYTES_MAX = 1_073_741_824;
const STATEMENT_BYTES_MAX = 1_048_576;
/** Below the threads of libuv's pool (UV_THREADPOOL_SIZE, set by the parent), so that files can still be written while all queries run. */
const QUERIES_MAX = 48;
const SESSIONS_MAX = 100;

async function main(data: string, host: string, port: number): Promise<void> {
  const directory = join(data, 'clickhouse');
  await mkdir(directory, { recursive: true });
  const engine = new ChdbEngine({ directory, queries_max: QUERIES_MAX, sessions_max: SESSIONS_MAX });
  const spool = await Spool.open(join(data, 'tmp'), INSERT_BYTES_MAX);
  const [version = '', timezone = '', displayName = ''] = (await engine.text('SELECT version(), timezone(), displayName()')).split('\t');
  const server = createHttpFace({ engine, spool, statement_bytes_max: STATEMENT_BYTES_MAX, version, timezone, displayName });

  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    // Requests under way end first: an insert that was taken is answered.
    server.close(() => {
      engine.close();
      process.exit(0);
    });
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), 5_000).unref();
  };
  process.on('SIGTERM', stop);
  // Ctrl-C reaches the whole group; the parent drains first and then says when to stop.
  process.on('SIGINT', () => {});
  process.on('disconnect', stop);

  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(port, host, resolve);
  });
  tell({ type: 'ready', port: (server.address() as AddressInfo).port });
}

function tell(message: ChildMessage): void {
  process.send?.(message);
}

const [data, host, port] = process.argv.slice(2);
try {
  await main(data!, host!, Number(port));
} catch (error) {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  process.send?.({ type: 'failed', code, message: error instanceof Error ? error.message : String(error) } satisfies ChildMessage, () =>
    process.exit(1),
  );
}
