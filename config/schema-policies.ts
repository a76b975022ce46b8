import { z } from 'zod';

/** The policies of `tail_sampling`, keyed as the Collector's tailsamplingprocessor keys them: `{name, type, <type>: {…}}`. */
const name = z.string().min(1).describe('Names the policy in metrics, in `tailsampling.policy` on kept spans and in answers to "why".');

const settings = {
  latency: z
    .strictObject({
      threshold_ms: z.number().min(0).describe('Keeps a trace whose latest end minus earliest start is at least this, in milliseconds.'),
      upper_threshold_ms: z.number().min(0).default(0).describe('With a value above 0: and at most this.'),
    })
    .describe('How long the whole trace took.'),
  status_code: z
    .strictObject({
      status_codes: z
        .array(z.enum(['OK', 'ERROR', 'UNSET']))
        .min(1)
        .describe('Keeps a trace with a span of one of these.'),
    })
    .describe('The status of any span.'),
  probabilistic: z
    .strictObject({
      sampling_percentage: z.number().min(0).max(100).describe('Share of traces kept, 0 to 100.'),
      hash_salt: z
        .string()
        .default('')
        .describe(
          'Draws other traces than the same percentage elsewhere. Empty: the randomness of the trace id decides (W3C consistent probability).',
        ),
    })
    .describe('A fixed share of traces, the same ones on every replica.'),
  string_attribute: z
    .strictObject({
      key: z.string().min(1).describe('A span attribute, or a resource attribute where the span has none.'),
      values: z.array(z.string()).min(1).describe('Values, or regular expressions.'),
      enabled_regex_matching: z.boolean().default(false).describe('`values` are regular expressions.'),
      cache_max_size: z.number().int().min(0).default(128).describe('Verdicts of regular expressions that are remembered.'),
      invert_match: z.boolean().default(false).describe('Keeps a trace that has no such span.'),
    })
    .describe('A string attribute of any span or its resource.'),
  numeric_attribute: z
    .strictObject({
      key: z
        .string()
        .min(1)
        .describe('A span or resource attribute. Decimal strings count as numbers, since Envoy sends every attribute as a string.'),
      min_value: z.number().optional().describe('At least this; without it, no lower bound.'),
      max_value: z.number().optional().describe('At most this; without it, no upper bound.'),
      invert_match: z.boolean().default(false).describe('Keeps a trace that has no such span.'),
    })
    .refine((value) => value.min_value !== undefined || value.max_value !== undefined, { message: 'give min_value, max_value or both' })
    .describe('A numeric attribute of any span or its resource.'),
  span_count: z
    .strictObject({
      min_spans: z.number().int().min(1).default(1).describe('At least this many spans.'),
      max_spans: z.number().int().min(0).default(0).describe('With a value above 0: and at most this many.'),
    })
    .describe('How many spans the trace has.'),
  rate_limiting: z
    .strictObject({
      spans_per_second: z
        .number()
        .int()
        .min(1)
        .describe(
          'Spans kept in one second of log time, over all partitions together: each partition keeps an equal share. With Redis, partitions lend each other what they do not need, for 10 seconds at a time. A trace larger than a share is kept only in its partition’s turn (one second in as many as there are partitions), and the seconds after pay for it; one larger than this number is never kept.',
        ),
    })
    .describe('Keeps traces until the second is used up.'),
} as const;

const leaves = [
  z.strictObject({ name, type: z.literal('always_sample') }).describe('Keeps every trace.'),
  z.strictObject({ name, type: z.literal('latency'), latency: settings.latency }),
  z.strictObject({ name, type: z.literal('status_code'), status_code: settings.status_code }),
  z.strictObject({ name, type: z.literal('probabilistic'), probabilistic: settings.probabilistic }),
  z.strictObject({ name, type: z.literal('string_attribute'), string_attribute: settings.string_attribute }),
  z.strictObject({ name, type: z.literal('numeric_attribute'), numeric_attribute: settings.numeric_attribute }),
  z.strictObject({ name, type: z.literal('span_count'), span_count: settings.span_count }),
  z.strictObject({ name, type: z.literal('rate_limiting'), rate_limiting: settings.rate_limiting }),
] as const;

const and = z.strictObject({ and_sub_policy: z.array(z.discriminatedUnion('type', [...leaves])).min(1) });
const andPolicy = z.strictObject({ name, type: z.literal('and'), and }).describe('Keeps a trace that every sub-policy keeps.');
const drop = z.strictObject({ drop_sub_policy: z.array(z.discriminatedUnion('type', [...leaves, andPolicy])).min(1) });
const dropPolicy = z
  .strictObject({ name, type: z.literal('drop'), drop })
  .describe('Drops a trace that every sub-policy keeps, whatever other policies say.');

export const policy = z.discriminatedUnion('type', [...leaves, andPolicy, dropPolicy]);
export type LeafPolicyConfig = z.output<(typeof leaves)[number]>;
export type PolicyConfig = z.output<typeof policy>;
