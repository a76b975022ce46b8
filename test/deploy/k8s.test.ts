import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { test } from 'node:test';
import { startObserver } from '../../services/observe.ts';
import { customSchemas } from './custom-schemas.ts';
import { factsOf, loopback, PIPELINE, pipelineText, tailraceCommands, type Facts } from './facts.ts';
import { build, unused } from './kustomize.ts';
import { memoryProblems, networkProblems, scalingProblems, selectorProblems } from './line-checks.ts';
import {
  commandProblems,
  containers,
  environmentOf,
  environmentProblems,
  hardeningProblems,
  lifecycleProblems,
  nameOf,
  ROLES,
  workloads,
} from './pod-checks.ts';
import { ManifestSchemas } from './manifest-schemas.ts';
import { at, list, read, repository, type Value } from './strict-yaml.ts';

/** k8s/: what a cluster would get agrees with the API of Kubernetes and with the code. */

const OVERLAYS = ['small', 'production'] as const;
const NEEDED = ['TAILRACE_KAFKA', 'TAILRACE_CLICKHOUSE_URL', 'TAILRACE_CLICKHOUSE_PASSWORD', 'TAILRACE_REDIS_URL'];
const schemas = new ManifestSchemas(customSchemas);

function overlay(name: string): { resources: Value[]; facts: Facts; environment: Record<string, string> } {
  const resources = build(`k8s/overlays/${name}`);
  const pipeline = resources.find((resource) => nameOf(resource) === 'tailrace-pipeline');
  const [container] = containers(workloads(resources).find((workload) => nameOf(workload) === 'tailrace-ingest')!);
  const environment = Object.fromEntries(environmentOf(container!, resources));
  return { resources, facts: factsOf(String((at(pipeline, 'data') as Value)['pipeline.yaml']), environment), environment };
}

/** The paths that the code's own server of health and metrics answers. */
async function healthPaths(): Promise<ReadonlySet<string>> {
  const observer = await startObserver(
    { host: '127.0.0.1', port: 0, setting: 'test' },
    { stages: () => [], samples: () => [], notReady: () => [], serve: () => false },
  );
  try {
    const paths = new Set<string>();
    for (const path of ['/healthz', '/readyz', '/metrics', '/health', '/live']) {
      const { status } = await fetch(`http://127.0.0.1:${observer.port}${path}`, { signal: AbortSignal.timeout(5_000) });
      if (status === 200) paths.add(path);
    }
    return paths;
  } finally {
    await observer.stop();
  }
}

test('k8s: the pipeline file of the base is the example for many machines', () => {
  assert.equal(read('k8s/base/pipeline.yaml'), read(PIPELINE));
});

test('k8s: every file is named by a kustomization, or is a sample', () => {
  const files = globSync('k8s/**/*.yaml', { cwd: repository }).toSorted();
  assert.ok(files.length >= 15, `found ${files.length} files`);
  assert.deepEqual([...unused('k8s/base', files), ...unused('k8s/overlays', files)], []);
});

for (const name of OVERLAYS) {
  const { resources, facts, environment } = overlay(name);
  const pods = workloads(resources);

  test(`k8s: ${name}: every manifest is what the API takes`, () => {
    assert.ok(resources.length >= 25, `${resources.length} resources`);
    assert.deepEqual(
      resources.flatMap((resource) => schemas.problems(resource)),
      [],
    );
  });

  test(`k8s: ${name}: every role is deployed, and topics and tables are made before`, () => {
    const commands = pods.flatMap((workload) => containers(workload).map((container) => String((container['args'] as string[])[0])));
    assert.deepEqual(commands.toSorted(), [...ROLES, 'topics', 'migrate'].toSorted());
  });

  test(`k8s: ${name}: commands, their file, images and volumes`, () => {
    assert.deepEqual(
      pods.flatMap((workload) => commandProblems(workload, resources, tailraceCommands())),
      [],
    );
  });

  test(`k8s: ${name}: the environment is what the pipeline file reads`, () => {
    assert.deepEqual(
      pods.flatMap((workload) => environmentProblems(workload, resources, facts, NEEDED)),
      [],
    );
    assert.deepEqual(loopback(pipelineText(), environment), []);
  });

  test(`k8s: ${name}: ports, probes and the grace period agree with the code`, async () => {
    const paths = await healthPaths();
    assert.deepEqual([...paths].toSorted(), ['/healthz', '/metrics', '/readyz']);
    const deployments = pods.filter(({ kind }) => kind === 'Deployment');
    assert.equal(deployments.length, ROLES.length);
    assert.deepEqual(
      deployments.flatMap((deployment) => lifecycleProblems(deployment, facts, paths)),
      [],
    );
  });

  test(`k8s: ${name}: pods are hardened and have their resources`, () => {
    assert.deepEqual(
      pods.flatMap((workload) => hardeningProblems(workload)),
      [],
    );
  });

  test(`k8s: ${name}: selectors take the pods they are for`, () => {
    assert.deepEqual(selectorProblems(resources), []);
  });

  test(`k8s: ${name}: NetworkPolicies let in what is served, and out to what is needed`, () => {
    assert.deepEqual(networkProblems(resources, facts), []);
  });

  test(`k8s: ${name}: scaling`, () => {
    assert.deepEqual(scalingProblems(resources, facts), []);
    assert.deepEqual(memoryProblems(resources, facts), []);
  });

  test(`k8s: ${name}: secrets that pods ask for are told in docs/deploy.md`, () => {
    const page = read('docs/deploy.md');
    const references = pods
      .flatMap((workload) => containers(workload).flatMap((container) => list(container, 'env')))
      .map((entry) => at(entry, 'valueFrom.secretKeyRef') as Value | undefined)
      .filter((reference) => reference !== undefined);
    assert.ok(references.length > 0);
    for (const reference of references) {
      assert.ok(page.includes(String(reference['name'])), `docs/deploy.md does not tell of the secret ${String(reference['name'])}`);
      assert.ok(page.includes(String(reference['key'])), `docs/deploy.md does not tell of the key ${String(reference['key'])}`);
    }
  });
}

test('k8s: production scales ingest, sample and write; small scales nothing', () => {
  const scalers = (name: string): string[] =>
    build(`k8s/overlays/${name}`)
      .filter(({ kind }) => kind === 'HorizontalPodAutoscaler' || kind === 'ScaledObject')
      .map((scaler) => `${String(scaler['kind'])} ${String(at(scaler, 'spec.scaleTargetRef.name'))}`)
      .toSorted();
  assert.deepEqual(scalers('production'), [
    'HorizontalPodAutoscaler tailrace-ingest',
    'ScaledObject tailrace-sample',
    'ScaledObject tailrace-write',
  ]);
  assert.deepEqual(scalers('small'), []);
});
