import { checkConditions } from './conditions.ts';
import { parseAddress } from './address.ts';
import type { FilterConfig, OtlpConfig, SpanMetricsConfig, TailSamplingConfig } from './schema-components.ts';
import { componentType, type Config } from './schema.ts';
import type { Source } from './source.ts';
import { suggestion } from './suggest.ts';

/** What a schema cannot say: references between pipelines and components, and what may stand where. */
export function checkPipelines(config: Config, source: Source): void {
  const used = new Set<string>();
  const ids = Object.entries(config.service.pipelines);
  if (ids.length === 0) source.report('error', ['service', 'pipelines'], 'no pipelines: name at least one, such as traces');
  for (const [id, pipeline] of ids) {
    const path = ['service', 'pipelines', id];
    const signal = componentType(id);
    if (signal !== 'traces' && signal !== 'metrics' && signal !== 'logs') {
      source.reportKey('error', path, `pipeline "${id}" is of no known signal${suggestion(signal, ['traces', 'metrics', 'logs'])}`);
      continue;
    }
    checkList(config, source, used, [...path, 'receivers'], pipeline.receivers, 'receivers');
    checkList(config, source, used, [...path, 'processors'], pipeline.processors, 'processors');
    checkList(config, source, used, [...path, 'exporters'], pipeline.exporters, 'exporters');
    checkPlaces(config, source, path, signal, pipeline);
  }
  for (const section of ['receivers', 'processors', 'connectors', 'exporters'] as const) {
    for (const id of config[section].keys()) {
      if (!used.has(`${section} ${id}`)) source.reportKey('warning', [section, id], `${section.slice(0, -1)} "${id}" is in no pipeline`);
    }
  }
  for (const [id, body] of config.processors) checkProcessor(source, id, body);
  for (const [id, body] of config.connectors) checkSpanMetrics(config, source, id, body as SpanMetricsConfig | undefined);
  checkTests(config, source);
  checkAddresses(config, source);
  checkAlerts(config, source);
}

function checkAlerts(config: Config, source: Source): void {
  const { rules, webhooks } = config.tailrace.alerts;
  const path = ['tailrace', 'alerts'];
  if (rules.length > 0 && webhooks.length === 0)
    source.reportKey('error', [...path, 'rules'], 'alert rules need tailrace.alerts.webhooks to send to');
  const names = new Set<string>();
  for (const [index, rule] of rules.entries()) {
    if ((rule.above === undefined) === (rule.below === undefined))
      source.report('error', [...path, 'rules', index], `rule "${rule.name}" needs above or below, one of them`);
    if (names.has(rule.name)) source.report('error', [...path, 'rules', index, 'name'], `two rules are named "${rule.name}"`);
    names.add(rule.name);
  }
}

/** Two servers cannot listen on one port. */
function checkAddresses(config: Config, source: Source): void {
  const seen = new Map<string, string>();
  const take = (text: string | undefined, path: (string | number)[]): void => {
    const address = text === undefined ? undefined : parseAddress(text);
    if (address === undefined || address.port === 0) return;
    const other = seen.get(String(address.port));
    if (other !== undefined) source.report('error', path, `port ${address.port} is taken by ${other} already`);
    seen.set(String(address.port), path.join('.'));
  };
  for (const [id, body] of config.receivers) {
    const protocols = (body as OtlpConfig | undefined)?.protocols;
    take(protocols?.grpc?.endpoint, ['receivers', id, 'protocols', 'grpc', 'endpoint']);
    take(protocols?.http?.endpoint, ['receivers', id, 'protocols', 'http', 'endpoint']);
  }
  take(config.tailrace.sql.endpoint, ['tailrace', 'sql', 'endpoint']);
  take(config.service.telemetry.metrics.address, ['service', 'telemetry', 'metrics', 'address']);
}

function checkList(
  config: Config,
  source: Source,
  used: Set<string>,
  path: (string | number)[],
  ids: readonly string[],
  section: 'receivers' | 'processors' | 'exporters',
): void {
  const seen = new Set<string>();
  for (const [index, id] of ids.entries()) {
    const connector = section !== 'processors' && config.connectors.has(id);
    if (seen.has(id)) source.report('error', [...path, index], `"${id}" is listed twice`);
    seen.add(id);
    if (connector) used.add(`connectors ${id}`);
    else if (config[section].has(id)) used.add(`${section} ${id}`);
    else {
      const known = [...config[section].keys(), ...(section === 'processors' ? [] : config.connectors.keys())];
      source.report(
        'error',
        [...path, index],
        `"${id}" is not declared under ${section}${section === 'processors' ? '' : ' or connectors'}${suggestion(id, known)}`,
      );
    }
  }
}

