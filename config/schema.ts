import { z } from 'zod';
import { address } from './address.ts';
import { duration } from './duration.ts';
import { alerts, kafka, redis } from './schema-scale.ts';
import { componentSchemas, type Section } from './schema-components.ts';

/** The file around the components. `componentSchemas` holds theirs; `load.ts` joins the two, so that every error has its place. */

const service = z.strictObject({
  pipelines: z
    .record(
      z.string(),
      z.strictObject({
        receivers: z.array(z.string()).min(1).describe('Receivers, or connectors that other pipelines export to.'),
        processors: z.array(z.string()).default([]).describe('In this order.'),
        exporters: z.array(z.string()).min(1).describe('Exporters, or connectors.'),
      }),
    )
    .describe('`traces`, `metrics`, `logs`, each with an optional /name.'),
  extensions: z.array(z.string()).optional().describe('Accepted, without effect.'),
  telemetry: z
    .strictObject({
      logs: z
        .strictObject({
          level: z
            .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
            .default('info')
            .describe('Least severe line written.'),
        })
        .prefault({}),
      metrics: z.strictObject({ address: address('127.0.0.1:8888', 'Serves /metrics, /healthz and /readyz.') }).prefault({}),
    })
    .prefault({})
    .describe('What Tailrace says of itself.'),
});

export const tailrace = z
  .strictObject({
    data_dir: z.string().default('./data').describe('Standalone: the log and the embedded ClickHouse. Relative to the working folder.'),
    sql: z.strictObject({ endpoint: address('127.0.0.1:8123', 'ClickHouse HTTP interface of the embedded engine.') }).prefault({}),
    log: z
      .strictObject({
        partitions: z.number().int().min(1).max(256).default(4).describe('Partitions of every topic.'),
        linger: duration('10ms', 'Longest wait for a batch to fill before it is appended and its senders are answered.'),
        batch_bytes: z.number().int().min(1_024).default(262_144).describe('Bytes of a batch, before compression.'),
        record_bytes_max: z
          .number()
          .int()
          .min(65_536)
          .default(4_194_304)
          .describe('Largest record, before compression; larger batches are cut, a span that alone is larger is refused.'),
        bytes_max: z
          .number()
          .int()
          .min(16_777_216)
          .default(10_737_418_240)
          .describe('Bytes of the embedded log; beyond it senders are asked to retry.'),
        retention: duration('0', 'Keeps records this long after every stage has read them.'),
      })
      .prefault({}),
    limits: z
      .strictObject({
        in_flight_bytes_max: z
          .number()
          .int()
          .min(1_048_576)
          .default(268_435_456)
          .describe('Bytes of requests received and not yet answered; beyond it senders are asked to retry.'),
        attributes_max: z
          .number()
          .int()
          .min(1)
          .default(1_024)
          .describe('Attributes of one span, log record or data point, with those of its events and links; one with more is refused.'),
        drain_timeout: duration('30s', 'Longest wait for requests under way at a stop.'),
      })
      .prefault({}),
    kafka: kafka.optional(),
    redis: redis.optional(),
    alerts,
  })
  .prefault({})
  .describe("Tailrace's own settings.");

const testSpan = z.strictObject({
  trace: z.string().min(1).describe('Any name; spans with the same name are one trace.'),
  at: duration('0', 'When the span arrives, counted from the start of the test.'),
  name: z.string().default('GET /').describe('Span name.'),
  service: z.string().default('test').describe('service.name of its resource.'),
  kind: z.enum(['internal', 'server', 'client', 'producer', 'consumer']).default('server').describe('Span kind.'),
  status: z.enum(['unset', 'ok', 'error']).default('unset').describe('Status code.'),
  start: duration('0', 'Start of the span, counted from the start of the test.'),
  duration: duration('1ms', 'Length of the span.'),
  attributes: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
    .default({})
    .describe('Span attributes.'),
  resource: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
    .default({})
    .describe('Resource attributes.'),
});

const tests = z
  .array(
    z.strictObject({
      name: z.string().min(1).describe('Says the behaviour.'),
      pipeline: z.string().optional().describe('A traces pipeline; needed where there are several with tail_sampling.'),
      spans: z.array(testSpan).min(1).describe('Spans in.'),
      expect: z
        .array(
          z.strictObject({
            trace: z.string().describe('As in spans.'),
            kept: z.boolean().describe('What must come of it.'),
            policy: z.string().optional().describe('The policy that must have kept it.'),
            spans: z.number().int().min(0).optional().describe('How many of its spans must come out.'),
          }),
        )
        .min(1)
        .describe('What must come out.'),
    }),
  )
  .default([])
  .describe('Run by `tailrace check`.');

const section = (what: string) => z.record(z.string(), z.unknown()).describe(what);

export const file = z.strictObject({
  receivers: section('Where data comes in.'),
  processors: section('What is done with it.').default({}),
  connectors: section('From one pipeline into another.').default({}),
  exporters: section('Where data goes.'),
  service,
  tailrace,
  tests,
  extensions: z.unknown().optional().describe('Accepted, without effect: health, metrics and storage are built in.'),
});

export type TailraceConfig = z.output<typeof tailrace>;
export type PipelineTest = z.output<typeof tests>[number];

/** A component as the file names it: `type` or `type/name`. */
export function componentType(id: string): string {
  const slash = id.indexOf('/');
  return slash < 0 ? id : id.slice(0, slash);
}

/** The JSON schema (2020-12) of a whole file, for editors. */
export function jsonSchema(): Record<string, unknown> {
  const whole = z.toJSONSchema(file, { io: 'input' }) as { properties: Record<string, unknown> };
  for (const [name, types] of Object.entries(componentSchemas) as [Section, Record<string, z.ZodType>][]) {
    whole.properties[name] = {
      type: 'object',
      description: (whole.properties[name] as { description: string }).description,
      patternProperties: Object.fromEntries(
        Object.entries(types).map(([type, schema]) => {
          const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' });
          return [`^${type}(/.+)?$`, rest];
        }),
      ),
      additionalProperties: false,
    };
  }
  return { ...whole };
}

/** A file that has been read and checked. Components keep the id that the file gives them. */
export interface Config {
  readonly path: string;
  readonly receivers: ReadonlyMap<string, unknown>;
  readonly processors: ReadonlyMap<string, unknown>;
  readonly connectors: ReadonlyMap<string, unknown>;
  readonly exporters: ReadonlyMap<string, unknown>;
  readonly service: z.output<typeof service>;
  readonly tailrace: TailraceConfig;
  readonly tests: readonly PipelineTest[];
}
