import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { Log } from '../base/log.ts';
import type { Store } from './client.ts';

export interface MigrateSettings {
  readonly database: string;
  /** Hours that rows are kept, by signal; 0: for ever. */
  readonly ttl_hours: { readonly traces: number; readonly logs: number; readonly metrics: number };
}

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

const folder = new URL('migrations/', import.meta.url);

/** The numbered files, in order. @throws where a number is missing or there twice */
export async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  const migrations = await Promise.all(
    names.map(async (name) => ({ version: Number(name.slice(0, 3)), name, sql: await readFile(new URL(name, folder), 'utf8') })),
  );
  for (const [index, { version, name }] of migrations.entries())
    if (version !== index + 1) throw new Error(`migration ${name} should have number ${index + 1}`);
  return migrations;
}

/**
 * Brings the database to this version: creates it, applies what `tailrace_migrations` does not name yet, sets retention.
 * Every statement can be run again, so a crash in between, or two that migrate at once, do no harm.
 * @returns the files applied now
 * @throws the client's error: the caller retries while ClickHouse is down
 */
export async function migrate(store: Store, settings: MigrateSettings, log: Log): Promise<string[]> {
  const database = `\`${settings.database}\``;
  await store.command({ query: `CREATE DATABASE IF NOT EXISTS ${database}` });
  await store.command({
    query: `CREATE TABLE IF NOT EXISTS ${database}.tailrace_migrations (version UInt32, name String, checksum String, applied DateTime64(3) DEFAULT now64(3)) ENGINE = MergeTree ORDER BY version`,
  });
  const answer = await store.query({
    query: `SELECT version, any(checksum) AS checksum FROM ${database}.tailrace_migrations GROUP BY version`,
    format: 'JSONEachRow',
  });
  const applied = new Map((await answer.json<{ version: number; checksum: string }>()).map((row) => [row.version, row.checksum]));
  const done: string[] = [];
  for (const migration of await readMigrations()) {
    const checksum = createHash('sha256').update(migration.sql).digest('hex').slice(0, 16);
    const before = applied.get(migration.version);
    if (before !== undefined) {
      if (before !== checksum)
        log.warn({ migration: migration.name }, 'this migration was applied in another wording; what is in the database stays');
      continue;
    }
    for (const statement of statements(migration.sql, database)) await store.command({ query: statement });
    await store.insert({
      table: `${database}.tailrace_migrations`,
      values: [{ version: migration.version, name: migration.name, checksum }],
      format: 'JSONEachRow',
    });
    log.info({ migration: migration.name }, 'migrated');
    done.push(migration.name);
  }
  await setRetention(store, settings, log);
  return done;
}

/** The statements of a file: each ends with a semicolon at a line's end. */
export function statements(sql: string, database: string): string[] {
  return sql
    .replaceAll('{{database}}', database)
    .split(/;[ \t]*(?:\n|$)/)
    .map((statement) => statement.trim())
    .filter((statement) => statement.replace(/^--.*$/gm, '').trim() !== '');
}

const retained = [
  ['otel_traces', 'traces', 'toDateTime(Timestamp)'],
  ['otel_traces_trace_id_ts', 'traces', 'Start'],
  ['otel_logs', 'logs', 'toDateTime(Timestamp)'],
  ...['gauge', 'sum', 'histogram', 'exponential_histogram', 'summary'].map(
    (kind) => [`otel_metrics_${kind}`, 'metrics', 'toDateTime(TimeUnix)'] as const,
  ),
] as const;

/** Retention is a setting, not a migration: it may change at every start. Only metadata changes; parts go when they are wholly out of date. */
async function setRetention(store: Store, settings: MigrateSettings, log: Log): Promise<void> {
  const answer = await store.query({
    query: 'SELECT name, create_table_query AS text FROM system.tables WHERE database = {database:String}',
    query_params: { database: settings.database },
    format: 'JSONEachRow',
  });
  const tables = new Map((await answer.json<{ name: string; text: string }>()).map((row) => [row.name, row.text]));
  for (const [table, signal, time] of retained) {
    const text = tables.get(table);
    if (text === undefined) continue;
    const hours = settings.ttl_hours[signal];
    const now = /\bTTL (.+?)(?= SETTINGS |$)/s.exec(text)?.[1];
    const wanted = hours === 0 ? undefined : `${time} + toIntervalHour(${hours})`;
    if (now === wanted) continue;
    const target = `\`${settings.database}\`.${table}`;
    await store.command({
      query: wanted === undefined ? `ALTER TABLE ${target} REMOVE TTL` : `ALTER TABLE ${target} MODIFY TTL ${wanted}`,
      clickhouse_settings: { materialize_ttl_after_modify: 0 },
    });
    log.info({ table, hours }, 'retention set');
  }
}
