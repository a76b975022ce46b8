import assert from 'node:assert/strict';
import { test } from 'node:test';
import { customSchemas } from './custom-schemas.ts';
import { factsOf, loopback, pipelineText, type Facts } from './facts.ts';
import { build, identity } from './kustomize.ts';
import { memoryProblems, networkProblems, scalingProblems, selectorProblems } from './line-checks.ts';
import { jsonPatch } from './patches.ts';
import { commandProblems, environmentProblems, hardeningProblems, lifecycleProblems, unpinned, workloads } from './pod-checks.ts';
import { ManifestSchemas } from './manifest-schemas.ts';
import { at, type Value } from './strict-yaml.ts';

/** Each check of k8s/ finds what it is for: one thing is spoilt, and exactly that is reported. */

const schemas = new ManifestSchemas(customSchemas);
const paths = new Set(['/healthz', '/readyz', '/metrics']);
const environment = { TAILRACE_KAFKA: 'kafka.kafka.svc:9092', TAILRACE_KAFKA_PARTITIONS: '24', TAILRACE_CLICKHOUSE_PASSWORD: 'x' };
const facts: Facts = factsOf(pipelineText(), environment);
const COMMANDS = new Set(['ingest', 'sample', 'write', 'query', 'jobs', 'topics', 'migrate']);

const checks: Record<string, (resources: Value[]) => string[]> = {
  schema: (resources) => resources.flatMap((resource) => schemas.problems(resource)),
  command: (resources) => workloads(resources).flatMap((workload) => commandProblems(workload, resources, COMMANDS)),
  environment: (resources) =>
    workloads(resources).flatMap((workload) => environmentProblems(workload, resources, facts, ['TAILRACE_KAFKA'])),
  lifecycle: (resources) =>
    resources.filter(({ kind }) => kind === 'Deployment').flatMap((deployment) => lifecycleProblems(deployment, facts, paths)),
  hardening: (resources) => workloads(resources).flatMap((workload) => hardeningProblems(workload)),
  selector: selectorProblems,
  network: (resources) => networkProblems(resources, facts),
  scaling: (resources) => scalingProblems(resources, facts),
  memory: (resources) => memoryProblems(resources, facts),
};

