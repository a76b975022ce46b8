import { createClient, type ClickHouseClient } from '@clickhouse/client';
import { readFileSync } from 'node:fs';

/** ClickHouse as every part of Tailrace reaches it: the embedded one and a server are the same to the code behind. */
export interface StoreSettings {
  /** `http://host:8123` or `https://host:8443`. */
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly database: string;
  /** gzip of what is sent. Not worth it on loopback. */
  readonly compression: boolean;
  readonly requestTimeout_ms: number;
  /** Requests at a time. */
  readonly connections_max: number;
  readonly tls: { readonly caFile: string; readonly certFile?: string; readonly keyFile?: string } | undefined;
}

export const storeDefaults = {
  username: 'default',
  password: '',
  database: 'default',
  compression: false,
  requestTimeout_ms: 60_000,
  connections_max: 16,
  tls: undefined,
} as const satisfies Omit<StoreSettings, 'url'>;

export type Store = ClickHouseClient;

/** The one place where a client is made. Makes no connection yet. */
export function createStore(settings: StoreSettings): Store {
  const { tls } = settings;
  return createClient({
    url: settings.url,
    username: settings.username,
    password: settings.password,
    database: settings.database,
    request_timeout: settings.requestTimeout_ms,
    max_open_connections: settings.connections_max,
    compression: { request: settings.compression, response: settings.compression },
    application: 'tailrace',
    // Only errors that were not handed to us.
    log: { level: 127 },
    ...(tls === undefined ? {} : { tls: tlsFiles(tls) }),
  });
}

function tlsFiles(tls: NonNullable<StoreSettings['tls']>): { ca_cert: Buffer } | { ca_cert: Buffer; cert: Buffer; key: Buffer } {
  const ca_cert = readFileSync(tls.caFile);
  if (tls.certFile === undefined || tls.keyFile === undefined) return { ca_cert };
  return { ca_cert, cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) };
}
