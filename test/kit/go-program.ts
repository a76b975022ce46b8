import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

const root = new URL('../../', import.meta.url).pathname;
const run = promisify(execFile);

interface GoProgram {
  readonly module: string;
  readonly version: string;
  /** What `go install` calls it. */
  readonly binary: string;
}

export const kustomize: GoProgram = { module: 'sigs.k8s.io/kustomize/kustomize/v5', version: 'v5.8.1', binary: 'kustomize' };
/** The parser that Docker Compose is built on: reads a file as `docker compose config` does. */
export const composeParser: GoProgram = { module: 'github.com/compose-spec/compose-go/v2/cmd', version: 'v2.16.2', binary: 'cmd' };

/**
 * The path of a program from the Go module proxy, built once into .cache (under a minute). Where there is no Go: undefined, and the test is
 * skipped with a loud line, which under CI is a failure.
 */
export async function goProgram(context: TestContext, { module, version, binary }: GoProgram): Promise<string | undefined> {
  const folder = join(root, '.cache', `${module.replaceAll('/', '_')}-${version}`);
  const path = join(folder, binary);
  if (existsSync(path)) return path;
  if (!hasGo()) {
    const words = `NOT CHECKED: there is no Go to build ${module}@${version} with`;
    if (process.env['CI'] !== undefined) throw new Error(words);
    process.stderr.write(`\n${words}\n`);
    context.skip(words);
    return undefined;
  }
  // Elsewhere first: a build that was broken off must not look like one that is done.
  const part = mkdtempSync(join(tmpdir(), 'tailrace-go-'));
  await run('go', ['install', `${module}@${version}`], { env: { ...process.env, GOBIN: part, GOFLAGS: '' }, cwd: part });
  mkdirSync(join(root, '.cache'), { recursive: true });
  rmSync(folder, { recursive: true, force: true });
  execFileSync('mv', [part, folder]);
  return path;
}

/** What a program prints, run in the repository; rejects with its own words where it fails. */
export async function outputOf(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(program, [...args], { maxBuffer: 16_777_216, cwd: root });
  return stdout;
}

function hasGo(): boolean {
  try {
    execFileSync('go', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
