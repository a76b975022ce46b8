import type { IncomingMessage, ServerResponse } from 'node:http';
import { Busy, Reject } from '../pipelines/base/errors.ts';
import { decompress } from '../pipelines/topic/record.ts';
import { otlpToJson } from './dead-json.ts';
import type { DeadFilter, DeadLetters, FoundLetter } from './dead-letters.ts';

/** A letter as the command gets it. */
export interface LetterView {
  readonly number: number;
  readonly time: string;
  readonly open: boolean;
  readonly stage: string;
  readonly signal: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly item: number;
  readonly items: number;
  readonly table: string;
  readonly reason: string;
  readonly message: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly bytes: number;
  /** Only of one letter: OTLP/JSON. */
  readonly data?: unknown;
}

const LIMIT_MAX = 10_000;

/**
 * Dead letters on the server for metrics and health, for `tailrace dead`. Only for this machine: whoever may scrape metrics need not read or replay data.
 *
 *   GET  /dead?reason=R&from=N&to=N&all=1&limit=N   {"letters":[LetterView …],"matching":N}
 *   GET  /dead/N                                    LetterView with data
 *   POST /dead/replay?reason=R&from=N&to=N          a line of JSON (Progress) now and then, and one at the end with "over":true, or with "error"
 *   POST /dead/drop?…                               the same
 *
 * Returns false where the path is another one.
 */
export function serveDeadLetters(dead: DeadLetters | undefined, request: IncomingMessage, response: ServerResponse): boolean {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (url.pathname !== '/dead' && !url.pathname.startsWith('/dead/')) return false;
  const refusal = refusalOf(request);
  if (refusal !== undefined) answer(response, 403, { error: refusal });
  else if (dead === undefined) answer(response, 404, { error: 'this process has no dead letters: ask one that runs standalone or write' });
  else void serve(dead, url, request.method ?? '', response);
  return true;
}

async function serve(dead: DeadLetters, url: URL, method: string, response: ServerResponse): Promise<void> {
  try {
    const action = url.pathname.slice('/dead/'.length);
    const filter = filterOf(url);
    if (method === 'GET' && action === '') {
      const limit = Math.min(whole(url, 'limit') ?? 50, LIMIT_MAX);
      const { letters, matching } = await dead.list(filter, url.searchParams.has('all'), limit);
      answer(response, 200, { letters: letters.map(viewOf), matching });
    } else if (method === 'GET' && /^\d{1,15}$/.test(action)) {
      const found = await dead.find(Number(action));
      if (found === undefined) answer(response, 404, { error: `there is no dead letter ${action}` });
      else answer(response, 200, { ...viewOf(found), data: dataOf(found) });
    } else if (method === 'POST' && (action === 'replay' || action === 'drop')) {
      await settle(dead, action, filter, response);
    } else answer(response, 404, { error: 'here are GET /dead, GET /dead/N, POST /dead/replay and POST /dead/drop' });
  } catch (error) {
    answer(response, error instanceof Busy ? 503 : error instanceof Reject ? 400 : 500, {
      error: error instanceof Error ? error.message : String(error),
    });
  }
}

async function settle(dead: DeadLetters, action: 'replay' | 'drop', filter: DeadFilter, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  const line = (value: object): void => void response.write(`${JSON.stringify(value)}\n`);
  let last_ms = 0;
  try {
    const progress = await dead[action](filter, (now) => {
      if (performance.now() - last_ms < 100) return;
      last_ms = performance.now();
      line(now);
    });
    line({ ...progress, over: true });
  } catch (error) {
    line({ error: error instanceof Error ? error.message : String(error) });
  } finally {
    response.end();
  }
}

/** Not from another machine, and not from a page that a browser on this one has open: pages cannot send this header without being asked first, nor name this host. */
function refusalOf(request: IncomingMessage): string | undefined {
  const from = request.socket.remoteAddress ?? '';
  if (!/^(?:::1|(?:::ffff:)?127\.\d+\.\d+\.\d+)$/.test(from))
    return 'dead letters are for this machine only: run tailrace dead beside the process';
  if (request.headers['x-tailrace'] === undefined) return 'the header x-tailrace is missing';
  return undefined;
}

function filterOf(url: URL): DeadFilter {
  return { reason: url.searchParams.get('reason') ?? undefined, from: whole(url, 'from'), to: whole(url, 'to') };
}

function whole(url: URL, name: string): number | undefined {
  const text = url.searchParams.get(name);
  if (text === null) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw new Reject('query', `${name}=${text} is not a whole number`);
  return Number(text);
}

function viewOf({ number, time_ms, open, letter }: FoundLetter): LetterView {
  const { stage, signal, topic, partition, offset, item, items, table, reason, message, traceId, spanId, data } = letter;
  return {
    number,
    time: new Date(time_ms).toISOString(),
    open,
    stage,
    signal,
    topic,
    partition,
    offset,
    item,
    items,
    table,
    reason,
    message,
    traceId: traceId.toString('hex'),
    spanId: spanId.toString('hex'),
    bytes: data.length,
  };
}

/** What cannot be read is shown as the bytes it is. */
function dataOf({ letter }: FoundLetter): unknown {
  const { signal, codec, raw_bytes, items, data } = letter;
  if (data.length === 0) return null;
  try {
    return otlpToJson(signal, decompress({ value: data, headers: { format: 1, codec, items, raw_bytes } }));
  } catch (error) {
    if (!(error instanceof Reject)) throw error;
    return { unreadable: error.message, base64: data.toString('base64') };
  }
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}
