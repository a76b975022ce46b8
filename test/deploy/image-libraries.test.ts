import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { lineage, parseDockerfile } from './dockerfile.ts';
import { read, repository } from './strict-yaml.ts';

// In every Debian image, as libc6 is: all else must be installed. (Node wants libatomic1 since 25, which debian:…-slim lacks.)
const LIBC = /^(?:linux-vdso|ld-linux|libc|libm|libdl|libpthread|librt)\b/;
const PACKAGES: Record<string, string> = { 'libatomic.so.1': 'libatomic1', 'libgcc_s.so.1': 'libgcc-s1', 'libstdc++.so.6': 'libstdc++6' };

/** Libraries that the pinned Node is linked with, and that `installed` does not bring. */
function missingLibraries(installed: string): string[] {
  const { stdout, status } = spawnSync('ldd', [`${repository}/node_modules/node/bin/node`], { encoding: 'utf8' });
  assert.equal(status, 0, 'ldd');
  const names = [...stdout.matchAll(/^\s*(?:\S*\/)?([\w.+-]+\.so[\w.]*)/gm)].map((match) => match[1]!);
  assert.ok(names.length >= 3, stdout);
  const words = installed.split(/\s+/);
  return names.filter((name) => !LIBC.test(name) && !words.includes(PACKAGES[name] ?? ''));
}

test(
  'Dockerfile: the image has every library that the pinned Node is linked with',
  { skip: process.platform !== 'linux' && 'reads ELF files' },
  () => {
    const stages = parseDockerfile(read('Dockerfile'));
    for (const name of ['cluster', 'standalone']) {
      const apt = lineage(stages, name).find(({ word, args }) => word === 'RUN' && args.includes('apt-get'));
      assert.deepEqual(missingLibraries(apt?.args.join(' ') ?? ''), [], name);
    }
    assert.ok(missingLibraries('').length > 0, 'the check finds nothing when nothing is installed');
  },
);
