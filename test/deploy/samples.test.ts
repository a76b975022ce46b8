import assert from 'node:assert/strict';
import { test } from 'node:test';
import { customSchemas } from './custom-schemas.ts';
import { factsOf, pipelineText } from './facts.ts';
import { build } from './kustomize.ts';
import { ManifestSchemas, schemaProblems, type Schema } from './manifest-schemas.ts';
import { nameOf } from './pod-checks.ts';
import { at, list, read, readOne, readYaml, type Value } from './strict-yaml.ts';

/** k8s/samples: they name the Service that k8s/ makes, at its port. (Envoy's is checked by a real Envoy too: test/system/deploy.test.ts.) */

const service = build('k8s/overlays/production').find(
  (resource) => resource['kind'] === 'Service' && nameOf(resource) === 'tailrace-ingest',
)!;
const host = `${nameOf(service)}.${String(at(service, 'metadata.namespace'))}.svc.cluster.local`;
const { grpc } = factsOf(pipelineText(), {}).ports;
const schemas = new ManifestSchemas(customSchemas);

test('samples: Istio’s providers point at ingest, and Telemetry turns them on', () => {
  const [mesh, telemetry, ...more] = readYaml('k8s/samples/istio.yaml');
  assert.equal(more.length, 0);
  assert.deepEqual([...schemas.problems(mesh!), ...schemas.problems(telemetry!)], []);
  const providers = list(mesh, 'spec.meshConfig.extensionProviders');
  const kinds = new Map(providers.map((provider) => [provider['name'], Object.keys(provider).find((key) => key !== 'name')]));
  for (const provider of providers)
    assert.deepEqual(
      [at(provider[kinds.get(provider['name'])!], 'service'), at(provider[kinds.get(provider['name'])!], 'port')],
      [host, grpc],
    );
  const used = (path: string): unknown[] =>
    list(telemetry, path).flatMap((entry) => list(entry, 'providers').map(({ name }) => kinds.get(name)));
  assert.deepEqual(used('spec.tracing'), ['opentelemetry']);
  assert.deepEqual(used('spec.accessLogging'), ['envoyOtelAls']);
  assert.equal(
    at(telemetry, 'spec.tracing.0.randomSamplingPercentage'),
    100,
    'a trace that the mesh does not send cannot be kept for its error',
  );
});

// Values of the chart linkerd-control-plane 2.19.
const closed = (properties: Record<string, Schema>): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
});
const linkerd = closed({
  proxy: closed({
    tracing: closed({
      enabled: { type: 'boolean' },
      collector: closed({
        endpoint: { type: 'string' },
        meshIdentity: closed({ serviceAccountName: { type: 'string' }, namespace: { type: 'string' } }),
      }),
    }),
  }),
});

test('samples: Linkerd’s proxies send to ingest, and expect its identity', () => {
  const values = readOne('k8s/samples/linkerd.yaml');
  assert.deepEqual(schemaProblems(values, linkerd, {}), []);
  assert.equal(at(values, 'proxy.tracing.collector.endpoint'), `${host}:${grpc}`);
  const { serviceAccountName, namespace } = at(values, 'proxy.tracing.collector.meshIdentity') as Value;
  const deployment = build('k8s/overlays/production').find(
    (resource) => resource['kind'] === 'Deployment' && nameOf(resource) === 'tailrace-ingest',
  );
  assert.equal(serviceAccountName, at(deployment, 'spec.template.spec.serviceAccountName'));
  assert.equal(namespace, at(deployment, 'metadata.namespace'));
});

test('samples: Envoy’s cluster is ingest, and traces, logs and metrics go to it', () => {
  const envoy = readOne('k8s/samples/envoy.yaml');
  const cluster = list(envoy, 'static_resources.clusters').find(({ name }) => name === 'tailrace');
  assert.deepEqual(at(cluster, 'load_assignment.endpoints.0.lb_endpoints.0.endpoint.address.socket_address'), {
    address: host,
    port_value: grpc,
  });
  assert.equal([...read('k8s/samples/envoy.yaml').matchAll(/envoy_grpc: \{ cluster_name: tailrace \}/g)].length, 3);
});

test('samples: the check of Linkerd’s values finds a misspelt one', () => {
  const values = structuredClone(readOne('k8s/samples/linkerd.yaml')) as { proxy: { tracing: Value } };
  values.proxy.tracing['colector'] = values.proxy.tracing['collector'];
  assert.match(schemaProblems(values, linkerd, {}).join('\n'), /colector is not a field/);
});
