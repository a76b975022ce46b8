import type { Definitions, Schema } from './manifest-schemas.ts';

/**
 * Fields of what the schemas of Kubernetes do not have, as far as our manifests use them. Each was read off the definition that its
 * project publishes: KEDA's CRD scaledobjects.keda.sh, Istio's CRD telemetries.telemetry.istio.io and MeshConfig, kustomize's type Kustomization.
 */
const TEXT: Schema = { type: 'string' };
const WHOLE: Schema = { type: 'integer' };
const FLAG: Schema = { type: 'boolean' };
const TEXTS: Schema = { type: 'object', additionalProperties: TEXT };
const META: Schema = { $ref: 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' };
const listOf = (items: Schema): Schema => ({ type: 'array', items });
const map = (properties: Record<string, Schema>, required: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
});
const manifest = (version: string, kind: string, spec: Schema): Schema =>
  map({ apiVersion: { type: 'string', enum: [version] }, kind: { type: 'string', enum: [kind] }, metadata: META, spec }, [
    'apiVersion',
    'kind',
    'metadata',
    'spec',
  ]);

const scaledObject = map(
  {
    scaleTargetRef: map({ apiVersion: TEXT, kind: TEXT, name: TEXT, envSourceContainerName: TEXT }, ['name']),
    pollingInterval: WHOLE,
    cooldownPeriod: WHOLE,
    minReplicaCount: WHOLE,
    maxReplicaCount: WHOLE,
    advanced: map({
      restoreToOriginalReplicaCount: FLAG,
      horizontalPodAutoscalerConfig: map({
        name: TEXT,
        behavior: { $ref: 'io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior' },
      }),
    }),
    fallback: map({ failureThreshold: WHOLE, replicas: WHOLE }, ['failureThreshold', 'replicas']),
    triggers: listOf(
      map(
        {
          type: { type: 'string', enum: ['kafka'] },
          name: TEXT,
          metricType: { type: 'string', enum: ['AverageValue', 'Value'] },
          // KEDA, Apache Kafka scaler. All values are text.
          metadata: map(
            {
              bootstrapServers: TEXT,
              bootstrapServersFromEnv: TEXT,
              consumerGroup: TEXT,
              topic: TEXT,
              lagThreshold: TEXT,
              activationLagThreshold: TEXT,
              offsetResetPolicy: { type: 'string', enum: ['latest', 'earliest'] },
              allowIdleConsumers: TEXT,
              scaleToZeroOnInvalidOffset: TEXT,
              excludePersistentLag: TEXT,
              limitToPartitionsWithLag: TEXT,
              ensureEvenDistributionOfPartitions: TEXT,
              version: TEXT,
            },
            ['consumerGroup', 'lagThreshold'],
          ),
          authenticationRef: map({ name: TEXT, kind: TEXT }, ['name']),
        },
        ['type', 'metadata'],
      ),
    ),
  },
  ['scaleTargetRef', 'triggers'],
);

const providers = listOf(map({ name: TEXT }, ['name']));
const telemetry = map({
  selector: map({ matchLabels: TEXTS }),
  tracing: listOf(
    map({
      providers,
      randomSamplingPercentage: { type: 'number' },
      disableSpanReporting: FLAG,
      customTags: { type: 'object', additionalProperties: map({ literal: map({ value: TEXT }), header: map({ name: TEXT }) }) },
    }),
  ),
  accessLogging: listOf(map({ providers, disabled: FLAG, filter: map({ expression: TEXT }, ['expression']) })),
});

const meshConfig = map({
  enableTracing: FLAG,
  defaultConfig: map({ tracing: map({}) }),
  extensionProviders: listOf(
    map(
      {
        name: TEXT,
        opentelemetry: map({ service: TEXT, port: WHOLE, maxTagLength: WHOLE, resourceDetectors: map({ environment: map({}) }) }, [
          'service',
          'port',
        ]),
        envoyOtelAls: map({ service: TEXT, port: WHOLE, logName: TEXT, logFormat: map({ text: TEXT, labels: TEXTS }) }, [
          'service',
          'port',
        ]),
      },
      ['name'],
    ),
  ),
});

const patchTarget = map({ group: TEXT, version: TEXT, kind: TEXT, name: TEXT, labelSelector: TEXT });
const kustomization: Schema = map(
  {
    apiVersion: { type: 'string', enum: ['kustomize.config.k8s.io/v1beta1'] },
    kind: { type: 'string', enum: ['Kustomization'] },
    namespace: TEXT,
    resources: listOf(TEXT),
    labels: listOf(map({ pairs: TEXTS, includeSelectors: FLAG, includeTemplates: FLAG }, ['pairs'])),
    patches: listOf(map({ path: TEXT, patch: TEXT, target: patchTarget })),
    configMapGenerator: listOf(
      map(
        {
          name: TEXT,
          behavior: { type: 'string', enum: ['create', 'merge', 'replace'] },
          files: listOf(TEXT),
          literals: listOf(TEXT),
          options: map({ disableNameSuffixHash: FLAG }),
        },
        ['name'],
      ),
    ),
    images: listOf(map({ name: TEXT, newName: TEXT, newTag: TEXT, digest: TEXT }, ['name'])),
    replicas: listOf(map({ name: TEXT, count: WHOLE }, ['name', 'count'])),
  },
  ['apiVersion', 'kind'],
);

export const customSchemas: Definitions = {
  'keda.sh/v1alpha1 ScaledObject': manifest('keda.sh/v1alpha1', 'ScaledObject', scaledObject),
  'telemetry.istio.io/v1 Telemetry': manifest('telemetry.istio.io/v1', 'Telemetry', telemetry),
  'install.istio.io/v1alpha1 IstioOperator': manifest('install.istio.io/v1alpha1', 'IstioOperator', map({ meshConfig }, ['meshConfig'])),
  'kustomize.config.k8s.io/v1beta1 Kustomization': kustomization,
};
