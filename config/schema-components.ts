import { z } from 'zod';
import { address } from './address.ts';
import { duration, requiredDuration } from './duration.ts';
import { policy } from './schema-policies.ts';

/** Every component type and its settings: the one place where a setting is declared. Names are the Collector's; what is Tailrace's own says so. */

const tls = z
  .strictObject({
    cert_file: z.string().describe('PEM certificate chain.'),
    key_file: z.string().describe('PEM private key.'),
    client_ca_file: z.string().optional().describe('Asks clients for a certificate signed by one of these (mTLS).'),
  })
  .describe('Serves TLS.');

/** `grpc:` with nothing behind it means the defaults, as in the Collector. */
const orDefaults = <T extends z.ZodType>(schema: T) => schema.nullable().transform((value): z.output<T> => value ?? schema.parse({}));

const maxAge = 'Ends a connection after this, so that long-lived connections of sidecars spread again over replicas.';

const receivers = {
  otlp: z
    .strictObject({
      protocols: z
        .strictObject({
          grpc: orDefaults(
            z.strictObject({
              endpoint: address('127.0.0.1:4317', 'Address to listen on.'),
              max_recv_msg_size_mib: z.number().min(1).max(1024).default(64).describe('Largest request after decompression, in MiB.'),
              keepalive: z
                .strictObject({
                  server_parameters: z
                    .strictObject({
                      max_connection_age: duration('3m', maxAge),
                      max_connection_age_grace: duration('30s', 'Time that calls under way have to end then.'),
                    })
                    .prefault({}),
                })
                .prefault({}),
              tls: tls.optional(),
            }),
          )
            .optional()
            .describe('OTLP over gRPC. Left out: not served.'),
          http: orDefaults(
            z.strictObject({
              endpoint: address('127.0.0.1:4318', 'Address to listen on.'),
              max_request_body_size: z
                .number()
                .int()
                .min(1024)
                .default(67_108_864)
                .describe('Largest request after decompression, in bytes.'),
              max_connection_age: duration('3m', `${maxAge} Tailrace's own.`),
              cors: z
                .strictObject({
                  allowed_origins: z
                    .array(z.string())
                    .default([])
                    .describe('Origins of web pages that may send, such as https://shop.example.'),
                })
                .optional()
                .describe('For telemetry sent by browsers.'),
              tls: tls.optional(),
            }),
          )
            .optional()
            .describe('OTLP over HTTP, protobuf and JSON. Left out: not served.'),
        })
        .refine((value) => value.grpc !== undefined || value.http !== undefined, { message: 'name at least one protocol: grpc, http' }),
    })
    .describe('Receives OTLP traces, metrics and logs.'),
};

const conditions = (what: string) => z.array(z.string()).min(1).describe(`OTTL conditions; ${what} is dropped when any of them holds.`);
const errorMode = z
  .enum(['ignore', 'silent', 'propagate'])
  .default('ignore')
  .describe('When a function cannot work with its argument: ignore and silent take the condition as false, propagate refuses the request.');

const attributeAction = z.strictObject({
  key: z.string().min(1).optional().describe('The attribute.'),
  pattern: z.string().optional().describe('delete, hash: all attributes whose key matches this regular expression, beside `key`.'),
  action: z
    .enum(['insert', 'update', 'upsert', 'delete', 'hash', 'convert'])
    .describe('insert where it is missing, update where it is there, upsert both, delete, hash (SHA-256), convert.'),
  value: z.union([z.string(), z.number(), z.boolean()]).optional().describe('insert, update, upsert: the value.'),
  from_attribute: z.string().optional().describe('insert, update, upsert: the attribute to copy from.'),
  default_value: z.union([z.string(), z.number(), z.boolean()]).optional().describe('Taken where `from_attribute` is missing.'),
  converted_type: z.enum(['int', 'double', 'string']).optional().describe('convert: the type wanted.'),
});

