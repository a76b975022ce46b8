import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Log } from '../pipelines/base/log.ts';
import type { Endpoint } from '../pipelines/receive/receive.ts';
import { listen } from './endpoint.ts';

export interface QuerySettings {
  readonly endpoint: Endpoint;
  /** The ClickHouse server: http(s)://host:port. */
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly database: string;
  /** Seconds that one query may take. */
  readonly queryTime_s: number;
}

/** What nobody has to set. */
export const queryDefaults = { queryTime_s: 60 } as const;

// What a client must not choose: who it is, and what it may do.
const OURS = new Set(['user', 'password', 'readonly', 'role', 'max_execution_time']);
const PASSED_HEADERS = [
  'content-type',
  'content-length',
  'content-encoding',
  'accept-encoding',
  'transfer-encoding',
  'x-clickhouse-format',
];
const STOP_MS = 10_000;

/**
 * The role `query`: ClickHouse's HTTP interface for people and dashboards, read-only. Clients need no account: the role adds the file's,
 * with `readonly=2` (ClickHouse, Permissions for Queries: reading, and settings but not `readonly`) and a time limit.
 * Where the answer is an error of the server's, it is passed on as it is.
 */
export async function startQuery(settings: QuerySettings, log: Log): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const server = createServer((request, response) => forward(settings, request, response, log));
  const port = await listen(server, settings.endpoint, 'SQL');
  return { port, stop: () => stop(server) };
}

function forward(settings: QuerySettings, request: IncomingMessage, response: ServerResponse, log: Log): void {
  const target = new URL(request.url ?? '/', settings.url);
  if (target.origin !== new URL(settings.url).origin) return refuse(response, 400, 'the request names another host');
  for (const name of OURS) target.searchParams.delete(name);
  target.searchParams.set('readonly', '2');
  target.searchParams.set('max_execution_time', String(settings.queryTime_s));
  target.searchParams.set('cancel_http_readonly_queries_on_client_close', '1');
  if (!target.searchParams.has('database')) target.searchParams.set('database', settings.database);
  if (target.pathname === '/ping' || target.pathname === '/replicas_status') target.search = '';
  const headers: Record<string, string> = { 'x-clickhouse-user': settings.username, 'x-clickhouse-key': settings.password };
  for (const name of PASSED_HEADERS) {
    const value = request.headers[name];
    if (typeof value === 'string') headers[name] = value;
  }
  const send = target.protocol === 'https:' ? httpsRequest : httpRequest;
  const upstream = send(target, { method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  upstream.on('error', (error) => {
    log.warn({ err: error }, 'ClickHouse does not answer');
    if (response.headersSent) response.destroy();
    else refuse(response, 502, `ClickHouse at ${settings.url} does not answer: ${error.message}`);
  });
  response.on('close', () => upstream.destroy());
  request.pipe(upstream);
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${message}\n`);
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), STOP_MS);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}
