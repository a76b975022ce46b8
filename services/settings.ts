import { readFileSync } from 'node:fs';
import type { KafkaConfig } from '../config/schema-scale.ts';
import { OperatorError } from '../pipelines/base/errors.ts';
import type { LeafPolicyConfig, PolicyConfig } from '../config/schema-policies.ts';
import type { ClickHouseConfig, OtlpConfig, SpanMetricsConfig, TailSamplingConfig } from '../config/schema-components.ts';
import type { Plan, SampleStage } from '../config/plan.ts';
import type { Config, TailraceConfig } from '../config/schema.ts';
import { spanMetricsDefaults, type SpanMetricsSettings } from '../pipelines/aggregate/settings.ts';
import { defaultValidateSettings, type ValidateSettings } from '../pipelines/otlp/validate-item.ts';
import { admissionDefaults, type AdmissionSettings } from '../pipelines/receive/admission.ts';
import { grpcDefaults, type GrpcSettings } from '../pipelines/receive/grpc.ts';
import { httpDefaults, type HttpSettings } from '../pipelines/receive/http.ts';
import type { MigrateSettings } from '../pipelines/store/migrate.ts';
import type { TlsSettings } from '../pipelines/receive/tls.ts';
import type { KafkaSettings } from '../pipelines/topic/kafka-client.ts';
import type { PolicySettings, SamplerSettings } from '../pipelines/sample/settings.ts';
import { DEAD_TOPIC } from '../pipelines/topic/dead-letter.ts';
import { DEAD_GROUP } from './dead-scan.ts';
import { parseEndpoint } from './endpoint.ts';
import { ingestDefaults, type IngestSettings } from './ingest.ts';
import { processorsOf } from './processors.ts';
import { sampleDefaults, type SampleRoleSettings } from './sample.ts';

/** From what users write (Config) to what a room receives (Settings). */

/** What one receiver of the file needs: its endpoints and the branches of the plan that it feeds. */
export function ingestSettings(id: string, config: Config, plan: Plan): IngestSettings {
  const receiver = config.receivers.get(id) as OtlpConfig;
  const { log, limits } = config.tailrace;
  const grpc = grpcSettings(id, receiver);
  const http = httpSettings(id, receiver);
  return {
    ...ingestDefaults,
    ...(grpc === undefined ? {} : { grpc }),
    ...(http === undefined ? {} : { http }),
    admission: admissionSettings(config.tailrace),
    limits: validateSettings(config.tailrace),
    branches: plan.ingest
      .filter((branch) => branch.receivers.includes(id))
      .map(({ signal, topic, processors }) => ({ signal, topic, processors: processorsOf(processors, signal) })),
    batch_bytes_max: log.batch_bytes,
    linger_ms: log.linger,
    record_bytes_max: log.record_bytes_max,
    drainDeadline_ms: limits.drain_timeout,
  };
}

export function sampleSettings(stage: SampleStage, { log }: TailraceConfig): SampleRoleSettings {
  const { tail } = stage;
  return {
    ...sampleDefaults,
    group: stage.name,
    topic: stage.topic,
    ...(tail === undefined
      ? {}
      : { tail: { sampler: samplerSettings(tail.config), topic: tail.topic, processors: processorsOf(tail.processors, 'traces') } }),
    spanMetrics: stage.spanMetrics.map((one) => ({
      settings: spanMetricsSettings(one.config),
      topic: one.topic,
      processors: processorsOf(one.processors, 'metrics'),
    })),
    record_bytes_max: log.record_bytes_max,
  };
}

/** How to reach the brokers. @throws OperatorError for a file that cannot be read */
export function kafkaClientSettings(config: KafkaConfig): Pick<KafkaSettings, 'brokers' | 'clientId' | 'tls' | 'sasl'> {
  const { tls, sasl } = config;
  const pem = (path: string | undefined, key: string): string | undefined => {
    try {
      return path === undefined ? undefined : readFileSync(path, 'utf8');
    } catch (error) {
      throw new OperatorError(
        `tailrace.kafka.tls.${key}: cannot read ${path}: ${(error as Error).message}`,
        'Give a PEM file that this process may read.',
      );
    }
  };
  const texts =
    tls === undefined
      ? undefined
      : { ca: pem(tls.ca_file, 'ca_file'), cert: pem(tls.cert_file, 'cert_file'), key: pem(tls.key_file, 'key_file') };
  return {
    // One variable of the environment may name several: host:9092,other:9092.
    brokers: config.brokers.flatMap((broker) => broker.split(',')).map((broker) => broker.trim()),
    clientId: config.client_id,
    ...(texts === undefined ? {} : { tls: Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== undefined)) }),
    ...(sasl === undefined ? {} : { sasl }),
  };
}

const HOUR_MS = 3_600_000;

export function migrateSettings({ database, ttl }: ClickHouseConfig): MigrateSettings {
  const hours = Math.ceil(ttl / HOUR_MS);
  return { database, ttl_hours: { traces: hours, logs: hours, metrics: hours } };
}

/** Topic → the groups that read it. */
export function groupsOf(plan: Plan): Record<string, string[]> {
  const groups: Record<string, string[]> = {};
  for (const stage of plan.sample) (groups[stage.topic] ??= []).push(stage.name);
  for (const stage of plan.write) for (const { topic } of stage.topics) (groups[topic] ??= []).push(stage.name);
  groups[DEAD_TOPIC] = [DEAD_GROUP];
  return groups;
}