const match = z.strictObject({
  match_type: z.enum(['strict', 'regexp']).describe('How names and values are compared.'),
  services: z.array(z.string()).optional().describe('service.name of the resource.'),
  span_names: z.array(z.string()).optional().describe('Span names.'),
  attributes: z
    .array(
      z.strictObject({
        key: z.string().min(1).describe('The attribute.'),
        value: z.union([z.string(), z.number(), z.boolean()]).optional().describe('Its value; without it, the attribute must be there.'),
      }),
    )
    .optional()
    .describe('All of these.'),
});

const processors = {
  filter: z
    .strictObject({
      error_mode: errorMode,
      traces: z
        .strictObject({ span: conditions('a span').optional(), spanevent: conditions('an event of a span').optional() })
        .optional()
        .describe('For traces.'),
      logs: z
        .strictObject({ log_record: conditions('a log record').optional() })
        .optional()
        .describe('For logs.'),
      metrics: z
        .strictObject({ metric: conditions('a metric').optional() })
        .optional()
        .describe('For metrics.'),
      trace_conditions: conditions('a span, or with `spanevent.` paths an event,').optional(),
      log_conditions: conditions('a log record').optional(),
      metric_conditions: conditions('a metric').optional(),
    })
    .describe('Drops what a condition describes.'),
  attributes: z
    .strictObject({
      include: match.optional().describe('Only items that match.'),
      exclude: match.optional().describe('Not items that match.'),
      actions: z.array(attributeAction).min(1).describe('In this order.'),
    })
    .describe('Changes attributes of spans and log records.'),
  resource: z
    .strictObject({ attributes: z.array(attributeAction).min(1).describe('In this order.') })
    .describe('Changes attributes of the resource.'),
  probabilistic_sampler: z
    .strictObject({
      sampling_percentage: z.number().min(0).max(100).describe('Share of traces kept, 0 to 100.'),
      mode: z

        .enum(['proportional', 'equalizing', 'hash_seed'])
        .default('proportional')
        .describe(
          'proportional: the share of what comes in (W3C consistent probability, marked on the span). equalizing: brings all to one probability. hash_seed: by a hash of the trace id.',
        ),
      hash_seed: z.number().int().min(0).default(0).describe('hash_seed: draws other traces than the same percentage with another seed.'),
      sampling_precision: z.number().int().min(1).max(14).default(4).describe('Hex digits of the threshold written to the trace state.'),
      fail_closed: z.boolean().default(true).describe('Drops spans without usable randomness; otherwise keeps them.'),
    })
    .describe('Keeps a fixed share of traces, before they are stored in the log.'),
  tail_sampling: z
    .strictObject({
      decision_wait: duration('30s', 'From the first span of a trace to its decision, in log time.'),
      late_wait: duration('60s', "How long after the decision late spans follow it. Tailrace's own."),
      held_bytes_max: z
        .number()
        .int()
        .min(1_048_576)
        .default(536_870_912)
        .describe(
          "Bytes of records held for a decision, per partition (compressed). Beyond it the oldest traces are decided early. Tailrace's own.",
        ),
      traces_max: z
        .number()
        .int()
        .min(1_000)
        .default(5_000_000)
        .describe(
          "Appearances of traces in records (a pair of record and trace) remembered per partition; beyond it the oldest are decided and forgotten early. Tailrace's own.",
        ),
      num_traces: z.number().int().min(0).optional().describe('Accepted: held_bytes_max and traces_max rule.'),
      expected_new_traces_per_sec: z.number().int().min(0).optional().describe('Accepted: tables grow by themselves.'),
      policies: z
        .array(policy)
        .min(1)
        .describe('Any `drop` policy that matches drops; else the first policy that matches keeps; else the trace is dropped.'),
    })
    .describe('Decides on whole traces.'),
  batch: z.looseObject({}).describe('Accepted: the log batches.'),
  memory_limiter: z.looseObject({}).describe('Accepted: budgets in bytes bound the memory.'),
};