/** A check, the resource that is spoilt, where, with what (undefined: taken away), and what must be said of it. */
const POD = '/spec/template/spec';
const BOX = `${POD}/containers/0`;
const spoilt: readonly (readonly [string, string, string, unknown, RegExp])[] = [
  ['schema', 'Deployment tailrace-ingest', `${BOX}/imagePullPolcy`, 'Always', /imagePullPolcy is not a field/],
  ['schema', 'Deployment tailrace-ingest', '/spec/selector', undefined, /spec lacks selector/],
  ['schema', 'Deployment tailrace-ingest', `${BOX}/args/1`, 5, /args\[1\] is integer, not string/],
  ['schema', 'Service tailrace-query', '/spec/ports/0/port', 'sql', /port is string, not integer/],
  ['schema', 'NetworkPolicy tailrace-otlp', '/spec/ingress/0/form', [], /spec.ingress\[0\].form is not a field/],
  ['schema', 'ScaledObject tailrace-sample', '/spec/triggers/0/metadata/lagThreshold', 5, /lagThreshold is integer, not string/],
  ['schema', 'HorizontalPodAutoscaler tailrace-ingest', '/apiVersion', 'autoscaling/v3', /no schema of autoscaling\/v3/],
  ['command', 'Deployment tailrace-write', `${BOX}/args/0`, 'wirte', /no command wirte/],
  ['command', 'Deployment tailrace-write', `${BOX}/args/2`, '/etc/tailrace/other.yaml', /in no mounted ConfigMap/],
  ['command', 'Deployment tailrace-write', `${BOX}/args/2`, '/etc/pipeline.yaml', /in no mounted ConfigMap/],
  ['command', 'Deployment tailrace-write', `${BOX}/image`, 'tailrace:latest', /not pinned/],
  ['command', 'Deployment tailrace-write', `${BOX}/volumeMounts/0/subPath`, 'pipeline.yaml', /never changes/],
  ['command', 'Deployment tailrace-write', `${BOX}/volumeMounts/1/name`, 'temp', /no volume temp/],
  ['environment', 'ConfigMap tailrace-environment', '/data/TAILRACE_CLICKHOUSE_HOST', 'x', /does not read TAILRACE_CLICKHOUSE_HOST/],
  ['environment', 'ConfigMap tailrace-environment', '/data/TAILRACE_KAFKA', undefined, /TAILRACE_KAFKA is not set/],
  ['environment', 'Deployment tailrace-jobs', `${BOX}/envFrom/0/configMapRef/name`, 'other', /no ConfigMap other/],
  ['lifecycle', 'Deployment tailrace-ingest', `${BOX}/ports/0/containerPort`, 4316, /ports 4316,4318,8888 and not 4317,4318,8888/],
  ['lifecycle', 'Deployment tailrace-query', `${BOX}/readinessProbe/httpGet/path`, '/ready', /readinessProbe asks \/ready/],
  ['lifecycle', 'Deployment tailrace-query', `${BOX}/livenessProbe/httpGet/port`, 8889, /livenessProbe asks port 8889/],
  ['lifecycle', 'Deployment tailrace-query', `${BOX}/lifecycle`, undefined, /no preStop/],
  ['lifecycle', 'Deployment tailrace-sample', `${POD}/terminationGracePeriodSeconds`, 35, /35 is not longer/],
  [
    'lifecycle',
    'Deployment tailrace-sample',
    '/spec/template/metadata/annotations/prometheus.io~1port',
    '9090',
    /Prometheus is sent to 9090/,
  ],
  ['hardening', 'Deployment tailrace-sample', `${POD}/automountServiceAccountToken`, true, /a token/],
  ['hardening', 'Deployment tailrace-sample', `${BOX}/securityContext/readOnlyRootFilesystem`, false, /can be written/],
  [
    'hardening',
    'Job tailrace-prepare',
    `${POD}/initContainers/0/securityContext/capabilities/add`,
    ['NET_ADMIN'],
    /topics: keeps capabilities/,
  ],
  ['hardening', 'Deployment tailrace-sample', `${POD}/securityContext/runAsUser`, 0, /as root/],
  ['hardening', 'Deployment tailrace-sample', `${BOX}/resources/limits`, undefined, /no resources.limits.memory/],
  ['selector', 'Deployment tailrace-jobs', '/spec/selector/matchLabels/app.kubernetes.io~1component', 'job', /its selector takes $/],
  ['selector', 'Deployment tailrace-jobs', `${POD}/topologySpreadConstraints`, undefined, /not spread/],
  ['selector', 'PodDisruptionBudget tailrace-jobs', '/spec/maxUnavailable', 0, /no node be drained/],
  ['selector', 'Service tailrace-ingest', '/spec/ports/1/targetPort', 'http', /otlp-http goes to undefined/],
  ['network', 'NetworkPolicy tailrace-otlp', '/spec/ingress/0/ports/0/port', 4316, /lets in 4316,4318,8888, serves 4317,4318,8888/],
  ['network', 'NetworkPolicy tailrace-redis', '/spec/podSelector/matchExpressions/0/values/0', 'sampler', /no component sampler/],
  [
    'network',
    'NetworkPolicy tailrace-clickhouse',
    '/spec/egress/0/ports/0/port',
    8124,
    /tailrace-write: may not reach TAILRACE_CLICKHOUSE_URL/,
  ],
  ['network', 'NetworkPolicy tailrace-deny', '/spec/policyTypes/1', undefined, /nothing denies/],
  ['scaling', 'Deployment tailrace-sample', '/spec/replicas', 3, /1 scalers and 3 replicas/],
  ['scaling', 'HorizontalPodAutoscaler tailrace-ingest', '/spec/scaleTargetRef/name', 'ingest', /target ingest is not there/],
  [
    'scaling',
    'ScaledObject tailrace-write',
    '/spec/triggers/0/metadata/consumerGroup',
    'tailrace.write',
    /write has no group tailrace.write/,
  ],
  ['scaling', 'ScaledObject tailrace-sample', '/spec/triggers/0/metadata/topic', 'tailrace.logs', /does not read tailrace.logs/],
  ['scaling', 'ScaledObject tailrace-sample', '/spec/triggers/0/metadata/bootstrapServers', 'kafka:9092', /asks Kafka at kafka:9092/],
  ['scaling', 'ScaledObject tailrace-sample', '/spec/maxReplicaCount', 25, /25 replicas for 24 partitions/],
  ['memory', 'Deployment tailrace-sample', `${BOX}/resources/limits/memory`, '2Gi', /may be held/],
];

test('k8s: the checks say nothing of the manifests as they are', () => {
  const resources = build('k8s/overlays/production');
  for (const [name, check] of Object.entries(checks)) assert.deepEqual(check(resources), [], name);
});

test('k8s: every check has something that it finds', () => {
  assert.deepEqual([...new Set(spoilt.map(([check]) => check))].toSorted(), Object.keys(checks).toSorted());
});

for (const [check, id, path, value, said] of spoilt) {
  test(`k8s: the ${check} check finds ${id} with ${path.split('/').slice(-2).join('/')} ${value === undefined ? 'missing' : JSON.stringify(value)}`, () => {
    const resources = build('k8s/overlays/production');
    const resource = resources.find((one) => identity(one) === id);
    assert.ok(resource !== undefined, id);
    const op = value === undefined ? 'remove' : at(resource, path.slice(1).replaceAll('/', '.')) === undefined ? 'add' : 'replace';
    if (/\/\d+$/.test(path) && op === 'add') jsonPatch(resource, { op: 'replace', path, value }, id);
    else jsonPatch(resource, { op, path, value }, id);
    const problems = checks[check]!(resources);
    assert.ok(
      problems.some((problem) => said.test(problem)),
      `${said} is not among ${JSON.stringify(problems)}`,
    );
  });
}

test('k8s: an image without a version is not pinned', () => {
  for (const image of ['redis', 'redis:latest', 'redis:7', 'registry.example:5000/redis', undefined])
    assert.equal(unpinned(image), true, String(image));
  for (const image of ['redis:7.4.2-bookworm', 'registry.example:5000/redis:7.4', `redis@sha256:${'0'.repeat(64)}`])
    assert.equal(unpinned(image), false, image);
});

test('k8s: an address on the loopback of a container is found', () => {
  assert.deepEqual(loopback(pipelineText().replace('0.0.0.0:4317', '127.0.0.1:4317'), environment), ['127.0.0.1:4317']);
});
