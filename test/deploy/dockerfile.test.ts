import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadConfig } from '../../config/load.ts';
import { dockerfileProblems, inContext, lineage, parseDockerfile } from './dockerfile.ts';
import { factsOf, pipelineText, tailraceCommands } from './facts.ts';
import { at, read, repository, type Value } from './strict-yaml.ts';

/** The Dockerfile as Docker would read it. It is not built here: there is no Docker. */

const FINALS = ['cluster', 'standalone'];
const file = read('Dockerfile');
const ignore = read('.dockerignore');
const stages = parseDockerfile(file);
const facts = factsOf(pipelineText(), {});

/** ENV of a final stage. */
function environment(name: string): Record<string, string> {
  const pairs = lineage(stages, name)
    .filter(({ word }) => word === 'ENV')
    .flatMap(({ args }) => args);
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
}

const last = (name: string, word: string): readonly string[] => lineage(stages, name).findLast((one) => one.word === word)?.args ?? [];

test('Dockerfile: stages, images, sources, users', () => {
  assert.deepEqual(dockerfileProblems(stages, FINALS, ignore), []);
  assert.equal(stages.at(-1)!.name, 'standalone', 'a build without --target is for standalone');
});

test('Dockerfile: the code that is copied is the code that runs, and nothing else', () => {
  const copied = lineage(stages, 'standalone')
    .filter(({ word, flags }) => word === 'COPY' && flags.length === 0)
    .flatMap(({ args }) => args.slice(0, -1));
  for (const folder of ['services', 'pipelines', 'config', 'package.json']) assert.ok(copied.includes(folder), folder);
  for (const path of ['test', 'node_modules', 'data', '.git', 'docs', 'k8s']) {
    assert.ok(!copied.includes(path), path);
    assert.equal(inContext(path, ignore), false, `${path} is sent to Docker`);
  }
});

test('Dockerfile: the entry point is the pinned Node with the launcher, where the copies put them', () => {
  for (const name of FINALS) {
    const [node, launcher] = last(name, 'ENTRYPOINT');
    assert.deepEqual([node, launcher], ['/app/node_modules/node/bin/node', '/app/services/launch.js']);
    assert.equal(last(name, 'WORKDIR')[0], '/app');
    assert.ok(existsSync(`${repository}${launcher!.replace('/app', '')}`));
    assert.ok(existsSync(`${repository}${node!.replace('/app', '')}`), 'npm ci puts Node there');
  }
});

test('Dockerfile: dependencies come from the lock, without those for development, and scripts run (they fetch Node)', () => {
  const run = lineage(stages, 'dependencies')
    .find(({ word }) => word === 'RUN')!
    .args.join(' ');
  assert.match(run, /npm ci .*--omit=dev/);
  assert.doesNotMatch(run, /ignore-scripts/);
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
  assert.ok(dependencies['node'] !== undefined && dependencies['chdb'] !== undefined);
});

test('Dockerfile: the image for a cluster has everything but the embedded ClickHouse', () => {
  const removed = lineage(stages, 'dependencies-cluster')
    .findLast(({ word }) => word === 'RUN')!
    .args.join(' ');
  assert.equal(removed, 'rm -rf node_modules/chdb node_modules/@chdb');
  for (const path of removed.split(' ').slice(2)) assert.ok(existsSync(`${repository}/${path}`), `${path} is not there`);
  const from = (name: string): string[] =>
    lineage(stages, name)
      .filter(({ flags }) => flags.length > 0)
      .flatMap(({ flags }) => flags.filter((flag) => flag.startsWith('--from=')));
  assert.deepEqual(from('cluster'), ['--from=dependencies-cluster']);
  assert.deepEqual(from('standalone'), ['--from=dependencies']);
});

test('Dockerfile: only what needs the embedded ClickHouse imports it', () => {
  // The roles must start without chdb: the one file that imports it is loaded by standalone alone.
  const importers = ['services/roles.ts', 'services/role.ts', 'services/query.ts', 'services/connected-store.ts'];
  for (const path of importers)
    assert.doesNotMatch(readFileSync(`${repository}/${path}`, 'utf8'), /chdb-engine|embedded-clickhouse\.ts|from 'chdb'/, path);
});

