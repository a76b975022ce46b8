import { OperatorError } from '../pipelines/base/errors.ts';
import type { Progress } from './dead-letters.ts';

export type DeadQuery = Readonly<Record<string, string | undefined>>;

/** What GET answers. @throws OperatorError */
export async function askDeadLetters(url: string, path: string, query: DeadQuery): Promise<unknown> {
  const response = await call(url, path, query, 'GET');
  return response.json();
}

/** Replays or drops, tells how far it is, and returns the end. @throws OperatorError */
export async function settleDeadLetters(url: string, action: string, query: DeadQuery, told: (now: Progress) => void): Promise<Progress> {
  const response = await call(url, `/dead/${action}`, query, 'POST');
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) {
      const now = JSON.parse(line) as Progress & { over?: true; error?: string };
      if (now.error !== undefined)
        throw new OperatorError(`it ended early: ${now.error}`, `What was done is remembered: run tailrace dead ${action} again.`);
      if (now.over) return now;
      told(now);
    }
  }
  throw new OperatorError('the process ended before it was through', `What was done is remembered: run tailrace dead ${action} again.`);
}

async function call(base: string, path: string, query: DeadQuery, method: string): Promise<Response> {
  if (!URL.canParse(path, base)) throw new OperatorError(`"${base}" is not a URL`, 'Like http://127.0.0.1:8888');
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
  let response: Response;
  try {
    response = await fetch(url, { method, headers: { 'x-tailrace': 'dead' } });
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    throw new OperatorError(
      `no Tailrace answers at ${url.origin} (${cause?.code ?? String(error)})`,
      'The process that stores must run (tailrace standalone or write); --url names its address for metrics and health.',
    );
  }
  if (response.ok) return response;
  const text = await response.text();
  throw new OperatorError(errorIn(text) ?? `${url.origin} answers ${response.status}: ${text.trim()}`, 'tailrace dead --help tells more.');
}

function errorIn(text: string): string | undefined {
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    return typeof error === 'string' ? error : undefined;
  } catch {
    return undefined;
  }
}
