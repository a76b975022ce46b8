import { Session } from 'chdb';
import { FaceError } from './exception.ts';

/**
 * ClickHouse in this process (chdb) as a set of connections. Found by trial with chdb 3.4.0 (engine 26.7):
 *
 *  - a connection runs one query at a time; several connections to one data directory run side by side, each call on a
 *    thread of libuv's pool (UV_THREADPOOL_SIZE bounds them);
 *  - opening one costs 0.3 ms; its settings and parameters stay with it until `SET x = DEFAULT`;
 *  - `KILL QUERY` works, an abort through the binding only stops waiting;
 *  - `close()` defers until every call under way in the process has ended, so a connection is used again where that is clean.
 */
export interface EngineQuery {
  readonly text: string;
  readonly format: string;
  readonly database: string | undefined;
  readonly settings: ReadonlyMap<string, string>;
  readonly params: ReadonlyMap<string, string>;
  readonly readonly: boolean;
  readonly session: { readonly id: string; readonly timeout_s: number; readonly mustExist: boolean } | undefined;
  /** The answer may come in parts: set only for formats whose documents can be joined. */
  readonly stream: boolean;
  /** The statement changes its connection (SET, USE, temporary tables). */
  readonly leavesTraces: boolean;
  readonly signal: AbortSignal;
}

export interface EngineAnswer {
  /** Borrowed until the next is asked for. Throws the engine's error. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Known where the answer did not come in parts. */
  readonly rowsRead: number | undefined;
  readonly bytesRead: number | undefined;
}

export interface EngineSettings {
  readonly directory: string;
  /** Queries at a time; one more is answered TOO_MANY_SIMULTANEOUS_QUERIES. */
  readonly queries_max: number;
  readonly sessions_max: number;
}

interface Connection {
  readonly session: Session;
  busy: boolean;
}

interface Kept {
  readonly connection: Connection;
  timer: NodeJS.Timeout | undefined;
}

const IDLE_CONNECTIONS_MAX = 8;
/** Every connection of ours: acknowledged inserts are stored, a process of one user needs no query log. */
const connectionArgs = ['--async_insert=0'];

export class ChdbEngine {
  private readonly settings: EngineSettings;
  /** Keeps the engine up while no query runs, and kills queries. */
  private readonly root: Session;
  private readonly idle: Connection[] = [];
  private readonly sessions = new Map<string, Kept>();
  private running = 0;
  private serial = 0;

  /** @throws chdb's ChdbConnectionError where the directory is in use or not writable */
  constructor(settings: EngineSettings) {
    this.settings = settings;
    this.root = new Session(settings.directory, { connectionArgs });
  }

  /** Runs one statement. Resolves when the first part of the answer is there, so that an error before it can have its own status. */
  async run(query: EngineQuery): Promise<EngineAnswer> {
    if (this.running >= this.settings.queries_max)
      throw new FaceError(202, 'TOO_MANY_SIMULTANEOUS_QUERIES', `Too many simultaneous queries. Maximum: ${this.settings.queries_max}`);
    const connection = query.session === undefined ? this.lease() : this.ofSession(query.session);
    connection.busy = true;
    this.running++;
    const comment = query.settings.has('log_comment') ? undefined : `tailrace-${++this.serial}`;
    const kill = (): void => {
      if (comment !== undefined) void this.kill(comment);
    };
    query.signal.addEventListener('abort', kill);
    let ended = false;
    const end = (): void => {
      if (ended) return;
      ended = true;
      query.signal.removeEventListener('abort', kill);
      this.running--;
      void this.giveBack(connection, query, comment);
    };
    try {
      await prepare(connection.session, query, comment);
      if (query.signal.aborted) throw new FaceError(394, 'QUERY_WAS_CANCELLED', 'Query was cancelled');
      return query.stream ? await streamed(connection.session, query, end) : await whole(connection.session, query, end);
    } catch (error) {
      end();
      throw error;
    }
  }

  /** A statement of the process's own, with nothing around it. */
  async text(sql: string): Promise<string> {
    return (await this.root.queryAsync(sql, { format: 'TabSeparatedRaw' })).text().trim();
  }

  close(): void {
    for (const { connection, timer } of this.sessions.values()) {
      clearTimeout(timer);
      connection.session.close();
    }
    for (const connection of this.idle) connection.session.close();
    this.root.close();
  }

  private async kill(comment: string): Promise<void> {
    try {
      await this.root.queryAsync(`KILL QUERY WHERE Settings['log_comment'] = '${comment}' ASYNC`);
    } catch {
      // It may have ended by itself in between; its own promise tells how.
    }
  }

