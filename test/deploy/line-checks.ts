import type { Facts } from './facts.ts';
import { bytesOf, commandOf, containers, environmentOf, nameOf, portsOf, workloads } from './pod-checks.ts';
import { at, list, shown, type Value } from './strict-yaml.ts';

/** What must hold between the resources of an overlay. */

const labelsOf = (workload: Value): Value => (at(workload, 'spec.template.metadata.labels') ?? {}) as Value;
const ofKind = (resources: readonly Value[], kind: string): Value[] => resources.filter((resource) => resource['kind'] === kind);
const component = (workload: Value): string => String(labelsOf(workload)['app.kubernetes.io/component']);

/** Whether a selector (matchLabels and matchExpressions with In) takes these labels. */
function selects(selector: unknown, labels: Value): boolean {
  const pairs = (at(selector, 'matchLabels') ?? {}) as Value;
  return (
    Object.entries(pairs).every(([name, value]) => labels[name] === value) &&
    list(selector, 'matchExpressions').every(
      ({ key, operator, values }) => operator === 'In' && (values as unknown[]).includes(labels[String(key)]),
    )
  );
}

/** Selectors of Deployments, spreads, Services and PodDisruptionBudgets take the pods they are for, and only those. */
export function selectorProblems(resources: readonly Value[]): string[] {
  const problems: string[] = [];
  const deployments = ofKind(resources, 'Deployment');
  for (const deployment of deployments) {
    const name = nameOf(deployment);
    const taken = (selector: unknown): string =>
      workloads(resources)
        .filter((other) => selects(selector, labelsOf(other)))
        .map(nameOf)
        .join();
    if (taken(at(deployment, 'spec.selector')) !== name)
      problems.push(`${name}: its selector takes ${taken(at(deployment, 'spec.selector'))}`);
    const spreads = list(at(deployment, 'spec.template.spec'), 'topologySpreadConstraints');
    if (spreads.length === 0) problems.push(`${name}: not spread`);
    for (const spread of spreads)
      if (taken(spread['labelSelector']) !== name) problems.push(`${name}: spread among ${taken(spread['labelSelector'])}`);
    const budgets = ofKind(resources, 'PodDisruptionBudget').filter((budget) => taken(at(budget, 'spec.selector')) === name);
    if (budgets.length !== 1) problems.push(`${name}: ${budgets.length} PodDisruptionBudgets`);
    for (const budget of budgets)
      if (at(budget, 'spec.maxUnavailable') !== 1) problems.push(`${name}: its budget lets no node be drained, or too much go`);
  }
  for (const service of ofKind(resources, 'Service')) {
    const name = nameOf(service);
    const target = deployments.filter((deployment) => selects({ matchLabels: at(service, 'spec.selector') }, labelsOf(deployment)));
    if (target.map(nameOf).join() !== name) problems.push(`Service ${name} takes ${target.map(nameOf).join()}`);
    const ports = target.flatMap((deployment) => containers(deployment).flatMap((container) => list(container, 'ports')));
    for (const port of (at(service, 'spec.ports') ?? []) as Value[]) {
      const hit = ports.find((other) => other['name'] === port['targetPort']);
      if (hit?.['containerPort'] !== port['port'])
        problems.push(`Service ${name}: ${String(port['name'])} goes to ${String(hit?.['containerPort'])}`);
    }
  }
  return problems;
}

