import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { literal, type ChdbEngine, type EngineAnswer } from './chdb-engine.ts';
import { decoderOf, encoders } from './http-coding.ts';
import { exceptionOf, FaceError, statusOf } from './exception.ts';
import { readRequest, responseCoding, type FaceRequest, type ResponseCoding, isOwnName } from './http-request.ts';
import { withRevision } from './native-revision.ts';
import type { Spool } from './spool.ts';
import { readStatement, type Statement } from './statement.ts';

export interface FaceSettings {
  readonly engine: ChdbEngine;
  readonly spool: Spool;
  /** Characters of a statement without its data (ClickHouse's max_query_size is 262,144 by default). */
  readonly statement_bytes_max: number;
  readonly version: string;
  readonly timezone: string;
  readonly displayName: string;
}

/** Formats whose parts, put one after the other, are one document: those can be sent while the query runs. */
const streamable = new Set([
  'native',
  'rowbinary',
  'tabseparated',
  'tsv',
  'tabseparatedraw',
  'tsvraw',
  'csv',
  'jsoneachrow',
  'jsonlines',
  'ndjson',
  'jsonstringseachrow',
  'jsoncompacteachrow',
  'jsoncompactstringseachrow',
  'linesasstring',
]);
const reading = new Set(['SELECT', 'WITH', 'FROM']);
const changesConnection = new Set(['SET', 'USE', 'CREATE', 'BEGIN', 'COMMIT', 'ROLLBACK']);

const contentTypes: Readonly<Record<string, string>> = {
  json: 'application/json; charset=UTF-8',
  jsoncompact: 'application/json; charset=UTF-8',
  jsonstrings: 'application/json; charset=UTF-8',
  jsoneachrow: 'application/x-ndjson; charset=UTF-8',
  jsoncompacteachrow: 'application/x-ndjson; charset=UTF-8',
  csv: 'text/csv; charset=UTF-8; header=absent',
  csvwithnames: 'text/csv; charset=UTF-8; header=present',
  tabseparated: 'text/tab-separated-values; charset=UTF-8',
  tsv: 'text/tab-separated-values; charset=UTF-8',
  native: 'application/octet-stream',
  rowbinary: 'application/octet-stream',
  parquet: 'application/octet-stream',
  arrow: 'application/octet-stream',
  arrowstream: 'application/octet-stream',
};

/** ClickHouse's HTTP interface (docs, interfaces/http) over an engine in this process. Not listening yet. */
export function createHttpFace(settings: FaceSettings): Server {
  return createServer({ keepAliveTimeout: 30_000, requestTimeout: 0 }, (request, response) => {
    void new Exchange(settings, request, response).run();
  });
}

/** One request and its answer. */
class Exchange {
  private readonly face: FaceSettings;
  private readonly request: IncomingMessage;
  private readonly response: ServerResponse;
  private readonly abort = new AbortController();
  private readonly started = process.hrtime.bigint();
  private coding: ResponseCoding = 'identity';

  constructor(face: FaceSettings, request: IncomingMessage, response: ServerResponse) {
    this.face = face;
    this.request = request;
    this.response = response;
    response.on('close', () => this.abort.abort());
    response.setHeader('X-ClickHouse-Server-Display-Name', face.displayName);
  }

  async run(): Promise<void> {
    try {
      await this.answer();
    } catch (error) {
      this.fail(error);
    }
  }

  private async answer(): Promise<void> {
    const { request, response } = this;
    this.refuseOtherOrigins();
    const head = readRequest(request.url ?? '/', (name) => single(request.headers[name]));
    const bare = head.query === '' && request.method !== 'POST';
    if (head.path === '/ping' || head.path === '/replicas_status' || (head.path === '/' && bare)) {
      response.writeHead(200, { 'Content-Type': 'text/html; charset=UTF-8' }).end('Ok.\n');
      return;
    }
    if (head.path !== '/') {
      response
        .writeHead(404, { 'Content-Type': 'text/plain; charset=UTF-8' })
        .end(`There is no handle ${head.path}\n\nUse / or /ping for health checks.\n`);
      return;
    }
    if (request.method !== 'GET' && request.method !== 'POST' && request.method !== 'HEAD') {
      response.writeHead(405, { Allow: 'GET, HEAD, POST' }).end();
      return;
    }
    this.coding = responseCoding(single(request.headers['accept-encoding']), head.settings);
    response.setHeader('X-ClickHouse-Query-Id', head.queryId ?? randomUUID());
    response.setHeader('X-ClickHouse-Timezone', this.face.timezone);
    const { text, statement, rest } = await this.readQuery(head);
    if (statement.insert !== undefined) await this.insert(head, statement, rest);
    else await this.query(head, text.toString('utf8'), statement);
  }

