import { parseArgs } from 'node:util';
import { askDeadLetters, settleDeadLetters, type DeadQuery } from './dead-client.ts';
import { letterTable, letterText, progressBar } from './dead-text.ts';
import type { LetterView } from './dead-server.ts';

const USAGE = `Dead letters: what a store refuses for good, item by item, with the reason. The good rows beside them were stored.

Usage: tailrace dead list [OPTIONS]      those that are open, newest last
       tailrace dead show NUMBER         one of them: reason, ids, and the item as OTLP/JSON
       tailrace dead replay [OPTIONS]    store them, once what was wrong is mended; those refused again stay
       tailrace dead drop [OPTIONS]      forget them

  --reason REASON    only these, such as violated_constraint
  --from N, --to N   only letters with these numbers, both included
  --limit N          list: at most so many (default 50)
  --all              list: also those that were replayed or dropped; replay, drop: every one that is open
  --json             list, show: JSON, a letter a line
  --url URL          the process that stores: its address for metrics and health (default http://127.0.0.1:8888, or TAILRACE_DEAD_URL)

The process must run, standalone or write, and it answers only on its own machine (in Kubernetes: kubectl exec, or port-forward).

Examples:
  tailrace dead list
  tailrace dead show 17
  tailrace sql "ALTER TABLE otel_logs DROP CONSTRAINT short_body"
  tailrace dead replay --reason violated_constraint
  tailrace dead drop --from 0 --to 16
`;

/** @returns the exit status: 0, 1 where a letter was refused again or there is none, 2 for a wrong call. @throws OperatorError */
export async function runDead(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      reason: { type: 'string' },
      from: { type: 'string' },
      to: { type: 'string' },
      limit: { type: 'string', default: '50' },
      all: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      url: { type: 'string', default: process.env.TAILRACE_DEAD_URL ?? 'http://127.0.0.1:8888' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const [action, number, ...rest] = positionals;
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { url, json, all, limit, ...filter } = values;
  const query: DeadQuery = { reason: filter.reason, from: filter.from, to: filter.to };
  if (rest.length > 0 || (number !== undefined && action !== 'show')) return wrong('too many words');
  switch (action) {
    case 'list':
      return list(url, { ...query, limit, all: all ? '1' : undefined }, json);
    case 'show':
      return number === undefined || !/^\d+$/.test(number) ? wrong('which number? tailrace dead list shows them') : show(url, number, json);
    case 'replay':
    case 'drop':
      if (!all && Object.values(query).every((value) => value === undefined))
        return wrong(`which ones? --reason, --from, --to, or --all for every one that is open`);
      return settle(url, action, query);
    default:
      return wrong(action === undefined ? 'list, show, replay or drop?' : `unknown action "${action}"`);
  }
}

function wrong(what: string): number {
  process.stderr.write(`tailrace dead: ${what}\n\n${USAGE}`);
  return 2;
}

async function list(url: string, query: DeadQuery, json: boolean): Promise<number> {
  const { letters, matching } = (await askDeadLetters(url, '/dead', query)) as { letters: LetterView[]; matching: number };
  if (json) for (const letter of letters) process.stdout.write(`${JSON.stringify(letter)}\n`);
  else process.stdout.write(letterTable(letters, matching));
  return 0;
}

async function show(url: string, number: string, json: boolean): Promise<number> {
  const letter = (await askDeadLetters(url, `/dead/${number}`, {})) as LetterView;
  process.stdout.write(json ? `${JSON.stringify(letter)}\n` : letterText(letter));
  return 0;
}

async function settle(url: string, action: 'replay' | 'drop', query: DeadQuery): Promise<number> {
  const bar = progressBar(process.stderr, action);
  const last = await settleDeadLetters(url, action, query, bar.tell);
  bar.end();
  const { done, refused, message } = last;
  process.stdout.write(
    `${done} ${action === 'replay' ? 'replayed' : 'dropped'}${refused > 0 ? `, ${refused} refused again: ${message}` : ''}\n`,
  );
  return refused > 0 ? 1 : 0;
}
