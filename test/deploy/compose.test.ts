import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { loadConfig } from '../../config/load.ts';
import { lineage, parseDockerfile } from './dockerfile.ts';
import { factsOf, PIPELINE, pipelineText, tailraceCommands } from './facts.ts';
import { bytesOf, ROLES, unpinned } from './pod-checks.ts';
import { at, list, parseStrict, read, repository, shown, type Value } from './strict-yaml.ts';

/** docker-compose.yml and deploy/: names, ports, commands and conditions agree with each other and with the code. (test/system/deploy.test.ts: Compose's own parser.) */

const text = read('docker-compose.yml');
const stages = parseDockerfile(read('Dockerfile'));

interface Project {
  readonly services: Record<string, Value>;
  readonly volumes: Record<string, unknown>;
}

const parse = (source: string): Project => parseStrict(source, 'docker-compose.yml')[0] as unknown as Project;
const strings = (value: unknown, path: string): string[] => (at(value, path) ?? []) as string[];

/** Whether a service can ever become healthy: by its own check, or by that of the image that is built here. */
function hasHealth(service: Value): boolean {
  if (at(service, 'healthcheck.disable') === true) return false;
  const target = at(service, 'build.target');
  return (
    at(service, 'healthcheck.test') !== undefined ||
    (typeof target === 'string' && lineage(stages, target).some(({ word }) => word === 'HEALTHCHECK'))
  );
}

/** The port inside the container of `127.0.0.1:3000:3000`. */
const inside = (port: string): number => Number(port.slice(port.lastIndexOf(':') + 1));

function projectProblems({ services, volumes }: Project): string[] {
  const problems: string[] = [];
  const facts = factsOf(pipelineText(), environmentOf(services['ingest']));
  const served: Record<string, number[]> = { ingest: [facts.ports.grpc, facts.ports.http], query: [facts.ports.sql] };
  for (const [name, service] of Object.entries(services)) {
    const need = (holds: boolean, what: string): void => void (holds || problems.push(`${name}: ${what}`));
    const target = at(service, 'build.target');
    if (target === undefined) need(!unpinned(service['image']), `image ${String(service['image'])} is not pinned`);
    else
      need(
        stages.some((stage) => stage.name === target),
        `the Dockerfile has no stage ${shown(target)}`,
      );
    for (const [other, { condition }] of Object.entries((service['depends_on'] ?? {}) as Record<string, { condition: string }>)) {
      const dependency = services[other];
      if (dependency === undefined) need(false, `depends on ${other}, which is not there`);
      else if (condition === 'service_healthy') need(hasHealth(dependency), `waits for ${other} to be healthy, which has no check`);
      else
        need(
          condition === 'service_completed_successfully' && dependency['restart'] === 'on-failure',
          `waits for ${other} to end, which does not`,
        );
    }
    for (const mount of strings(service, 'volumes')) {
      const source = mount.split(':')[0]!;
      if (source.startsWith('.'))
        need(existsSync(`${repository}/${source}`) && mount.endsWith(':ro'), `${mount} is not there, or can be written`);
      else need(Object.hasOwn(volumes, source), `there is no volume ${source}`);
    }
    // Nothing of this is for others on the network: there are no passwords worth the name.
    for (const port of strings(service, 'ports')) need(port.startsWith('127.0.0.1:'), `port ${port} is open to the network`);
    if (served[name] !== undefined)
      need(strings(service, 'ports').map(inside).join() === served[name].join(), `publishes other ports than ${served[name].join()}`);
    need(
      bytesOf(at(service, 'deploy.resources.limits.memory')) > 0 && Number(at(service, 'deploy.resources.limits.cpus')) > 0,
      'no limits',
    );
    need(['unless-stopped', 'on-failure'].includes(String(service['restart'])), 'no restart policy');
    need(hasHealth(service) || at(service, 'healthcheck.disable') === true, 'no health check');
    if (target === undefined) continue;
    need(
      service['read_only'] === true &&
        strings(service, 'cap_drop').join() === 'ALL' &&
        strings(service, 'security_opt').join() === 'no-new-privileges:true',
      'not hardened',
    );
    need(
      strings(service, 'tmpfs').some((mount) => mount.startsWith('/tmp')),
      'nowhere for the compile cache',
    );
    if (service['entrypoint'] !== undefined) continue;
    const [command, flag, path] = strings(service, 'command');
    need(tailraceCommands().has(command!), `tailrace has no command ${String(command)}`);
    need(command === name, `runs ${String(command)}`);
    need(
      flag === '--config' && strings(service, 'volumes').some((mount) => mount === `./${PIPELINE}:${path}:ro`),
      `${String(path)} is not the mounted pipeline file`,
    );
    for (const variable of Object.keys(environmentOf(service)))
      need(facts.environment.names.has(variable), `the pipeline file does not read ${variable}`);
    need(Number.parseInt(String(service['stop_grace_period']), 10) > facts.drain_s, 'is killed before it has drained');
  }
  return problems;
}

const environmentOf = (service: Value | undefined): Record<string, string> => (service?.['environment'] ?? {}) as Record<string, string>;

const project = parse(text);

test('compose: the whole line is there, with what it needs and something to look at', () => {
  const names = Object.keys(project.services);
  for (const name of [...ROLES, 'topics', 'migrate', 'kafka', 'redis', 'clickhouse', 'grafana', 'edge'])
    assert.ok(names.includes(name), name);
});

test('compose: services, conditions, volumes, ports, limits, commands and the environment', () => {
  assert.deepEqual(projectProblems(project), []);
});

