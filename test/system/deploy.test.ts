import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { build, identity } from '../deploy/kustomize.ts';
import { at, list, parseStrict, read, type Value } from '../deploy/strict-yaml.ts';
import { startTestClickhouse, type TestClickhouse } from '../kit/clickhouse.ts';
import { envoyBinary } from '../kit/envoy.ts';
import { freePorts, start, until } from '../kit/process.ts';
import { composeParser, goProgram, kustomize, outputOf } from '../kit/go-program.ts';
import { createLog } from '../../pipelines/base/log.ts';
import { migrate } from '../../pipelines/store/migrate.ts';

/** The deployment files, read by the programs that they are for: kustomize, Compose's parser, Envoy, and the SQL of the dashboard by ClickHouse. */

/** A file in a folder of its own, gone with the test process. */
function written(name: string, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'tailrace-deploy-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

/** By name. Not compared: the hash behind the name of a generated ConfigMap, which ours does not make, and the order of a container's ports. */
function comparable(manifests: readonly Value[]): Record<string, unknown> {
  const plain = (key: string, value: unknown): unknown => {
    if (key === 'ports' && Array.isArray(value))
      return value.toSorted((a: Value, b: Value) => String(a['name']).localeCompare(String(b['name'])));
    return typeof value === 'string' ? value.replace(/^(tailrace-environment)-[a-z0-9]{10}$/, '$1') : value;
  };
  const all = JSON.parse(JSON.stringify(manifests, plain)) as Value[];
  return Object.fromEntries(all.map((manifest) => [identity(manifest), manifest]));
}

for (const overlay of ['small', 'production']) {
  test(`kustomize makes of k8s/overlays/${overlay} what the other tests check`, async (context) => {
    const program = await goProgram(context, kustomize);
    if (program === undefined) return;
    const path = `k8s/overlays/${overlay}`;
    const real = comparable(parseStrict(await outputOf(program, ['build', path]), path));
    assert.ok(Object.keys(real).length >= 25);
    assert.deepEqual(real, comparable(build(path)));
  });
}

test('Compose takes docker-compose.yml, and would not take it with a misspelt key', async (context) => {
  const program = await goProgram(context, composeParser);
  if (program === undefined) return;
  const [project] = parseStrict(await outputOf(program, ['docker-compose.yml']), 'docker compose config');
  const services = at(project, 'services') as Value;
  assert.deepEqual(
    Object.keys(services).toSorted(),
    Object.keys(at(parseStrict(read('docker-compose.yml'), 'compose')[0], 'services') as Value).toSorted(),
  );
  // What the merges of YAML come to.
  for (const role of ['ingest', 'sample', 'write', 'query', 'jobs']) {
    assert.equal(at(services, `${role}.read_only`), true, role);
    assert.equal(at(services, `${role}.environment.TAILRACE_KAFKA`), 'kafka:9092', role);
  }
  const misspelt = written('docker-compose.yml', read('docker-compose.yml').replace('healthcheck:', 'healthchek:'));
  await assert.rejects(outputOf(program, [misspelt]), /healthchek/);
});

for (const path of ['deploy/envoy/envoy.yaml', 'k8s/samples/envoy.yaml']) {
  test(`Envoy takes ${path}, and would not take it with a misspelt field`, async () => {
    const validate = (file: string): Promise<string> => outputOf(envoyBinary(), ['--mode', 'validate', '-l', 'error', '-c', file]);
    assert.match(await validate(path), /OK/);
    await assert.rejects(
      validate(written('envoy.yaml', read(path).replace('spawn_upstream_span', 'spawn_upstream_spam'))),
      /spawn_upstream_spam/,
    );
  });
}

test('Envoy is healthy by the check of docker-compose.yml, and not where nothing answers', async () => {
  const [port, nothing] = (await freePorts(2)) as [number, number];
  const [, ...command] = at(parseStrict(read('docker-compose.yml'), 'compose')[0], 'services.edge.healthcheck.test') as string[];
  const check = (where: number): Promise<string> =>
    outputOf(
      command[0]!,
      command.slice(1).map((word) => word.replace('/9901', `/${where}`)),
    );
  const file = written('envoy.yaml', `admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } }\n`);
  const envoy = start(envoyBinary(), ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'error']);
  await until('Envoy to be live', async () => (await check(port)) === '');
  await assert.rejects(check(nothing));
  await envoy.end();
});

let clickhouse: TestClickhouse;
before(async () => {
  clickhouse = await startTestClickhouse();
  await migrate(clickhouse.store, { database: 'default', ttl_hours: { traces: 0, logs: 0, metrics: 0 } }, createLog('silent'));
});
after(() => clickhouse.stop());

/** Grafana's macros and variables, as its plugin fills them in. */
const filled = (sql: string): string =>
  sql
    .replaceAll(/\$__timeFilter\((\w+)\)/g, '$1 >= now() - 3600 AND $1 <= now()')
    .replaceAll('${service:sqlstring}', "'shop-gateway'")
    .replaceAll('${trace:sqlstring}', "'00000000000000000000000000000001'");

test('ClickHouse answers every query of the dashboard, with the columns that its panels want', async () => {
  const dashboard = JSON.parse(read('deploy/grafana/dashboards/tailrace.json')) as Value;
  const [{ datasources }] = parseStrict(read('deploy/grafana/provisioning/datasources/clickhouse.yaml'), 'datasources') as [
    { datasources: Value[] },
  ];
  const wanted: Record<string, readonly string[]> = {
    timeseries: ['time'],
    traces: ['traceID', 'spanID', 'parentSpanID', 'serviceName', 'operationName', 'startTime', 'duration'],
    logs: ['timestamp', 'body', 'level'],
    table: [],
  };
  const panels = list(dashboard, 'panels');
  assert.ok(panels.length >= 6);
  for (const panel of panels) {
    const [target] = list(panel, 'targets');
    assert.equal(at(panel, 'datasource.uid'), datasources[0]!['uid']);
    assert.equal(at(target, 'datasource.type'), datasources[0]!['type']);
    const sql = filled(String(target!['rawSql']));
    assert.doesNotMatch(sql, /\$/, `${String(panel['title'])}: a macro or variable that is not known`);
    const columns = (await clickhouse.rows<{ name: string }>(`DESCRIBE (${sql})`)).map(({ name }) => name);
    for (const column of wanted[String(panel['type'])]!)
      assert.ok(columns.includes(column), `${String(panel['title'])}: no column ${column} in ${columns.join(', ')}`);
    await clickhouse.rows(sql);
  }
  for (const variable of list(dashboard, 'templating.list'))
    if (variable['type'] === 'query') await clickhouse.rows(String(variable['query']));
  for (const kind of ['logs', 'traces'])
    await clickhouse.rows(`SELECT 1 FROM ${String(at(datasources[0], `jsonData.${kind}.defaultTable`))} LIMIT 1`);
});
