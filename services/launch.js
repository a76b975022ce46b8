#!/usr/bin/env node
// The bin of the package. Any Node can read this file; the rest is TypeScript, which needs the pinned one (npm package `node`).
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const PINNED_MAJOR = 26;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

if (Number(process.versions.node.split('.')[0]) >= PINNED_MAJOR) {
  await import('./tailrace.ts');
} else {
  const child = spawn(here('../node_modules/node/bin/node'), [here('launch.js'), ...process.argv.slice(2)], { stdio: 'inherit' });
  // The terminal sends Ctrl-C to both: the child drains and ends, and this process ends as it did.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => signal !== 'SIGINT' && child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`tailrace: the pinned Node is not installed (${error.message}): run npm ci in the project's folder\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}