function checkPlaces(
  config: Config,
  source: Source,
  path: string[],
  signal: string,
  pipeline: Config['service']['pipelines'][string],
): void {
  const samplers = pipeline.processors.filter((id) => componentType(id) === 'tail_sampling');
  for (const [index, id] of pipeline.processors.entries()) {
    const type = componentType(id);
    if (signal !== 'traces' && (type === 'tail_sampling' || type === 'probabilistic_sampler')) {
      source.report('error', [...path, 'processors', index], `${type} works on traces, not on ${signal}`);
    }
    if (type === 'attributes' && signal === 'metrics')
      source.report(
        'error',
        [...path, 'processors', index],
        'attributes works on traces and logs, not on metrics yet; resource works on all three',
      );
  }
  if (samplers.length > 1)
    source.report(
      'error',
      [...path, 'processors'],
      `a pipeline has at most one tail_sampling, this one has ${samplers.length}: put the policies into one`,
    );
  for (const [index, id] of pipeline.exporters.entries()) {
    if (!config.connectors.has(id)) continue;
    if (signal !== 'traces') source.report('error', [...path, 'exporters', index], `${id} makes metrics from traces, not from ${signal}`);
    if (samplers.length > 0) {
      source.report(
        'error',
        [...path, 'exporters', index],
        `${id} behind tail_sampling would count only what is kept: export to it from a traces pipeline without tail_sampling, and it counts every span`,
      );
    }
  }
  for (const [index, id] of pipeline.receivers.entries()) {
    if (config.connectors.has(id) && signal !== 'metrics')
      source.report('error', [...path, 'receivers', index], `${id} gives metrics, not ${signal}`);
    if (config.connectors.has(id) && pipeline.receivers.length > 1)
      source.report(
        'error',
        [...path, 'receivers', index],
        `${id} cannot be mixed with other receivers: give it a metrics pipeline of its own`,
      );
  }
}

function checkProcessor(source: Source, id: string, body: unknown): void {
  const path = ['processors', id];
  switch (componentType(id)) {
    case 'filter':
      if (body !== undefined) checkConditions(source, path, body as FilterConfig);
      return;
    case 'tail_sampling': {
      if (body === undefined) return;
      const tail = body as TailSamplingConfig;
      const names = new Set<string>();
      for (const [index, policy] of tail.policies.entries()) {
        if (names.has(policy.name))
          source.report(
            'error',
            [...path, 'policies', index, 'name'],
            `two policies are named "${policy.name}": metrics and spans could not tell them apart`,
          );
        names.add(policy.name);
      }
      if (tail.policies.every((policy) => policy.type === 'drop'))
        source.report('warning', [...path, 'policies'], 'only drop policies: no trace can be kept');
      if (tail.num_traces !== undefined)
        source.reportKey('warning', [...path, 'num_traces'], 'num_traces has no effect: held_bytes_max and traces_max bound the memory');
      if (tail.expected_new_traces_per_sec !== undefined)
        source.reportKey(
          'warning',
          [...path, 'expected_new_traces_per_sec'],
          'expected_new_traces_per_sec has no effect: tables grow by themselves',
        );
      return;
    }
    case 'batch':
    case 'memory_limiter':
      source.reportKey(
        'warning',
        path,
        `${id} has no effect: ${componentType(id) === 'batch' ? 'the log batches (tailrace.log.batch_bytes, linger)' : 'budgets in bytes bound the memory (tailrace.limits)'}`,
      );
      return;
  }
}

function checkSpanMetrics(config: Config, source: Source, id: string, body: SpanMetricsConfig | undefined): void {
  const pipelines = Object.entries(config.service.pipelines);
  const from = pipelines.filter(([, pipeline]) => pipeline.exporters.includes(id));
  const to = pipelines.filter(([, pipeline]) => pipeline.receivers.includes(id));
  if (from.length > 0 && to.length === 0)
    source.reportKey(
      'error',
      ['connectors', id],
      `${id} gets spans from ${from.map(([name]) => name).join(', ')}, but no metrics pipeline names it as a receiver`,
    );
  if (to.length > 0 && from.length === 0)
    source.reportKey(
      'error',
      ['connectors', id],
      `${id} feeds ${to.map(([name]) => name).join(', ')}, but no traces pipeline exports to it`,
    );
  if (to.length > 1) source.reportKey('error', ['connectors', id], `${id} feeds ${to.length} pipelines; one is possible now`);
  const buckets = body?.histogram.explicit.buckets ?? [];
  for (const [index, bound] of buckets.entries()) {
    if (index > 0 && bound <= buckets[index - 1]!)
      source.report('error', ['connectors', id, 'histogram', 'explicit', 'buckets', index], 'bucket bounds must rise');
  }
}

function checkTests(config: Config, source: Source): void {
  for (const [index, test] of config.tests.entries()) {
    const path = ['tests', index];
    const sampling = Object.entries(config.service.pipelines).filter(([id]) => componentType(id) === 'traces');
    if (test.pipeline !== undefined && !sampling.some(([id]) => id === test.pipeline)) {
      source.report(
        'error',
        [...path, 'pipeline'],
        `"${test.pipeline}" is not a traces pipeline${suggestion(
          test.pipeline,
          sampling.map(([id]) => id),
        )}`,
      );
    }
    const traces = new Set(test.spans.map((span) => span.trace));
    for (const [at, expectation] of test.expect.entries()) {
      if (!traces.has(expectation.trace))
        source.report(
          'error',
          [...path, 'expect', at, 'trace'],
          `no span of this test has trace "${expectation.trace}"${suggestion(expectation.trace, [...traces])}`,
        );
    }
  }
}
