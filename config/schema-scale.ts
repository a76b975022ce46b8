import { z } from 'zod';
import { duration } from './duration.ts';

/** What many machines need beside the pipelines: Kafka, Redis, jobs. None of it is read by `standalone`. */

export const kafka = z
  .strictObject({
    brokers: z.array(z.string()).min(1).default(['127.0.0.1:9092']).describe('host:port of some brokers.'),
    client_id: z.string().default('tailrace').describe('Names Tailrace in the brokers’ logs.'),
    topic_prefix: z
      .string()
      .regex(/^[A-Za-z0-9._-]*$/, 'letters, digits, . _ -')
      .default('tailrace.')
      .describe('Before every topic and consumer group.'),
    partitions: z
      .number()
      .int()
      .min(1)
      .max(10_000)
      .default(12)
      .describe('Partitions of every topic that `tailrace topics` creates. All topics of a file have the same number.'),
    replication_factor: z.number().int().min(1).max(15).default(3).describe('Copies of every partition that `tailrace topics` asks for.'),
    retention: duration('24h', 'How long the brokers keep records; at least twice decision_wait + late_wait.'),
    message_bytes_max: z.number().int().min(65_536).default(8_388_608).describe('Largest record the brokers take (max.message.bytes).'),
    tls: z
      .strictObject({
        ca_file: z.string().optional().describe('PEM of the authority.'),
        cert_file: z.string().optional().describe('PEM of the client certificate.'),
        key_file: z.string().optional().describe('PEM of its key.'),
      })
      .optional()
      .describe('Encrypts; {} uses the system’s authorities.'),
    sasl: z
      .strictObject({
        mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']).describe('How to log in.'),
        username: z.string().describe('User.'),
        password: z.string().describe('Use ${env:NAME} or ${file:PATH}.'),
      })
      .optional()
      .describe('Logs in.'),
  })
  .describe('The log between the roles. Needed by ingest, sample, write, jobs and topics.');

export const redis = z
  .strictObject({
    url: z.string().default('redis://127.0.0.1:6379').describe('redis://[user:password@]host:port[/database], or rediss://.'),
    key_prefix: z.string().default('tailrace:').describe('Before every key.'),
  })
  .describe('Rate limits that hold over the whole cluster without waste, and jobs. Without it everything goes on but these.');

const alertRule = z.strictObject({
  name: z.string().min(1).describe('alertname.'),
  sql: z.string().min(1).describe('Gives a row for each series: a column `value`, the others are labels.'),
  above: z.number().optional().describe('Fires while value > this.'),
  below: z.number().optional().describe('Fires while value < this.'),
  for: duration('0', 'Only when it has held this long.'),
  every: duration('1m', 'How often it is asked.'),
  labels: z.record(z.string(), z.string()).default({}).describe('Added to the labels of the rows.'),
  annotations: z.record(z.string(), z.string()).default({}).describe('Text for people; {{value}} and {{label}} are put in.'),
});

export const alerts = z
  .strictObject({
    webhooks: z.array(z.string()).default([]).describe('Alertmanager API addresses, such as http://alertmanager:9093/api/v2/alerts.'),
    rules: z.array(alertRule).default([]).describe('Evaluated by one `jobs` replica.'),
  })
  .prefault({})
  .describe('Alert rules over ClickHouse.');

export type KafkaConfig = z.output<typeof kafka>;
export type AlertsConfig = z.output<typeof alerts>;
export type AlertRuleConfig = z.output<typeof alertRule>;
