import { isIP } from 'node:net';
import { FaceError } from './exception.ts';

/** What the URL and the headers of a request to ClickHouse's HTTP interface say (ClickHouse docs, interfaces/http). */
export interface FaceRequest {
  readonly path: string;
  /** Of the URL; the body follows it. */
  readonly query: string;
  readonly database: string | undefined;
  /** Where the statement has no FORMAT of its own. */
  readonly defaultFormat: string | undefined;
  /** `param_NAME` → value in ClickHouse's escaped form, as the engine wants it. */
  readonly params: ReadonlyMap<string, string>;
  /** Every other parameter is a setting. */
  readonly settings: ReadonlyMap<string, string>;
  readonly queryId: string | undefined;
  readonly session: { readonly id: string; readonly timeout_s: number; readonly mustExist: boolean } | undefined;
  /** Revision of the Native format that the client wants; 0 = the format as in files. */
  readonly clientProtocolVersion: number;
  readonly waitEndOfQuery: boolean;
}

/** Parameters that are not settings. Passwords are accepted and not looked at: the embedded engine listens on loopback and has one user. */
const notSettings = new Set([
  'query',
  'database',
  'default_format',
  'user',
  'password',
  'quota_key',
  'role',
  'session_id',
  'session_timeout',
  'session_check',
  'query_id',
  'stacktrace',
  'buffer_size',
  'wait_end_of_query',
  'close_session',
  'client_protocol_version',
  'compress',
  'decompress',
  'network_compression_method',
  'http_response_headers',
]);

/** Settings that the embedded engine decides: an insert that is acknowledged is stored. */
const fixedSettings = new Set(['async_insert', 'wait_for_async_insert']);

const SESSION_TIMEOUT_S_DEFAULT = 60;
const SESSION_TIMEOUT_S_MAX = 3_600;

/** @throws FaceError where the request asks for what the face does not speak */
export function readRequest(url: string, header: (name: string) => string | undefined): FaceRequest {
  const parsed = new URL(url, 'http://localhost');
  const search = parsed.searchParams;
  const params = new Map<string, string>();
  const settings = new Map<string, string>();
  for (const [name, value] of search) {
    if (name.startsWith('param_')) params.set(identifier(name.slice('param_'.length)), value);
    else if (!notSettings.has(name) && !fixedSettings.has(name)) settings.set(identifier(name), value);
  }
  for (const name of ['compress', 'decompress'])
    if (isOn(search.get(name)))
      throw new FaceError(
        48,
        'NOT_IMPLEMENTED',
        `Parameter ${name}=1 (ClickHouse's own block compression) is not spoken here: use Accept-Encoding and Content-Encoding`,
      );
  if ((header('content-type') ?? '').startsWith('multipart/form-data'))
    throw new FaceError(48, 'NOT_IMPLEMENTED', 'External tables in multipart/form-data are not spoken here');
  const sessionId = search.get('session_id');
  return {
    path: parsed.pathname,
    query: search.getAll('query').join(''),
    database: search.get('database') ?? header('x-clickhouse-database'),
    defaultFormat: search.get('default_format') ?? header('x-clickhouse-format'),
    params,
    settings,
    queryId: search.get('query_id') ?? header('x-clickhouse-query-id'),
    session:
      sessionId === null || sessionId === ''
        ? undefined
        : { id: sessionId, timeout_s: seconds(search.get('session_timeout')), mustExist: isOn(search.get('session_check')) },
    clientProtocolVersion: Number(search.get('client_protocol_version') ?? 0) || 0,
    waitEndOfQuery: isOn(search.get('wait_end_of_query')),
  };
}

function isOn(value: string | null): boolean {
  return value !== null && value !== '' && value !== '0' && value !== 'false';
}

function seconds(value: string | null): number {
  if (value === null) return SESSION_TIMEOUT_S_DEFAULT;
  const timeout_s = Number(value);
  if (!Number.isFinite(timeout_s) || timeout_s < 0)
    throw new FaceError(374, 'INVALID_SESSION_TIMEOUT', `Invalid session timeout: '${value}'`);
  if (timeout_s > SESSION_TIMEOUT_S_MAX)
    throw new FaceError(
      374,
      'INVALID_SESSION_TIMEOUT',
      `Session timeout '${value}' is larger than max_session_timeout: ${SESSION_TIMEOUT_S_MAX}`,
    );
  return timeout_s;
}

/** Names go into `SET name = …` unquoted. */
function identifier(name: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_.]*$/.test(name)) throw new FaceError(115, 'UNKNOWN_SETTING', `Unknown setting '${name}'`);
  return name;
}

export type ResponseCoding = 'identity' | 'gzip' | 'zstd' | 'br' | 'deflate';

/** The first of ours that Accept-Encoding names, where the request did not switch compression off. Weights are not looked at, as in ClickHouse. */
export function responseCoding(acceptEncoding: string | undefined, settings: ReadonlyMap<string, string>): ResponseCoding {
  if (acceptEncoding === undefined || !isOn(settings.get('enable_http_compression') ?? '1')) return 'identity';
  for (const coding of ['gzip', 'zstd', 'br', 'deflate'] as const) if (acceptEncoding.includes(coding)) return coding;
  return 'identity';
}

/** localhost or an address: a name that nobody else can point here. */
export function isOwnName(hostname: string): boolean {
  return hostname === 'localhost' || isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
}
