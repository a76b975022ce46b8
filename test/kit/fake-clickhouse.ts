import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { nativeRows } from './native.ts';

/**
 * ClickHouse's side of an insert, over real HTTP: rows by table, a repeat of a token is taken and dropped. What a test does
 * in `before` (nothing is stored yet) and `after` (stored, not answered) may throw an HTTP answer, or wait.
 */
export interface Insert {
  readonly table: string;
  readonly token: string;
  readonly settings: URLSearchParams;
  readonly rows: Record<string, unknown>[];
}

export class Refusal extends Error {
  readonly code: number;
  readonly type: string;
  constructor(code: number, type: string) {
    super(`Code: ${code}. DB::Exception: no. (${type}) (version 26.7.2.1)`);
    this.code = code;
    this.type = type;
  }
}

export class FakeClickhouse {
  readonly inserts: Insert[] = [];
  /** Stored, in order. */
  readonly stored: Insert[] = [];
  before: (insert: Insert) => void | Promise<void> = () => {};
  after: (insert: Insert) => void | Promise<void> = () => {};
  url = '';
  private readonly tokens = new Set<string>();
  private readonly server = createServer((request, response) => void this.answer(request, response));

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
    return this;
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }

  rows(table: string): Record<string, unknown>[] {
    return this.stored.filter((insert) => insert.table === table).flatMap((insert) => insert.rows);
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const settings = new URL(request.url!, this.url).searchParams;
      const table = /^INSERT INTO `(\w+)` \(.+\) FORMAT Native\s*$/.exec(settings.get('query') ?? '')?.[1];
      if (table === undefined) throw new Error(`not an insert of ours: ${settings.get('query')}`);
      const insert = { table, token: settings.get('insert_deduplication_token') ?? '', settings, rows: nativeRows(Buffer.concat(chunks)) };
      this.inserts.push(insert);
      await this.before(insert);
      if (!this.tokens.has(insert.token)) this.stored.push(insert);
      this.tokens.add(insert.token);
      await this.after(insert);
      response.writeHead(200).end();
    } catch (error) {
      if (error instanceof Refusal)
        response.writeHead(500, { 'X-ClickHouse-Exception-Code': String(error.code) }).end(`${error.message}\n`);
      else request.socket.destroy();
    }
  }
}