const spoilt: readonly (readonly [string, string, string, RegExp])[] = [
  [
    'an image that may be another tomorrow',
    'image: redis:7.4.2-bookworm',
    'image: redis:latest',
    /redis: image redis:latest is not pinned/,
  ],
  ['a service that is not there', 'edge: { condition: service_healthy }', 'edgy: { condition: service_healthy }', /load: depends on edgy/],
  [
    'waiting for health that nobody checks',
    'shop: { condition: service_healthy }',
    'load: { condition: service_healthy }',
    /edge: waits for load to be healthy/,
  ],
  [
    'waiting for an end that never comes',
    'topics: { condition: service_completed_successfully }',
    'ingest: { condition: service_completed_successfully }',
    /waits for ingest to end/,
  ],
  ['a file that is not there', './deploy/envoy/envoy.yaml', './deploy/envoy/edge.yaml', /edge: .*is not there/],
  ['a volume that is not declared', "['redis:/data']", "['cache:/data']", /redis: there is no volume cache/],
  ['a port open to the network', "'127.0.0.1:3000:3000'", "'3000:3000'", /grafana: port 3000:3000 is open/],
  ['another port than the role listens on', '127.0.0.1:4317:4317', '127.0.0.1:4317:4316', /ingest: publishes other ports/],
  ['a command that is not there', 'command: [write,', 'command: [wirte,', /write: tailrace has no command wirte/],
  ['a variable that is not read', 'TAILRACE_REDIS_URL: ', 'TAILRACE_REDIS: ', /the pipeline file does not read TAILRACE_REDIS$/m],
  ['a stop before the drain is over', 'stop_grace_period: 60s', 'stop_grace_period: 20s', /is killed before/],
  ['a root file system that can be written', 'read_only: true', 'read_only: false', /ingest: not hardened/],
];

for (const [what, find, put, said] of spoilt) {
  test(`compose: the check finds ${what}`, () => {
    const changed = text.replaceAll(find, put);
    assert.notEqual(changed, text);
    assert.match(projectProblems(parse(changed)).join('\n'), said);
  });
}

test('compose: addresses in the environment are services, at the ports that they listen on', () => {
  const { services } = project;
  const environment = environmentOf(services['ingest']);
  const { config } = loadConfig(`${repository}/${PIPELINE}`, environment);
  const { kafka } = config!.tailrace;
  assert.deepEqual(kafka!.brokers, ['kafka:9092']);
  const broker = environmentOf(services['kafka']);
  assert.equal(broker['KAFKA_ADVERTISED_LISTENERS'], `PLAINTEXT://${kafka!.brokers[0]}`);
  assert.match(broker['KAFKA_LISTENERS']!, /PLAINTEXT:\/\/:9092/);
  assert.equal(broker['KAFKA_MESSAGE_MAX_BYTES'], String(kafka!.message_bytes_max));
  assert.equal(kafka!.replication_factor, 1, 'there is one broker');
  for (const name of ['TAILRACE_REDIS_URL', 'TAILRACE_CLICKHOUSE_URL'])
    assert.ok(Object.hasOwn(services, new URL(environment[name]!).hostname), name);
  for (const [ours, theirs] of [
    ['TAILRACE_CLICKHOUSE_USER', 'CLICKHOUSE_USER'],
    ['TAILRACE_CLICKHOUSE_PASSWORD', 'CLICKHOUSE_PASSWORD'],
  ] as const)
    assert.equal(environment[ours], environmentOf(services['clickhouse'])[theirs]);
  const held = factsOf(pipelineText(), environment).heldBytes;
  assert.ok(held < 0.8 * bytesOf(at(services['sample'], 'deploy.resources.limits.memory')), `sample may hold ${held} bytes`);
});

test('compose: Envoy sends to ingest and asks the shop; Grafana asks query; the load asks Envoy', () => {
  const facts = factsOf(pipelineText(), {});
  const [envoy] = parseStrict(read('deploy/envoy/envoy.yaml'), 'envoy.yaml');
  const clusters = Object.fromEntries(
    list(envoy, 'static_resources.clusters').map((cluster) => [
      cluster['name'],
      at(cluster, 'load_assignment.endpoints.0.lb_endpoints.0.endpoint.address.socket_address'),
    ]),
  );
  const shopPort = Number(/const PORT = (\d+)/.exec(read('deploy/demo/shop.mjs'))![1]);
  assert.deepEqual(clusters, {
    shop: { address: 'shop', port_value: shopPort },
    tailrace: { address: 'ingest', port_value: facts.ports.grpc },
  });
  const listeners = list(envoy, 'static_resources.listeners').map((listener) => Number(at(listener, 'address.socket_address.port_value')));
  for (const [, port] of read('deploy/demo/shop.mjs').matchAll(/ask\((\d+)/g))
    assert.ok(listeners.includes(Number(port)), `Envoy does not listen on ${port}`);
  const target = new URL(environmentOf(project.services['load'])['TARGET']!);
  assert.equal(target.hostname, 'edge');
  assert.ok(listeners.includes(Number(target.port)));
  const [provisioned] = parseStrict(read('deploy/grafana/provisioning/datasources/clickhouse.yaml'), 'datasources');
  const source = list(provisioned, 'datasources')[0];
  assert.deepEqual(
    [at(source, 'jsonData.host'), at(source, 'jsonData.port'), at(source, 'jsonData.protocol')],
    ['query', facts.ports.sql, 'http'],
  );
  assert.match(
    environmentOf(project.services['grafana'])['GF_PLUGINS_PREINSTALL']!,
    new RegExp(`^${String(at(source, 'type'))}@\\d+\\.\\d+\\.\\d+$`),
  );
});
