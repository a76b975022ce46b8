import { readFileSync, unwatchFile, watchFile, type Stats } from 'node:fs';
import { formatProblems, loadConfig } from '../config/load.ts';
import { planPipelines, type Plan } from '../config/plan.ts';
import type { Config } from '../config/schema.ts';

export interface NextFile {
  readonly config: Config;
  readonly plan: Plan;
}

// Kubernetes swaps a symbolic link when a ConfigMap changes: watching the directory entry would miss that, asking for the file's state does not.
const WATCH_EVERY_MS = 2_000;

/** What a running process cannot change: it would have to move its data or its own address. */
function fixed(config: Config): Record<string, unknown> {
  return {
    'tailrace.data_dir': config.tailrace.data_dir,
    'tailrace.sql.endpoint': config.tailrace.sql.endpoint,
    'service.telemetry.metrics.address': config.service.telemetry.metrics.address,
  };
}

/** Good new versions of the pipeline file, one at a time, after SIGHUP or a change of the file. Bad ones are reported on stderr and passed over. */
export class Reloads {
  private readonly file: string;
  private readonly current: () => Config;
  private waiting: PromiseWithResolvers<NextFile> = Promise.withResolvers();
  /** Of the version that was looked at last: a signal after a change, or a change of the time alone, does not make it new. */
  private seen: string | undefined;
  private readonly onSignal = (): void => this.check('SIGHUP');
  private readonly onChange = (now: Stats, before: Stats): void => {
    if ((now.mtimeMs !== before.mtimeMs || now.ino !== before.ino) && this.text() !== this.seen) this.check('the file changed');
  };

  constructor(file: string, current: () => Config) {
    this.file = file;
    this.current = current;
    this.seen = this.text();
    process.on('SIGHUP', this.onSignal);
    watchFile(file, { interval: WATCH_EVERY_MS, persistent: false }, this.onChange);
  }

  next(): Promise<NextFile> {
    return this.waiting.promise;
  }

  close(): void {
    process.off('SIGHUP', this.onSignal);
    unwatchFile(this.file, this.onChange);
  }

  private text(): string | undefined {
    try {
      return readFileSync(this.file, 'utf8');
    } catch {
      return undefined;
    }
  }

  private check(why: string): void {
    const refuse = (problem: string): void =>
      void process.stderr.write(`${why}: ${this.file} is not taken, the old one goes on\n${problem}`);
    this.seen = this.text();
    try {
      const { config, problems } = loadConfig(this.file);
      if (config === undefined) return refuse(formatProblems(this.file, problems));
      const before = fixed(this.current());
      const changed = Object.entries(fixed(config)).filter(([name, value]) => value !== before[name]);
      if (changed.length > 0)
        return refuse(`${changed.map(([name]) => name).join(', ')} cannot change while the process runs: restart it\n`);
      const { resolve } = this.waiting;
      // A version that came while the one before is still starting is the next one.
      this.waiting = Promise.withResolvers();
      resolve({ config, plan: planPipelines(config) });
    } catch (error) {
      refuse(`${(error as Error).message}\n`);
    }
  }
}