  /**
   * A page of another site in the user's browser must not write here: its requests name their origin, those of clients do not.
   * A site may let its own name point to this machine (DNS rebinding), so that origin and Host agree: the name must be ours.
   */
  private refuseOtherOrigins(): void {
    const origin = this.request.headers.origin;
    if (origin === undefined) return;
    const { host, hostname } = URL.parse(origin) ?? { host: '', hostname: '' };
    if (host === this.request.headers.host && isOwnName(hostname)) return;
    throw new FaceError(497, 'ACCESS_DENIED', `Requests from pages of ${origin} are refused`, 403);
  }

  /** The statement is the URL's query followed by the body; of a long body only as much is read as the statement of an INSERT takes. */
  private async readQuery(
    head: FaceRequest,
  ): Promise<{ text: Buffer; statement: Statement; rest: { head: Buffer; body: Readable | undefined } }> {
    const max = this.face.statement_bytes_max;
    const prefix = Buffer.from(head.query, 'utf8');
    if (prefix.length > 0) {
      const statement = readStatement(prefix.toString('latin1'));
      // Usual: the statement in the URL, its data in the body.
      if (statement.insert !== undefined)
        return { text: prefix, statement, rest: { head: prefix.subarray(statement.insert.dataStart), body: this.body() } };
    }
    const body = this.body();
    const chunks: Uint8Array[] = prefix.length === 0 ? [] : [prefix, Buffer.from('\n')];
    let bytes = prefix.length;
    let ended = true;
    for await (const chunk of keepOpen(body)) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > max) {
        ended = false;
        break;
      }
    }
    const text = Buffer.concat(chunks);
    const statement = readStatement(text.toString('latin1'));
    if (!ended && statement.insert === undefined)
      throw new FaceError(62, 'SYNTAX_ERROR', `Max query size exceeded (can be increased up to ${max} bytes here)`);
    const data = statement.insert === undefined ? Buffer.alloc(0) : text.subarray(statement.insert.dataStart);
    return { text, statement, rest: { head: data, body: ended ? undefined : body } };
  }

  private body(): Readable {
    const coding = single(this.request.headers['content-encoding']);
    const decoder = coding === undefined || coding === 'identity' ? undefined : decoderOf(coding);
    if (decoder === undefined) return this.request;
    this.request.on('error', (error) => decoder.destroy(error));
    return this.request.pipe(decoder);
  }

  private async insert(head: FaceRequest, statement: Statement, rest: { head: Buffer; body: Readable | undefined }): Promise<void> {
    const { format, head: insertHead } = statement.insert!;
    if (!/^\w+$/.test(format)) throw new FaceError(73, 'UNKNOWN_FORMAT', `Unknown format ${format}`);
    if (this.request.method === 'GET')
      throw new FaceError(
        164,
        'READONLY',
        'Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries',
      );
    const path = await this.face.spool.write(rest.head, rest.body);
    try {
      // Latin1 was for byte offsets only.
      const text = `${Buffer.from(insertHead, 'latin1').toString('utf8')} FROM INFILE ${literal(path)} COMPRESSION 'none' FORMAT ${format}`;
      await this.send(await this.execute(head, text, 'TabSeparated', statement), 'TabSeparated', head);
    } finally {
      await this.face.spool.remove(path);
    }
  }

  private async query(head: FaceRequest, text: string, statement: Statement): Promise<void> {
    if (statement.kind === '') throw new FaceError(62, 'SYNTAX_ERROR', 'Empty query');
    const format = statement.format ?? head.defaultFormat ?? 'TabSeparated';
    if (!/^\w+$/.test(format)) throw new FaceError(73, 'UNKNOWN_FORMAT', `Unknown format ${format}`);
    await this.send(await this.execute(head, text, format, statement), format, head);
  }

  private async execute(head: FaceRequest, text: string, format: string, statement: Statement): Promise<EngineAnswer> {
    const wanted = {
      text,
      format,
      database: head.database,
      settings: head.settings,
      params: head.params,
      readonly: this.request.method !== 'POST',
      session: head.session,
      leavesTraces: changesConnection.has(statement.kind),
      signal: this.abort.signal,
    };
    const stream = reading.has(statement.kind) && streamable.has(format.toLowerCase()) && !head.waitEndOfQuery;
    try {
      return await this.face.engine.run({ ...wanted, stream });
    } catch (error) {
      // WITH … INSERT, say: the engine streams SELECT only, and has done nothing yet.
      if (stream && error instanceof Error && error.message.includes('Streaming query is not supported'))
        return this.face.engine.run({ ...wanted, stream: false });
      throw error;
    }
  }

  private async send(answer: EngineAnswer, format: string, head: FaceRequest): Promise<void> {
    const { response } = this;
    const native = head.clientProtocolVersion > 0 && format.toLowerCase() === 'native';
    response.setHeader('Content-Type', contentTypes[format.toLowerCase()] ?? 'text/plain; charset=UTF-8');
    response.setHeader('X-ClickHouse-Format', format);
    response.setHeader('X-ClickHouse-Summary', JSON.stringify(this.summary(answer)));
    let out: NodeJS.WritableStream | undefined;
    for await (const chunk of answer.chunks) {
      const bytes = native ? withRevision(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length), head.clientProtocolVersion) : chunk;
      // Made at the first part, so that an error before it has its own status and an empty answer has length 0.
      out ??= this.open();
      // A copy: the engine's memory is borrowed until the next part.
      if (!out.write(Buffer.from(bytes))) await drained(out, this.abort.signal);
    }
    if (out === undefined) response.writeHead(200, { 'Content-Length': 0 }).end();
    else out.end();
  }

  private open(): NodeJS.WritableStream {
    if (this.coding === 'identity') return this.response;
    this.response.setHeader('Content-Encoding', this.coding);
    const encoder = encoders[this.coding]();
    encoder.pipe(this.response);
    return encoder;
  }

  private summary(answer: EngineAnswer): Record<string, string> {
    const elapsed_ns = String(process.hrtime.bigint() - this.started);
    return { read_rows: String(answer.rowsRead ?? 0), read_bytes: String(answer.bytesRead ?? 0), elapsed_ns };
  }

  private fail(error: unknown): void {
    const { response, request } = this;
    const exception = exceptionOf(error instanceof Error ? error.message : String(error));
    const broken = error instanceof Error && 'errno' in error && 'code' in error && /^(Z_|ERR_|ZSTD)/.test(String(error.code));
    const text = `${exception.text} (version ${this.face.version} (embedded chdb))\n`;
    if (response.headersSent) {
      // Too late for a status: the text goes where it can be seen, and a broken end of the body says that it is not complete.
      response.write(text, () => response.destroy());
      return;
    }
    if (response.destroyed) return;
    for (const name of ['Content-Encoding', 'X-ClickHouse-Summary', 'X-ClickHouse-Format']) response.removeHeader(name);
    response.setHeader('X-ClickHouse-Exception-Code', String(exception.code));
    // What is left of the body is not read.
    if (!request.complete) response.setHeader('Connection', 'close');
    response
      .writeHead(error instanceof FaceError ? error.status : broken ? 400 : statusOf(exception.code), {
        'Content-Type': 'text/plain; charset=UTF-8',
      })
      .end(text);
  }
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** Iterates without destroying the stream where the loop is left early. */
function keepOpen(body: Readable): AsyncIterable<Buffer> {
  return body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
}

function drained(out: NodeJS.WritableStream, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => done(reject, new Error('the client has gone'));
    const ready = (): void => done(resolve);
    const done = <T extends unknown[]>(settle: (...args: T) => void, ...args: T): void => {
      signal.removeEventListener('abort', gone);
      out.removeListener('drain', ready);
      settle(...args);
    };
    if (signal.aborted) return gone();
    signal.addEventListener('abort', gone);
    out.on('drain', ready);
  });
}
