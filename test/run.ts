import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';

/**
 * `npm test`: the rings, one after the other, each in processes of its own. `npm test -- unit sim` runs those only.
 * A ring that ran no test is a failure, and so is a skipped test under CI. Ends with `N passed, N failed`.
 */
interface Ring {
  readonly name: string;
  readonly files?: readonly string[];
  readonly options?: readonly string[];
  /** Instead of node's test runner: commands that pass by exit code, one test each. */
  readonly commands?: readonly (readonly string[])[];
}

const rooms = [
  'base',
  'wire',
  'otlp',
  'topic',
  'receive',
  'process',
  'sample',
  'aggregate',
  'encode',
  'store',
  'config',
  'services',
  'deploy',
];
const ALLOCATION = 'test/*/allocation.test.ts';

const rings: readonly Ring[] = [
  {
    name: 'tidy',
    commands: [
      // The lock: npm ci refuses one that lacks the optional packages of other platforms (test/tidy/complete-lock.ts).
      ['npm', 'ci', '--dry-run', '--ignore-scripts'],
      ['tsc', '--noEmit'],
      ['oxlint', '--type-aware'],
      ['oxfmt', '--check'],
      ['knip'],
      ['node', 'services/launch.js', 'check', 'config/tailrace.yaml'],
    ],
    files: ['test/tidy/*.test.ts'],
  },
  { name: 'unit', files: rooms.map((room) => `test/${room}/**/*.test.ts`), options: ['--test-isolation=none'] },
  // In processes of their own: code that other tests have called with other shapes boxes numbers that it otherwise would not.
  { name: 'allocation', files: [ALLOCATION], options: ['--test-concurrency=1'] },
  { name: 'sim', files: ['test/sim/**/*.test.ts'] },
  { name: 'system', files: ['test/system/**/*.test.ts'], options: ['--test-concurrency=1', '--test-timeout=300000'] },
  { name: 'bench', commands: [['node', 'test/bench/run.ts', '--smoke']] },
];

let passed = 0;
let failed = 0;
let skipped = 0;

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !rings.some((ring) => ring.name === name));
if (unknown.length > 0) {
  process.stderr.write(`unknown ring ${unknown.join(', ')}; there are ${rings.map((ring) => ring.name).join(', ')}\n`);
  process.exit(2);
}
for (const ring of rings) {
  if (asked.length > 0 && !asked.includes(ring.name)) continue;
  const started = performance.now();
  const before = passed + failed;
  process.stdout.write(`\n=== ${ring.name}\n`);
  for (const command of ring.commands ?? []) {
    const { code } = await run(command);
    if (code === 0) passed++;
    else {
      failed++;
      process.stdout.write(`FAILED: ${command.join(' ')} (exit ${code})\n`);
    }
  }
  if (ring.files !== undefined) await runTests(ring);
  if (passed + failed === before) {
    failed++;
    process.stdout.write(`FAILED: ring ${ring.name} ran nothing\n`);
  }
  process.stdout.write(`=== ${ring.name}: ${passed + failed - before} in ${((performance.now() - started) / 1000).toFixed(0)} s\n`);
}
if (skipped > 0 && process.env['CI'] !== undefined) {
  failed += skipped;
  process.stdout.write(`FAILED: ${skipped} skipped under CI\n`);
}
process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`);
process.exitCode = failed === 0 ? 0 : 1;

async function runTests(ring: Ring): Promise<void> {
  for (const pattern of ring.files!) if (globSync(pattern).length === 0) process.stdout.write(`nothing matches ${pattern}\n`);
  const apart = ring.files!.includes(ALLOCATION) ? [] : globSync(ALLOCATION);
  const files = ring
    .files!.flatMap((pattern) => globSync(pattern))
    .filter((file) => !apart.includes(file))
    .toSorted();
  if (files.length === 0) return;
  const { code, output } = await run(['node', '--test', '--test-reporter=spec', ...(ring.options ?? []), ...files]);
  const count = (word: string): number => Number(new RegExp(`^ℹ ${word} (\\d+)$`, 'm').exec(output)?.[1] ?? 0);
  passed += count('pass');
  failed += count('fail') + count('cancelled');
  skipped += count('skipped') + count('todo');
  if (code !== 0 && count('fail') + count('cancelled') === 0) {
    failed++;
    process.stdout.write(`FAILED: ring ${ring.name} ended with exit ${code}\n`);
  }
}

function run(command: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, FORCE_COLOR: '0' } });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      process.stdout.write(chunk);
    });
    child.on('error', (error) => {
      process.stdout.write(`${String(error)}\n`);
      resolve({ code: 127, output });
    });
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}
