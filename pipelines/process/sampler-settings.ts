/** The Collector's probabilisticsamplerprocessor. */
export interface ProbabilisticSamplerSettings {
  /**
   * `proportional` keeps the share of what comes in, whatever it stood for; `equalizing` brings everything down to one probability;
   * `hash_seed` takes its randomness from a hash of the trace id (FNV-1a, 14 bits, as the Collector computes it).
   */
  readonly mode: 'hash_seed' | 'proportional' | 'equalizing';
  /** 0 to 100; 100 and more keep all. */
  readonly samplingPercentage: number;
  /** Unsigned 32-bit; hash_seed only. */
  readonly hashSeed: number;
  /** Whether an item without randomness, or with a threshold that contradicts it, is dropped (true) or kept (false). */
  readonly failClosed: boolean;
  /** Significant hex digits of the threshold, 1 to 14. */
  readonly samplingPrecision: number;
  /** Logs: where randomness comes from. `record` takes `fromAttribute`; `traceID` only falls back to it. */
  readonly attributeSource?: 'traceID' | 'record';
  readonly fromAttribute?: string;
  /** Logs: an attribute whose number, 0 to 100, takes the place of the percentage. */
  readonly samplingPriority?: string;
}
