import type { Signal } from '../pipelines/otlp/walk.ts';
import { compileCondition } from '../pipelines/process/condition.ts';
import { ConditionError } from '../pipelines/process/condition-error.ts';
import { contextOf } from '../pipelines/process/filter.ts';
import type { ConditionContext } from '../pipelines/process/ottl-value.ts';
import type { FilterConfig } from './schema-components.ts';
import type { Path, Source } from './source.ts';

/** Compiles every condition of a filter, so that a mistake is found where it stands, before anything runs. */
export function checkConditions(source: Source, path: Path, filter: FilterConfig): void {
  const lists: readonly (readonly [ConditionContext | Signal, Path, readonly string[] | undefined])[] = [
    ['span', ['traces', 'span'], filter.traces?.span],
    ['spanevent', ['traces', 'spanevent'], filter.traces?.spanevent],
    ['log', ['logs', 'log_record'], filter.logs?.log_record],
    ['metric', ['metrics', 'metric'], filter.metrics?.metric],
    ['traces', ['trace_conditions'], filter.trace_conditions],
    ['logs', ['log_conditions'], filter.log_conditions],
    ['metrics', ['metric_conditions'], filter.metric_conditions],
  ];
  for (const [context, where, conditions] of lists) {
    for (const [index, text] of (conditions ?? []).entries()) {
      try {
        compileCondition(text, isSignal(context) ? contextOf(text, context) : context);
      } catch (error) {
        if (!(error instanceof ConditionError)) throw error;
        const hint = error.suggestion === undefined ? '' : `; ${error.suggestion}`;
        source.report('error', [...path, ...where, index], `${error.message}${hint}`, error.column - 1);
      }
    }
  }
}

function isSignal(context: ConditionContext | Signal): context is Signal {
  return context === 'traces' || context === 'logs' || context === 'metrics';
}
