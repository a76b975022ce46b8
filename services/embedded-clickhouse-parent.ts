import { fork, type ChildProcess } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Log } from '../pipelines/base/log.ts';
import { OperatorError } from '../pipelines/base/errors.ts';
import type { ChildMessage } from './embedded-clickhouse.ts';

export interface EmbeddedClickhouseOptions {
  /** The data folder; the engine's files are in `clickhouse/` and `tmp/` below it. */
  readonly directory: string;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly log: Log;
}

export interface EmbeddedClickhouse {
  /** `http://host:port`; stays the same when the child is started again. */
  readonly url: string;
  /** Of the child that runs now. */
  pid(): number | undefined;
  /** Requests under way end, the engine is closed, the process is gone. */
  stop(): Promise<void>;
  /** Rejects when the child cannot be started again. Never resolves. */
  readonly failed: Promise<never>;
}

const program = fileURLToPath(new URL('embedded-clickhouse.ts', import.meta.url));
/** Threads for queries (chdb runs a call on each) and for files. */
const THREADS = '64';
const RESTART_DELAY_MS_MIN = 200;
const RESTART_DELAY_MS_MAX = 10_000;
/** A child that ran this long was well: the delay begins anew. */
const WELL_MS = 60_000;
const STOP_MS = 15_000;
const STDERR_CHARACTERS_MAX = 4_000;

/**
 * Starts ClickHouse in a process of its own (a crash of the engine must not take the receiver along) and keeps it running.
 * @throws OperatorError where the port or the data folder is taken or not to be used
 */
export async function startEmbeddedClickhouse(options: EmbeddedClickhouseOptions): Promise<EmbeddedClickhouse> {
  try {
    await mkdir(options.directory, { recursive: true });
  } catch (error) {
    throw new OperatorError(
      `cannot create the data folder ${options.directory}: ${(error as Error).message}`,
      'Choose another one, or make its parent writable.',
    );
  }
  const started = await spawnChild(options, options.port);
  const supervisor = new Supervisor(options, started);
  return {
    url: `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${started.port}`,
    pid: () => supervisor.pid(),
    stop: () => supervisor.stop(),
    failed: supervisor.failed,
  };
}

interface Started {
  readonly child: ChildProcess;
  readonly port: number;
  readonly exited: Promise<string>;
}

async function spawnChild(options: EmbeddedClickhouseOptions, port: number): Promise<Started> {
  const child = fork(program, [options.directory, options.host, String(port)], {
    execArgv: [],
    env: { ...process.env, UV_THREADPOOL_SIZE: THREADS },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const said = new Stderr(child);
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    child.once('error', (error) => resolve(error.message));
  });
  const answer = await Promise.race([
    new Promise<ChildMessage>((resolve) => child.once('message', (message) => resolve(message as ChildMessage))),
    exited.then((how): ChildMessage => ({ type: 'failed', code: 'exited', message: `its process ended with ${how}` })),
  ]);
  if (answer.type === 'ready') {
    said.passOn(options.log);
    return { child, port: answer.port, exited };
  }
  await exited;
  throw asOperatorError({ code: answer.code, message: `${answer.message} ${said.text()}` }, options);
}

/** What the engine itself prints: the reason, where it does not start; later, lines for the log. */
class Stderr {
  private kept = '';
  private log: Log | undefined;

  constructor(child: ChildProcess) {
    child.stderr?.setEncoding('utf8');
    child.stderr?.on('data', (chunk: string) => {
      if (this.log === undefined) this.kept = (this.kept + chunk).slice(-STDERR_CHARACTERS_MAX);
      else if (chunk.trim() !== '') this.log.warn({ message: chunk.trim() }, 'the embedded ClickHouse says');
    });
  }

  text(): string {
    return this.kept.trim();
  }

  passOn(log: Log): void {
    this.log = log;
  }
}

function asOperatorError(failed: { code: string; message: string }, options: EmbeddedClickhouseOptions): OperatorError {
  if (failed.code === 'EADDRINUSE')
    return new OperatorError(
      `port ${options.port} on ${options.host} is in use, and the embedded ClickHouse wants it for SQL`,
      'Stop what listens there, or set another `tailrace.sql.endpoint` in the configuration.',
    );
  if (failed.code === 'EACCES' || failed.code === 'EADDRNOTAVAIL')
    return new OperatorError(
      `cannot listen on ${options.host}:${options.port} for SQL: ${failed.message}`,
      'Set another `tailrace.sql.endpoint` in the configuration.',
    );
  if (failed.message.includes('Cannot lock file'))
    return new OperatorError(
      `the data folder ${options.directory} is used by another process`,
      'Stop the other tailrace first, or give this one a data folder of its own.',
    );
  return new OperatorError(
    `the embedded ClickHouse does not start on ${options.directory}: ${failed.message.trim()}`,
    'The data folder must be writable, and made by this or an older version.',
  );
}

/** Starts the child again when it ends by itself: the writer retries meanwhile, nothing is lost. */
class Supervisor {
  readonly failed: Promise<never>;
  private readonly options: EmbeddedClickhouseOptions;
  private readonly port: number;
  private current: Started | undefined;
  private stopping = false;
  private wake: () => void = () => {};
  private readonly watching: Promise<void>;

  constructor(options: EmbeddedClickhouseOptions, started: Started) {
    this.options = options;
    this.port = started.port;
    this.current = started;
    let fail: (error: unknown) => void = () => {};
    this.failed = new Promise<never>((_resolve, reject) => (fail = reject));
    // Whoever does not wait for it shall not be ended by it.
    this.failed.catch(() => {});
    this.watching = this.watch(started).catch(fail);
  }

  pid(): number | undefined {
    return this.current?.child.pid;
  }

  async stop(): Promise<void> {
    this.stopping = true;
    this.wake();
    const child = this.current?.child;
    if (child !== undefined) {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await this.watching;
      clearTimeout(late);
    } else await this.watching;
  }

  private async watch(first: Started): Promise<void> {
    let delay_ms = RESTART_DELAY_MS_MIN;
    let started: Started = first;
    for (;;) {
      const since = performance.now();
      const how = await started.exited;
      this.current = undefined;
      if (this.stopping) return;
      if (performance.now() - since > WELL_MS) delay_ms = RESTART_DELAY_MS_MIN;
      for (;;) {
        this.options.log.warn({ how, delay_ms }, 'the embedded ClickHouse ended; starting it again');
        await this.pause(delay_ms);
        delay_ms = Math.min(delay_ms * 2, RESTART_DELAY_MS_MAX);
        if (this.stopping) return;
        try {
          started = await spawnChild(this.options, this.port);
          break;
        } catch (error) {
          if (delay_ms === RESTART_DELAY_MS_MAX) throw error;
        }
      }
      this.current = started;
      // stop() came while it started.
      if (this.stopping) started.child.kill('SIGTERM');
    }
  }

  private pause(delay_ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delay_ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
