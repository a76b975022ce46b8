import { readdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import type { Bench, BenchResult, Scale } from './bench.ts';

/**
 * node test/bench/run.ts [--smoke] [--only TEXT] [--runs N] [--write]
 *
 * --smoke   every bench once, small: does it still run, and what is its hash. Part of `npm test`.
 * --only    benches whose name holds TEXT
 * --runs    timed runs a bench after the warm-up, at least 3 (default 5)
 * --write   the table goes to docs/benchmarks.md as well
 *
 * Exits 1 when a bench throws, when its hash differs from one run to the next, or when no bench was found.
 * Progress on stderr, the table on stdout.
 */
const RUNS_MIN = 3;
const here = new URL('.', import.meta.url);

export interface Timing {
  readonly name: string;
  readonly unit: string;
  readonly items: number;
  readonly hash: string;
  /** Medians over the runs. */
  readonly itemsPerSecond: number;
  readonly item_ns: number;
  readonly cpuPerMillion_s: number;
  /** (slowest − fastest) / median: how far to trust the rest. */
  readonly spread: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Every bench of every test/bench/*.bench.ts, in the order of file names. @throws on a file without benches or a name used twice */
export async function loadBenches(folder: URL): Promise<Bench[]> {
  const files = readdirSync(folder)
    .filter((file) => file.endsWith('.bench.ts'))
    .sort();
  const found: Bench[] = [];
  for (const file of files) {
    const module = (await import(new URL(file, folder).href)) as { benches?: Bench[] };
    if (module.benches === undefined || module.benches.length === 0) throw new Error(`${file} exports no benches`);
    for (const bench of module.benches) {
      if (found.some((other) => other.name === bench.name)) throw new Error(`two benches are called "${bench.name}"`);
      found.push(bench);
    }
  }
  return found;
}

function check(bench: Bench, result: BenchResult, before: BenchResult | undefined): void {
  if (!(result.items > 0)) throw new Error(`${bench.name}: no items processed`);
  if (!/^[0-9a-f]+$/.test(result.hash)) throw new Error(`${bench.name}: "${result.hash}" is no hexadecimal hash`);
  if (before !== undefined && before.hash !== result.hash) {
    throw new Error(`${bench.name}: hash ${result.hash} after ${before.hash}: the work is not the same every time`);
  }
  if (before !== undefined && before.items !== result.items) throw new Error(`${bench.name}: ${result.items} items after ${before.items}`);
}

/** One warm-up, then `runs` timed runs. @throws when the bench throws or its result changes */
export function time(bench: Bench, scale: Scale, runs: number, progress: (text: string) => void): Timing {
  bench.prepare?.(scale);
  let last = bench.run(scale);
  check(bench, last, undefined);
  const wall_s: number[] = [];
  const cpu_s: number[] = [];
  for (let run = 0; run < runs; run++) {
    const cpuBefore = process.cpuUsage();
    const from = process.hrtime.bigint();
    const result = bench.run(scale);
    wall_s.push(Number(process.hrtime.bigint() - from) / 1e9);
    const cpu = process.cpuUsage(cpuBefore);
    cpu_s.push((cpu.user + cpu.system) / 1e6);
    check(bench, result, last);
    last = result;
    progress(`${bench.name}: run ${run + 1} of ${runs}, ${wall_s.at(-1)!.toFixed(2)} s`);
  }
  const wall = median(wall_s);
  return {
    name: bench.name,
    unit: bench.unit,
    items: last.items,
    hash: last.hash,
    itemsPerSecond: last.items / wall,
    item_ns: (wall * 1e9) / last.items,
    cpuPerMillion_s: (median(cpu_s) * 1e6) / last.items,
    spread: (Math.max(...wall_s) - Math.min(...wall_s)) / wall,
  };
}

export function table(timings: readonly Timing[], machine: string): string {
  const rows = timings.map(
    (t) =>
      `| ${t.name} | ${t.unit} | ${t.items.toLocaleString('en')} | ${Math.round(t.itemsPerSecond).toLocaleString('en')} | ` +
      `${t.item_ns.toFixed(0)} | ${t.cpuPerMillion_s.toFixed(2)} | ${(t.spread * 100).toFixed(0)} % | ${t.hash} |`,
  );
  return [
    machine,
    '',
    '| bench | item | items a run | items/s (median) | ns an item | CPU s per million | spread | hash |',
    '|---|---|--:|--:|--:|--:|--:|---|',
    ...rows,
    '',
  ].join('\n');
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      smoke: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      runs: { type: 'string', default: '5' },
      write: { type: 'boolean', default: false },
    },
  });
  const note = (text: string): void => {
    process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
  };
  const benches = (await loadBenches(here)).filter((bench) => bench.name.includes(values.only));
  if (benches.length === 0) {
    process.stderr.write(`no benches ${values.only === '' ? 'in test/bench' : `whose name holds "${values.only}"`}\n`);
    return 1;
  }
  if (values.smoke) {
    for (const bench of benches) {
      bench.prepare?.('smoke');
      const result = bench.run('smoke');
      check(bench, result, undefined);
      process.stdout.write(`${bench.name}: ${result.items} ${bench.unit}s, hash ${result.hash}\n`);
    }
    process.stdout.write(`${benches.length} benches ran\n`);
    return 0;
  }
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < RUNS_MIN) throw new Error(`--runs ${values.runs}: at least ${RUNS_MIN}`);
  const timings = benches.map((bench) => time(bench, 'full', runs, note));
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  const machine = `${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} cores, ${process.platform} ${process.arch}, Node ${process.versions.node}, ${runs} runs each`;
  const text = table(timings, machine);
  process.stdout.write(text);
  if (values.write) {
    writeFileSync(new URL('../../docs/benchmarks.md', here), `# Benchmarks\n\nWritten by \`npm run bench -- --write\`.\n\n${text}`);
  }
  return 0;
}

if (import.meta.main) process.exitCode = await main();
