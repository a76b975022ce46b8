import { wallClock } from '../pipelines/base/clock.ts';
import { UsageError, type GenerateOptions, parseOptions, usage } from './generate-options.ts';
import { Payloads } from './generate-payloads.ts';
import { Random } from './generate-random.ts';
import { createReport, isClean, progressLine, summary } from './generate-report.ts';
import { GeneratorRun } from './generate-run.ts';
import { createSender } from './generate-sender.ts';

/** The terminal, handed in. */
export interface Terminal {
  /** The answer: the summary, the help. */
  out(text: string): void;
  /** What goes on: progress, mistakes. */
  note(text: string): void;
  /** Whether notes go to a terminal that can rewrite a line. */
  readonly rewrites: boolean;
  /** Calls `stop` at every Ctrl-C until the returned function is called. */
  onInterrupt(stop: () => void): () => void;
}

const PROGRESS_MS = 500;
const PROGRESS_PLAIN_MS = 5000;

const processTerminal: Terminal = {
  out: (text) => process.stdout.write(text),
  note: (text) => process.stderr.write(text),
  rewrites: process.stderr.isTTY,
  onInterrupt: (stop) => {
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
    return () => {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
    };
  },
};

/**
 * `tailrace generate`: sends traces of a service mesh and says what was acknowledged. Returns the exit code: 0 when
 * everything was acknowledged, 1 when anything was refused or not acknowledged, 2 for a mistake in the options.
 */
export async function runGenerate(argv: string[], terminal: Terminal = processTerminal): Promise<number> {
  let options: GenerateOptions | 'help';
  try {
    options = parseOptions(argv);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    terminal.note(`tailrace generate: ${error.message}\n  tailrace generate --help lists the options\n`);
    return 2;
  }
  if (options === 'help') {
    terminal.out(usage());
    return 0;
  }
  return generate(options, terminal);
}

async function generate(options: GenerateOptions, terminal: Terminal): Promise<number> {
  const { target, gzip, headers, seed } = options;
  const payloads = new Payloads(options, () => wallClock.now_ms());
  const stopping = new AbortController();
  const run = new GeneratorRun({ ...options, signal: stopping.signal }, payloads, wallClock, new Random(seed));
  const senders = Array.from({ length: options.connections }, () => createSender({ target, gzip, headers }));
  const left = Promise.withResolvers<void>();
  const listening = terminal.onInterrupt(() => {
    if (stopping.signal.aborted) left.resolve();
    else if (run.tally.spans.inFlight > 0) terminal.note('\nstopping: waiting for the answers under way; Ctrl-C again to leave at once\n');
    stopping.abort();
  });
  const stopProgress = showProgress(run, terminal);
  try {
    await Promise.race([run.run(senders), left.promise]);
  } finally {
    stopProgress();
    listening();
    for (const sender of senders) sender.close();
  }
  const report = createReport(run.tally, run.elapsed_ms(), target.address, seed);
  terminal.out(options.json ? `${JSON.stringify(report)}\n` : summary(report));
  return isClean(report) ? 0 : 1;
}

/** A line that is rewritten twice a second, or a new line every five seconds where it cannot be. */
function showProgress(run: GeneratorRun, terminal: Terminal): () => void {
  const interval_ms = terminal.rewrites ? PROGRESS_MS : PROGRESS_PLAIN_MS;
  let acknowledged = 0;
  const timer = setInterval(() => {
    const line = progressLine(run.tally, run.elapsed_ms(), acknowledged, interval_ms);
    acknowledged = run.tally.spans.acknowledged;
    terminal.note(terminal.rewrites ? `\r\x1b[K${line}` : `${line}\n`);
  }, interval_ms);
  return () => {
    clearInterval(timer);
    if (terminal.rewrites) terminal.note('\r\x1b[K');
  };
}