/** NetworkPolicies name components and ports that exist, and let in what each role serves. */
export function networkProblems(resources: readonly Value[], facts: Facts): string[] {
  const problems: string[] = [];
  const policies = ofKind(resources, 'NetworkPolicy');
  const pods = workloads(resources);
  const known = new Set(pods.map(component));
  for (const policy of policies) {
    const selector = at(policy, 'spec.podSelector');
    const named = [at(selector, 'matchLabels') as Value | undefined]
      .map((labels) => labels?.['app.kubernetes.io/component'])
      .concat(list(selector, 'matchExpressions').flatMap(({ values }) => values as unknown[]))
      .filter((name) => name !== undefined);
    for (const name of named) if (!known.has(shown(name))) problems.push(`${nameOf(policy)}: there is no component ${shown(name)}`);
  }
  const openTo = (workload: Value, side: 'ingress' | 'egress'): number[] =>
    policies
      .filter((policy) => selects(at(policy, 'spec.podSelector'), labelsOf(workload)))
      .flatMap((policy) => (at(policy, `spec.${side}`) ?? []) as Value[])
      .flatMap((rule) => list(rule, 'ports'))
      .flatMap(({ port, endPort }) => range(Number(port), Number(endPort ?? port)));
  if (!policies.some((policy) => JSON.stringify(at(policy, 'spec')) === '{"podSelector":{},"policyTypes":["Ingress","Egress"]}'))
    problems.push('nothing denies what is not allowed');
  for (const workload of pods) {
    const roles = containers(workload).map(commandOf);
    if (workload['kind'] === 'Deployment') {
      const open = [...new Set(openTo(workload, 'ingress'))].toSorted((a, b) => a - b);
      const served = portsOf(roles[0]!, facts);
      if (open.join() !== served.join()) problems.push(`${nameOf(workload)}: lets in ${open.join()}, serves ${served.join()}`);
    }
    const environment = new Map(containers(workload).flatMap((container) => [...environmentOf(container, resources)]));
    const needs: [string, boolean][] = [
      ['TAILRACE_KAFKA', roles.some((role) => ['ingest', 'sample', 'write', 'jobs', 'topics'].includes(role))],
      ['TAILRACE_CLICKHOUSE_URL', roles.some((role) => ['write', 'query', 'jobs', 'migrate'].includes(role))],
      ['TAILRACE_REDIS_URL', roles.some((role) => ['sample', 'jobs', 'migrate'].includes(role))],
    ];
    // A secret may hold another address: the ConfigMap's is what the policy is written for.
    const config = ofKind(resources, 'ConfigMap').map((map) => (map['data'] ?? {}) as Record<string, string>);
    for (const [name, needed] of needs) {
      if (!needed || !environment.has(name)) continue;
      const address = config.map((data) => data[name]).find((value) => value !== undefined);
      const port = Number(/:(\d+)(?:\/|$)/.exec(address ?? '')?.[1]);
      if (!openTo(workload, 'egress').includes(port)) problems.push(`${nameOf(workload)}: may not reach ${name} (${address})`);
    }
  }
  return problems;
}

const range = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, n) => first + n);

/** Every role is either scaled or told its number, never both; scalers name what exists; lag is measured on our groups and topics. */
export function scalingProblems(resources: readonly Value[], facts: Facts): string[] {
  const problems: string[] = [];
  const scalers = [...ofKind(resources, 'HorizontalPodAutoscaler'), ...ofKind(resources, 'ScaledObject')];
  const targets = scalers.map((scaler) => String(at(scaler, 'spec.scaleTargetRef.name')));
  for (const target of targets)
    if (!ofKind(resources, 'Deployment').some((deployment) => nameOf(deployment) === target))
      problems.push(`a scaler's target ${target} is not there`);
  for (const deployment of ofKind(resources, 'Deployment')) {
    const scaled = targets.filter((target) => target === nameOf(deployment)).length;
    if (scaled + (at(deployment, 'spec.replicas') === undefined ? 0 : 1) !== 1)
      problems.push(`${nameOf(deployment)}: ${scaled} scalers and ${String(at(deployment, 'spec.replicas'))} replicas`);
  }
  for (const scaler of ofKind(resources, 'ScaledObject')) {
    const name = nameOf(scaler);
    const role = String(at(scaler, 'spec.scaleTargetRef.name')).replace('tailrace-', '');
    const groups = role === 'sample' ? facts.groups.sample : role === 'write' ? facts.groups.write : [];
    const measured = new Set<unknown>();
    for (const trigger of (at(scaler, 'spec.triggers') ?? []) as Value[]) {
      const { consumerGroup, topic, bootstrapServers } = trigger['metadata'] as Record<string, string>;
      measured.add(consumerGroup);
      if (!groups.includes(consumerGroup!)) problems.push(`${name}: ${role} has no group ${consumerGroup}`);
      if (topic !== undefined && !facts.reads.get(consumerGroup!)?.includes(topic))
        problems.push(`${name}: ${consumerGroup} does not read ${topic}`);
      if (bootstrapServers !== facts.brokers.join())
        problems.push(`${name}: asks Kafka at ${bootstrapServers}, not ${facts.brokers.join()}`);
    }
    for (const group of groups) if (!measured.has(group)) problems.push(`${name}: the lag of ${group} is not measured`);
    const most = Number(at(scaler, 'spec.maxReplicaCount'));
    if (!(most <= facts.partitions)) problems.push(`${name}: ${most} replicas for ${facts.partitions} partitions`);
  }
  return problems;
}

/** One replica may come to hold every partition; a fifth is left for tables, code and the collector. */
export function memoryProblems(resources: readonly Value[], facts: Facts): string[] {
  const sample = ofKind(resources, 'Deployment').find((deployment) => nameOf(deployment) === 'tailrace-sample')!;
  const limit = bytesOf(at(containers(sample)[0], 'resources.limits.memory'));
  return limit * 0.8 >= facts.heldBytes ? [] : [`tailrace-sample: ${facts.heldBytes} bytes may be held, the limit is ${limit}`];
}