function grpcSettings(id: string, config: OtlpConfig): GrpcSettings | undefined {
  const grpc = config.protocols.grpc;
  if (grpc === undefined) return undefined;
  const age = grpc.keepalive.server_parameters;
  return {
    ...grpcDefaults,
    ...parseEndpoint(grpc.endpoint, `receivers.${id}.protocols.grpc.endpoint`),
    request_bytes_max: Math.floor(grpc.max_recv_msg_size_mib * 1_048_576),
    connectionAgeMax_ms: age.max_connection_age,
    connectionAgeGrace_ms: age.max_connection_age_grace,
    ...tlsSettings(grpc.tls),
  };
}

function httpSettings(id: string, config: OtlpConfig): HttpSettings | undefined {
  const http = config.protocols.http;
  if (http === undefined) return undefined;
  return {
    ...httpDefaults,
    ...parseEndpoint(http.endpoint, `receivers.${id}.protocols.http.endpoint`),
    request_bytes_max: http.max_request_body_size,
    connectionAgeMax_ms: http.max_connection_age,
    ...(http.cors === undefined ? {} : { cors: { allowedOrigins: http.cors.allowed_origins } }),
    ...tlsSettings(http.tls),
  };
}

function tlsSettings(tls: { cert_file: string; key_file: string; client_ca_file?: string | undefined } | undefined): { tls?: TlsSettings } {
  if (tls === undefined) return {};
  return {
    tls: {
      certFile: tls.cert_file,
      keyFile: tls.key_file,
      ...(tls.client_ca_file === undefined ? {} : { clientCaFile: tls.client_ca_file }),
    },
  };
}

function admissionSettings({ limits }: TailraceConfig): AdmissionSettings {
  return { ...admissionDefaults, inFlight_bytes_max: limits.in_flight_bytes_max };
}

function validateSettings({ limits }: TailraceConfig): ValidateSettings {
  return { ...defaultValidateSettings, attributesMax: limits.attributes_max };
}

function spanMetricsSettings(config: SpanMetricsConfig): SpanMetricsSettings {
  return {
    ...spanMetricsDefaults,
    interval_ms: config.metrics_flush_interval,
    namespace: config.namespace,
    histogram: {
      ...spanMetricsDefaults.histogram,
      kind: config.histogram.disable ? 'none' : config.histogram.exponential === undefined ? 'explicit' : 'exponential',
      maxSize: config.histogram.exponential?.max_size ?? spanMetricsDefaults.histogram.maxSize,
      unit: config.histogram.unit,
      buckets_ms: config.histogram.explicit.buckets,
    },
    dimensions: config.dimensions.map(({ name, default: fallback }) => (fallback === undefined ? { name } : { name, default: fallback })),
    excludeDimensions: config.exclude_dimensions,
    exemplarsPerPoint: config.exemplars.enabled ? config.exemplars.max_per_data_point : 0,
    cardinalityLimit: config.aggregation_cardinality_limit,
  };
}

export function samplerSettings(config: TailSamplingConfig): SamplerSettings {
  return {
    decisionWait_ms: config.decision_wait,
    lateWait_ms: config.late_wait,
    heldBytes_max: config.held_bytes_max,
    traces_max: config.traces_max,
    policies: config.policies.map(policySettings),
  };
}

function policySettings(policy: PolicyConfig): PolicySettings {
  const { name } = policy;
  switch (policy.type) {
    case 'and':
      return { name, type: 'and', subPolicies: policy.and.and_sub_policy.map(leafSettings) };
    case 'drop':
      return { name, type: 'drop', subPolicies: policy.drop.drop_sub_policy.map(policySettings) };
    default:
      return leafSettings(policy);
  }
}

function leafSettings(policy: LeafPolicyConfig): PolicySettings {
  const { name } = policy;
  switch (policy.type) {
    case 'always_sample':
      return { name, type: 'always_sample' };
    case 'latency':
      return { name, type: 'latency', threshold_ms: policy.latency.threshold_ms, upperThreshold_ms: policy.latency.upper_threshold_ms };
    case 'status_code':
      return { name, type: 'status_code', statusCodes: policy.status_code.status_codes };
    case 'probabilistic':
      return {
        name,
        type: 'probabilistic',
        samplingPercentage: policy.probabilistic.sampling_percentage,
        hashSalt: policy.probabilistic.hash_salt,
      };
    case 'string_attribute': {
      const { key, values, enabled_regex_matching, invert_match, cache_max_size } = policy.string_attribute;
      return {
        name,
        type: 'string_attribute',
        key,
        values,
        enabledRegexMatching: enabled_regex_matching,
        invertMatch: invert_match,
        cacheMaxSize: cache_max_size,
      };
    }
    case 'numeric_attribute': {
      const { key, min_value, max_value, invert_match } = policy.numeric_attribute;
      const bounds = {
        ...(min_value === undefined ? {} : { minValue: min_value }),
        ...(max_value === undefined ? {} : { maxValue: max_value }),
      };
      return { name, type: 'numeric_attribute', key, ...bounds, invertMatch: invert_match };
    }
    case 'span_count':
      return { name, type: 'span_count', minSpans: policy.span_count.min_spans, maxSpans: policy.span_count.max_spans };
    case 'rate_limiting':
      return { name, type: 'rate_limiting', spansPerSecond: policy.rate_limiting.spans_per_second };
  }
}
