/**
 * What the room receives. Policy fields are the Collector's (processor/tailsamplingprocessor/config.go) in camelCase; the
 * semantics of each stand over the class that carries them out (policies/*.ts).
 */
export type StatusName = 'OK' | 'ERROR' | 'UNSET';

export type PolicySettings =
  | { readonly name: string; readonly type: 'always_sample' }
  | { readonly name: string; readonly type: 'latency'; readonly threshold_ms: number; readonly upperThreshold_ms?: number }
  | { readonly name: string; readonly type: 'status_code'; readonly statusCodes: readonly StatusName[] }
  | { readonly name: string; readonly type: 'probabilistic'; readonly samplingPercentage: number; readonly hashSalt?: string }
  | {
      readonly name: string;
      readonly type: 'string_attribute';
      readonly key: string;
      readonly values: readonly string[];
      readonly enabledRegexMatching?: boolean;
      readonly invertMatch?: boolean;
      /** Taken for the Collector's sake: patterns run over bytes and need no cache. */
      readonly cacheMaxSize?: number;
    }
  | {
      readonly name: string;
      readonly type: 'numeric_attribute';
      readonly key: string;
      readonly minValue?: number;
      readonly maxValue?: number;
      readonly invertMatch?: boolean;
    }
  | { readonly name: string; readonly type: 'span_count'; readonly minSpans: number; readonly maxSpans?: number }
  | { readonly name: string; readonly type: 'rate_limiting'; readonly spansPerSecond: number }
  | { readonly name: string; readonly type: 'and'; readonly subPolicies: readonly PolicySettings[] }
  | { readonly name: string; readonly type: 'drop'; readonly subPolicies: readonly PolicySettings[] };

export interface SamplerSettings {
  /** From a record's append to its emission; a trace is decided when the first record that holds a span of it is emitted. ≥ 0. */
  readonly decisionWait_ms: number;
  /** How long after that late spans follow the decision, counted from first-seen, never refreshed. ≥ 0. */
  readonly lateWait_ms: number;
  /** Compressed bytes (and 4 a span) of waiting records on one partition. Beyond it the oldest are emitted early. */
  readonly heldBytes_max: number;
  /** Appearances of traces in records (one for each pair of record and trace) that the memory spans on one partition; bounds the slots. Beyond it the oldest traces are decided early and forgotten early. */
  readonly traces_max: number;
  /** In order. Any `drop` that matches drops; else the first that keeps names the decision; else the trace is dropped. */
  readonly policies: readonly PolicySettings[];
}