const connectors = {
  spanmetrics: z
    .strictObject({
      namespace: z.string().default('traces.span.metrics').describe('Before the metric names `calls` and `duration`.'),
      histogram: z
        .strictObject({
          disable: z.boolean().default(false).describe('Only counts calls.'),
          unit: z.enum(['ms', 's']).default('ms').describe('Unit of the durations.'),
          exponential: z
            .strictObject({ max_size: z.number().int().min(2).max(16_384).default(160).describe('Buckets of a series; the scale adapts.') })
            .optional()
            .describe('Exponential histograms instead of explicit buckets.'),
          explicit: z
            .strictObject({
              buckets: z
                .array(requiredDuration('Upper bound.'))
                .min(1)
                .prefault([
                  '2ms',
                  '4ms',
                  '6ms',
                  '8ms',
                  '10ms',
                  '50ms',
                  '100ms',
                  '200ms',
                  '400ms',
                  '800ms',
                  '1s',
                  '1400ms',
                  '2s',
                  '5s',
                  '10s',
                  '15s',
                ])
                .describe('Upper bounds of the buckets, rising.'),
            })
            .prefault({}),
        })
        .prefault({}),
      dimensions: z
        .array(
          z.strictObject({
            name: z.string().min(1).describe('Span attribute, or resource attribute where the span has none.'),
            default: z.string().optional().describe('Value where both are missing; without it the dimension is left out.'),
          }),
        )
        .default([])
        .describe('Besides service.name, span.name, span.kind and status.code.'),
      exclude_dimensions: z.array(z.string()).default([]).describe('Of the four that are always there, or of `dimensions`.'),
      exemplars: z
        .strictObject({
          enabled: z.boolean().default(false).describe('Trace ids beside the numbers.'),
          max_per_data_point: z.number().int().min(1).max(100).default(5).describe('Per series and window.'),
        })
        .prefault({}),
      metrics_flush_interval: duration('15s', 'Length of a window, in log time. '),
      aggregation_cardinality_limit: z
        .number()
        .int()
        .min(1)
        .default(10_000)
        .describe('Series per partition and window; the rest goes to one series with otel.metric.overflow=true.'),
    })
    .describe('Calls and durations by service, span name, kind and status, over all spans that reach it, as delta metrics.'),
};

const exporters = {
  clickhouse: z
    .strictObject({
      endpoint: z.string().default('embedded').describe('`embedded` (the engine inside Tailrace), or http(s)://host:8123 of a server.'),
      database: z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'letters, digits and _')
        .default('default')
        .describe('Made when it is not there.'),
      username: z.string().default('default').describe('User at a server.'),
      password: z.string().default('').describe('Use ${env:NAME} or ${file:PATH}.'),
      create_schema: z.boolean().default(true).describe('Creates and migrates the tables at start.'),
      ttl: duration('720h', 'Rows are removed this long after their timestamp; 0 keeps them.'),
      batch: z
        .strictObject({
          rows_max: z.number().int().min(1).default(100_000).describe('Rows of one insert.'),
          bytes_max: z.number().int().min(1_024).default(33_554_432).describe('Bytes of one insert.'),
          timeout: duration('1s', 'Longest wait for an insert to fill.'),
        })
        .prefault({})
        .describe("Tailrace's own."),
    })
    .describe('Stores traces, metrics and logs in the tables of the Collector’s ClickHouse exporter.'),
};

export const componentSchemas = { receivers, processors, connectors, exporters };
export type Section = keyof typeof componentSchemas;
export type OtlpConfig = z.output<typeof receivers.otlp>;
export type AttributesConfig = z.output<typeof processors.attributes>;
export type ResourceConfig = z.output<typeof processors.resource>;
export type MatchConfig = z.output<typeof match>;
export type FilterConfig = z.output<typeof processors.filter>;
export type AttributeActionConfig = z.output<typeof attributeAction>;
export type ProbabilisticSamplerConfig = z.output<typeof processors.probabilistic_sampler>;
export type TailSamplingConfig = z.output<typeof processors.tail_sampling>;
export type SpanMetricsConfig = z.output<typeof connectors.spanmetrics>;
export type ClickHouseConfig = z.output<typeof exporters.clickhouse>;