  private lease(): Connection {
    return this.idle.pop() ?? this.open();
  }

  private open(): Connection {
    return { session: new Session(this.settings.directory, { connectionArgs }), busy: false };
  }

  private ofSession(wanted: { id: string; timeout_s: number; mustExist: boolean }): Connection {
    const kept = this.sessions.get(wanted.id);
    if (kept !== undefined) {
      if (kept.connection.busy) throw new FaceError(373, 'SESSION_IS_LOCKED', `Session ${wanted.id} is locked by a concurrent client`);
      clearTimeout(kept.timer);
      return kept.connection;
    }
    if (wanted.mustExist) throw new FaceError(372, 'SESSION_NOT_FOUND', 'Session not found', 404);
    if (this.sessions.size >= this.settings.sessions_max)
      throw new FaceError(202, 'TOO_MANY_SIMULTANEOUS_QUERIES', `Too many sessions. Maximum: ${this.settings.sessions_max}`);
    const connection = this.open();
    this.sessions.set(wanted.id, { connection, timer: undefined });
    return connection;
  }

  private async giveBack(connection: Connection, query: EngineQuery, comment: string | undefined): Promise<void> {
    if (query.session !== undefined) {
      connection.busy = false;
      const { id, timeout_s } = query.session;
      const kept = this.sessions.get(id)!;
      kept.timer = setTimeout(() => {
        this.sessions.delete(id);
        connection.session.close();
      }, timeout_s * 1_000);
      kept.timer.unref();
      return;
    }
    // `readonly` cannot be taken back, a parameter cannot be unset.
    const clean = !query.readonly && !query.leavesTraces && query.params.size === 0 && !query.settings.has('readonly');
    if (clean && this.idle.length < IDLE_CONNECTIONS_MAX) {
      try {
        const names = [...query.settings.keys()];
        if (comment !== undefined) names.push('log_comment');
        if (names.length > 0) await connection.session.queryAsync(`SET ${names.map((name) => `${name} = DEFAULT`).join(', ')}`);
        if (query.database !== undefined) await connection.session.queryAsync('USE `default`');
        connection.busy = false;
        this.idle.push(connection);
        return;
      } catch {
        // An unknown setting, say: then this connection is not one to keep.
      }
    }
    connection.session.close();
  }
}

async function prepare(session: Session, query: EngineQuery, comment: string | undefined): Promise<void> {
  if (query.database !== undefined && query.database !== '')
    await session.queryAsync(`USE \`${query.database.replace(/[\\`]/g, '\\$&')}\``);
  // One statement for all of them, a setting by name; a parameter is a setting named param_NAME whose text the engine parses by the declared type.
  const assignments: string[] = [];
  for (const [name, value] of query.settings) if (name !== 'readonly') assignments.push(`${name} = ${literal(value)}`);
  if (comment !== undefined) assignments.push(`log_comment = '${comment}'`);
  for (const [name, value] of query.params) assignments.push(`param_${name} = ${literal(value)}`);
  if (assignments.length > 0) await session.queryAsync(`SET ${assignments.join(', ')}`);
  // Last, because it locks the rest.
  const readonly = query.settings.get('readonly') ?? (query.readonly ? '2' : undefined);
  if (readonly !== undefined) await session.queryAsync(`SET readonly = ${literal(readonly)}`);
}

/** A ClickHouse string literal. */
export function literal(value: string): string {
  return `'${value.replace(/[\\']/g, '\\$&').replaceAll('\0', '\\0')}'`;
}

async function whole(session: Session, query: EngineQuery, end: () => void): Promise<EngineAnswer> {
  try {
    const result = await session.queryAsync(query.text, { format: query.format });
    const bytes = result.bytes();
    return { chunks: one(bytes), rowsRead: result.rowsRead, bytesRead: result.bytesRead };
  } finally {
    end();
  }
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

async function streamed(session: Session, query: EngineQuery, end: () => void): Promise<EngineAnswer> {
  const iterator = session.queryStream(query.text, { format: query.format })[Symbol.asyncIterator]();
  const first = await iterator.next();
  async function* chunks(): AsyncGenerator<Uint8Array> {
    try {
      for (let step = first; step.done !== true; step = await iterator.next()) if (step.value.numBytes > 0) yield step.value.raw();
    } finally {
      // Also where the reader gave up: the cursor must be gone before the connection is used again.
      await iterator.return?.();
      end();
    }
  }
  return { chunks: chunks(), rowsRead: undefined, bytesRead: undefined };
}
