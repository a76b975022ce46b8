import { OperatorError } from '../base/errors.ts';
import type { Signal } from '../otlp/walk.ts';
import { LogSampler } from './log-sampler.ts';
import type { Processor } from './processor.ts';
import type { ProbabilisticSamplerSettings } from './sampler-settings.ts';
import { SpanSampler } from './span-sampler.ts';

/** Keeps a share of spans or log records, the same for all of a trace on every replica. @throws OperatorError */
export function createProbabilisticSampler(
  settings: ProbabilisticSamplerSettings,
  signal: Signal,
  name = 'probabilistic_sampler',
): Processor {
  const { samplingPercentage: percentage, samplingPrecision: precision } = settings;
  if (!(percentage >= 0)) throw new OperatorError(`${name}: sampling_percentage is ${percentage}`, 'write a number from 0 to 100');
  if (!Number.isInteger(precision) || precision < 1 || precision > 14) {
    throw new OperatorError(`${name}: sampling_precision is ${precision}`, 'write a number of hex digits from 1 to 14');
  }
  if (signal === 'metrics') throw new OperatorError(`${name} samples traces and logs, not metrics`, 'take it out of the metrics pipeline');
  return signal === 'logs' ? new LogSampler(name, settings) : new SpanSampler(name, settings);
}
