import { readFileSync, writeFileSync } from 'node:fs';

/**
 * node test/tidy/complete-lock.ts: after `npm install`, adds to package-lock.json the optional packages of other platforms that the
 * registry in use did not serve. Without them npm leaves them out of the lock, and `npm ci` then refuses it ("Missing: … from lock file").
 * They are never fetched on this platform; where they are, npm takes the version that their parent names.
 */
interface Entry {
  version?: string;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

const path = new URL('../../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(path, 'utf8')) as { packages: Record<string, Entry> };
const OSES = ['darwin', 'linux', 'win32', 'android', 'freebsd', 'openharmony'];
const CPUS = ['arm64', 'x64', 'arm', 'ppc64', 'riscv64', 's390x', 'ia32'];

let added = 0;
for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (Object.keys(lock.packages).some((key) => key.endsWith(`node_modules/${name}`))) continue;
    const words = name.slice(name.indexOf('/') + 1).split('-');
    const os = OSES.filter((one) => words.includes(one));
    const cpu = CPUS.filter((one) => words.includes(one));
    // 'linux-arm-gnueabihf' is arm; a name without a platform is one that could be wanted here.
    if (os.length === 0 || cpu.length === 0) throw new Error(`${name}: no platform in its name`);
    const libc = words.includes('musl') ? { libc: ['musl'] } : words.includes('gnu') ? { libc: ['glibc'] } : {};
    lock.packages[`node_modules/${name}`] = { version, cpu, ...libc, optional: true, os };
    added++;
  }
}
const [first, ...rest] = Object.keys(lock.packages);
lock.packages = Object.fromEntries([first!, ...rest.toSorted()].map((key) => [key, lock.packages[key]!]));
if (added > 0) writeFileSync(path, `${JSON.stringify(lock, undefined, 2)}\n`);
process.stdout.write(`${added} packages of other platforms added\n`);
