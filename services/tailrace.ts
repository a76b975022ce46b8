import { readFileSync } from 'node:fs';
import { OperatorError } from '../pipelines/base/errors.ts';
import { suggestion } from '../config/suggest.ts';

/** The command line: one subcommand a file; a file is loaded only when its command is called. */
interface Command {
  readonly summary: string;
  run(argv: string[]): Promise<number>;
}

const commands: Record<string, Command> = {
  standalone: {
    summary: 'run everything in one process: receive, sample, store, SQL',
    run: async (argv) => (await import('./standalone.ts')).runStandalone(argv),
  },
  ingest: { summary: 'a role: receive OTLP into Kafka', run: async (argv) => (await import('./roles.ts')).runIngest(argv) },
  sample: { summary: 'a role: sample whole traces, make span metrics', run: async (argv) => (await import('./roles.ts')).runSample(argv) },
  write: { summary: 'a role: store in ClickHouse, each row once', run: async (argv) => (await import('./roles.ts')).runWrite(argv) },
  query: { summary: 'a role: read-only SQL over HTTP', run: async (argv) => (await import('./roles.ts')).runQuery(argv) },
  jobs: { summary: 'a role: tables, retention, alerts', run: async (argv) => (await import('./roles.ts')).runJobs(argv) },
  topics: {
    summary: 'create and check the topics of a pipeline file in Kafka',
    run: async (argv) => (await import('./topics.ts')).runTopics(argv),
  },
  migrate: { summary: 'create or update the tables in ClickHouse', run: async (argv) => (await import('./migrate.ts')).runMigrate(argv) },
  check: { summary: 'check a pipeline file and run its tests', run: async (argv) => (await import('./check.ts')).runCheck(argv) },
  plan: { summary: 'print how a pipeline file is cut into stages', run: async (argv) => (await import('./check.ts')).runPlan(argv) },
  sql: { summary: 'ask the stored data a question', run: async (argv) => (await import('./sql.ts')).runSql(argv) },
  dead: {
    summary: 'list, show and replay what a store refused',
    run: async (argv) => (await import('./dead.ts')).runDead(argv),
  },
  generate: {
    summary: 'send traces of a service mesh, to try things out',
    run: async (argv) => (await import('./generate.ts')).runGenerate(argv),
  },
};

const USAGE = `Tailrace receives OpenTelemetry data, samples whole traces, makes metrics from spans and stores it all in ClickHouse.

Usage: tailrace COMMAND [OPTIONS]

${Object.entries(commands)
  .map(([name, command]) => `  ${name.padEnd(11)} ${command.summary}`)
  .join('\n')}

tailrace COMMAND --help tells more.

First steps:
  tailrace standalone --config config/tailrace.yaml
  tailrace generate --rate 500 --duration 10s
  tailrace sql "SELECT ServiceName, count() FROM otel_traces GROUP BY ServiceName"
`;

function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

async function main(argv: string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(USAGE);
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === 'version') {
    process.stdout.write(`${packageVersion()}\n`);
    return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    process.stderr.write(`tailrace: unknown command "${name}"${suggestion(name, Object.keys(commands))}\n`);
    return 2;
  }
  try {
    return await command.run(rest);
  } catch (error) {
    if (error instanceof OperatorError) {
      process.stderr.write(`tailrace: ${error.message}\n  ${error.hint}\n`);
      return 1;
    }
    // node:util parseArgs: the user's own mistake, not ours.
    if (error instanceof TypeError && String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')) {
      process.stderr.write(`tailrace ${name}: ${error.message}\n  tailrace ${name} --help lists the options\n`);
      return 2;
    }
    throw error;
  }
}

process.exitCode = await main(process.argv.slice(2));
