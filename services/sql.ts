import { parseArgs } from 'node:util';
import { request } from 'node:http';
import { request as requestTls } from 'node:https';
import { OperatorError } from '../pipelines/base/errors.ts';

const USAGE = `Asks the stored data a question in ClickHouse's SQL and prints the answer.

Usage: tailrace sql [OPTIONS] "SELECT …"
       tailrace sql [OPTIONS] -          reads the query from stdin

  --format FORMAT       any ClickHouse format: PrettyCompact (default), JSONEachRow, CSVWithNames, Vertical, Parquet …
  --url URL             where ClickHouse listens (default http://127.0.0.1:8123, or TAILRACE_SQL_URL)
  --database NAME       default: default
  --user, --password    for a ClickHouse that asks (or TAILRACE_SQL_USER, TAILRACE_SQL_PASSWORD)

Examples:
  tailrace sql "SHOW TABLES"
  tailrace sql "SELECT ServiceName, count() AS spans FROM otel_traces GROUP BY ServiceName ORDER BY spans DESC"
  tailrace sql "SELECT SpanName, Duration / 1e6 AS ms, TraceId FROM otel_traces WHERE StatusCode = 'Error' ORDER BY Timestamp DESC LIMIT 10"
  tailrace sql "SELECT Minute, ServiceName, Calls, Errors, P99 FROM tailrace_red ORDER BY Minute DESC LIMIT 20"
  echo "SELECT Body FROM otel_logs LIMIT 5" | tailrace sql --format TSV -
`;

interface Question {
  readonly url: string;
  readonly format: string;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  readonly query: string;
}

/** @returns the exit status: 0, 1 where ClickHouse refused, 2 for a wrong call */
export async function runSql(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      format: { type: 'string', default: 'PrettyCompact' },
      url: { type: 'string', default: process.env.TAILRACE_SQL_URL ?? 'http://127.0.0.1:8123' },
      database: { type: 'string', default: 'default' },
      user: { type: 'string', default: process.env.TAILRACE_SQL_USER ?? 'default' },
      password: { type: 'string', default: process.env.TAILRACE_SQL_PASSWORD ?? '' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const piped = positionals[0] === '-' || (positionals.length === 0 && !process.stdin.isTTY);
  if (positionals.length > 1 || (positionals.length === 0 && !piped)) {
    process.stderr.write(`tailrace sql: ${positionals.length > 1 ? 'one query, please: put it in quotes' : 'which query?'}\n\n${USAGE}`);
    return 2;
  }
  const query = piped ? await readStdin() : positionals[0]!;
  if (query.trim() === '') {
    process.stderr.write('tailrace sql: the query is empty\n');
    return 2;
  }
  if (!URL.canParse(values.url)) throw new OperatorError(`"${values.url}" is not a URL`, 'Like http://127.0.0.1:8123');
  return ask({ ...values, query });
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function ask(question: Question): Promise<number> {
  const url = new URL(question.url);
  url.searchParams.set('default_format', question.format);
  url.searchParams.set('database', question.database);
  // A person reads it: values of maps and strings as they are, and the width of a terminal.
  if (question.format.startsWith('Pretty')) url.searchParams.set('output_format_pretty_row_numbers', '0');
  if (question.format.startsWith('Pretty') && !process.stdout.isTTY) url.searchParams.set('output_format_pretty_color', '0');
  return new Promise((resolve, reject) => {
    const call = (url.protocol === 'https:' ? requestTls : request)(url, {
      method: 'POST',
      headers: { 'X-ClickHouse-User': question.user, 'X-ClickHouse-Key': question.password, 'User-Agent': 'tailrace sql' },
    });
    call.on('error', (error: NodeJS.ErrnoException) => reject(unreachable(url, error)));
    call.on('response', (response) => {
      const well = response.statusCode === 200;
      const out = well ? process.stdout : process.stderr;
      response.on('error', () => {
        // The text of the exception is the last that was printed.
        process.stderr.write('tailrace sql: the answer ended early\n');
        resolve(1);
      });
      response.on('end', () => resolve(well ? 0 : 1));
      response.pipe(out, { end: false });
    });
    call.end(question.query);
  });
}

function unreachable(url: URL, error: NodeJS.ErrnoException): OperatorError {
  return new OperatorError(
    `no ClickHouse answers at ${url.origin} (${error.code ?? error.message})`,
    'Start one with `tailrace standalone --config config/tailrace.yaml`, or name another with --url.',
  );
}