test('Dockerfile: exposed ports are those that the code listens on', () => {
  const { ports } = facts;
  for (const name of FINALS) assert.deepEqual(last(name, 'EXPOSE').toSorted(), Object.values(ports).map(String).toSorted());
});

test('Dockerfile: the health check asks what the code serves', () => {
  const check = last('cluster', 'HEALTHCHECK');
  assert.equal(check[0], '/app/node_modules/node/bin/node');
  assert.equal(check[1], '-e');
  assert.ok(check[2]!.includes(`http://127.0.0.1:${facts.ports.health}/healthz`), 'another address');
  // That it is a script: the fetch of nothing answers 1, a script with a fault 1 and its words.
  const { status, stderr } = spawnSync(process.execPath, ['-e', check[2]!.replace(`:${facts.ports.health}`, ':9')], { encoding: 'utf8' });
  assert.deepEqual([status, stderr], [1, '']);
});

test('Dockerfile: standalone listens beyond the container, but not with the SQL of an engine that asks for no password', () => {
  const command = last('standalone', 'CMD');
  assert.ok(tailraceCommands().has(command[0]!));
  assert.deepEqual([command[1], command[2]], ['--config', '/app/config/tailrace.yaml']);
  const { config } = loadConfig(`${repository}/config/tailrace.yaml`, environment('standalone'));
  assert.equal(config!.tailrace.data_dir, '/data');
  assert.deepEqual(last('standalone', 'VOLUME'), ['/data']);
  assert.equal(config!.service.telemetry.metrics.address, `0.0.0.0:${facts.ports.health}`);
  assert.deepEqual(at(config!.receivers.get('otlp') as Value, 'protocols.grpc.endpoint'), '0.0.0.0:4317');
  assert.deepEqual(at(config!.receivers.get('otlp') as Value, 'protocols.http.endpoint'), '0.0.0.0:4318');
  assert.match(config!.tailrace.sql.endpoint, /^127\.0\.0\.1:/);
});

test('Dockerfile: what is written goes to /data and /tmp', () => {
  for (const name of FINALS) {
    const { NODE_COMPILE_CACHE, TAILRACE_DATA } = environment(name);
    assert.match(NODE_COMPILE_CACHE!, /^\/tmp\//);
    assert.equal(TAILRACE_DATA, '/data');
  }
});

const spoilt: readonly (readonly [string, RegExp | string, string, RegExp])[] = [
  ['an image without a version', /^FROM debian:\S+/m, 'FROM debian:stable-slim', /image debian:stable-slim is not pinned/],
  ['a source that is not there', 'COPY services ./services', 'COPY service ./services', /COPY of service, which is not there/],
  ['a source that the context leaves out', 'COPY services ./services', 'COPY docs ./docs', /\.dockerignore leaves out docs/],
  ['a stage that is not there', '--from=dependencies-cluster', '--from=dependencies-small', /no earlier stage/],
  ['root', /^USER .*$/m, 'USER root', /runs as root/],
  ['a user by name', /^USER .*$/m, 'USER tailrace', /runs as tailrace/],
  ['a shell before the process', /^ENTRYPOINT .*$/m, 'ENTRYPOINT node services/launch.js', /ENTRYPOINT is missing, or a shell/],
];

for (const [what, find, put, said] of spoilt) {
  test(`Dockerfile: the check finds ${what}`, () => {
    const text = file.replace(find, put);
    assert.notEqual(text, file);
    assert.match(dockerfileProblems(parseDockerfile(text), FINALS, ignore).join('\n'), said);
  });
}

test('Dockerfile: the parser refuses what Docker would', () => {
  for (const text of [
    'RUN true',
    'FROM a:1.0 AS a\nCOPPY x y',
    'FROM a:1.0 AS a\nFROM b:1.0 AS a',
    '# nothing',
    'FROM a:1.0 AS a\nCMD ["a",]',
  ])
    assert.throws(() => parseDockerfile(text), text);
});
