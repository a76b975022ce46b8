import type { Component } from '../config/plan.ts';
import type {
  AttributeActionConfig,
  AttributesConfig,
  FilterConfig,
  MatchConfig,
  ProbabilisticSamplerConfig,
  ResourceConfig,
} from '../config/schema-components.ts';
import { componentType } from '../config/schema.ts';
import type { Signal } from '../pipelines/otlp/walk.ts';
import type { AttributeAction } from '../pipelines/process/attribute-actions.ts';
import { createAttributes } from '../pipelines/process/attributes.ts';
import { createFilter, type FilterSettings } from '../pipelines/process/filter.ts';
import type { MatchSettings } from '../pipelines/process/item-match.ts';
import { createProbabilisticSampler } from '../pipelines/process/probabilistic-sampler.ts';
import type { Processor } from '../pipelines/process/processor.ts';
import { createResource } from '../pipelines/process/resource.ts';

/** The stateless processors of a pipeline, each with buffers of its own: never share one between branches. */
export function processorsOf(components: readonly Component[], signal: Signal): Processor[] {
  return components.map((component) => processorOf(component, signal));
}

function processorOf({ id, config }: Component, signal: Signal): Processor {
  switch (componentType(id)) {
    case 'filter':
      return createFilter(filterSettings(config as FilterConfig), signal, id);
    case 'attributes': {
      const { include, exclude, actions } = config as AttributesConfig;
      return createAttributes(
        {
          actions: actions.map(attributeAction),
          ...(include === undefined ? {} : { include: matchSettings(include) }),
          ...(exclude === undefined ? {} : { exclude: matchSettings(exclude) }),
        },
        signal,
        id,
      );
    }
    case 'resource':
      return createResource({ attributes: (config as ResourceConfig).attributes.map(attributeAction) }, id);
    case 'probabilistic_sampler': {
      const sampler = config as ProbabilisticSamplerConfig;
      return createProbabilisticSampler(
        {
          mode: sampler.mode,
          samplingPercentage: sampler.sampling_percentage,
          hashSeed: sampler.hash_seed,
          failClosed: sampler.fail_closed,
          samplingPrecision: sampler.sampling_precision,
        },
        signal,
        id,
      );
    }
    default:
      throw new Error(`no room builds the processor ${id}`);
  }
}

function filterSettings(config: FilterConfig): FilterSettings {
  return defined({
    errorMode: config.error_mode,
    traces: config.traces === undefined ? undefined : defined(config.traces),
    logs: config.logs === undefined ? undefined : defined({ logRecord: config.logs.log_record }),
    metrics: config.metrics === undefined ? undefined : defined(config.metrics),
    traceConditions: config.trace_conditions,
    logConditions: config.log_conditions,
    metricConditions: config.metric_conditions,
  });
}

function attributeAction(config: AttributeActionConfig): AttributeAction {
  return defined({
    action: config.action,
    key: config.key,
    pattern: config.pattern,
    value: config.value,
    fromAttribute: config.from_attribute,
    defaultValue: config.default_value,
    convertedType: config.converted_type,
  });
}

function matchSettings(config: MatchConfig): MatchSettings {
  return defined({
    matchType: config.match_type,
    services: config.services,
    spanNames: config.span_names,
    attributes: config.attributes?.map((one) => defined(one)),
  });
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Without the keys whose value is undefined: in settings, a key that is there has a value. */
function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as Defined<T>;
}
