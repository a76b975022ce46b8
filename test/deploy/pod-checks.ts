import type { Facts } from './facts.ts';
import { at, list, shown, type Value } from './strict-yaml.ts';

/** What must hold for every pod of k8s/, beyond the types. Each check returns what is wrong, so that the tests can show that it finds it. */

export const ROLES = ['ingest', 'sample', 'write', 'query', 'jobs'] as const;

export const workloads = (resources: readonly Value[]): Value[] => resources.filter(({ kind }) => kind === 'Deployment' || kind === 'Job');
export const nameOf = (resource: Value): string => String(at(resource, 'metadata.name'));
const pod = (workload: Value): Value => at(workload, 'spec.template.spec') as Value;
export const containers = (workload: Value): Value[] => [...list(pod(workload), 'initContainers'), ...list(pod(workload), 'containers')];
export const commandOf = (container: Value): string => String((container['args'] as string[] | undefined)?.[0]);

const find = (resources: readonly Value[], kind: string, name: unknown): Value | undefined =>
  resources.find((resource) => resource['kind'] === kind && nameOf(resource) === name);

/** An image is pinned when a version or digest is named. */
export function unpinned(image: unknown): boolean {
  if (typeof image !== 'string') return true;
  if (/@sha256:[0-9a-f]{64}$/.test(image)) return false;
  const tag = /:([^:/]+)$/.exec(image)?.[1];
  return tag === undefined || !/\d+\.\d+/.test(tag);
}

/** The command, the file it reads, and that this file is mounted there as a folder (a subPath would never change). */
export function commandProblems(workload: Value, resources: readonly Value[], commands: ReadonlySet<string>): string[] {
  const problems: string[] = [];
  for (const container of containers(workload)) {
    const where = `${nameOf(workload)}/${String(container['name'])}`;
    const [command, flag, path, ...more] = (container['args'] ?? []) as string[];
    if (command === undefined || !commands.has(command)) problems.push(`${where}: tailrace has no command ${String(command)}`);
    if (flag !== '--config' || path === undefined || more.length > 0)
      problems.push(`${where}: the arguments are not COMMAND --config FILE`);
    if (container['command'] !== undefined) problems.push(`${where}: command replaces the image's entry point`);
    if (unpinned(container['image'])) problems.push(`${where}: image ${String(container['image'])} is not pinned`);
    const mount = list(container, 'volumeMounts').find(({ mountPath }) => `${String(mountPath)}/` === path?.replace(/[^/]+$/, ''));
    const volume = list(pod(workload), 'volumes').find(({ name }) => name === mount?.['name']);
    const config = find(resources, 'ConfigMap', at(volume, 'configMap.name'));
    if (at(config, `data`) === undefined || !Object.hasOwn(at(config, 'data') as Value, String(path).replace(/.*\//, '')))
      problems.push(`${where}: ${String(path)} is in no mounted ConfigMap`);
    if (mount?.['subPath'] !== undefined) problems.push(`${where}: a file mounted by subPath never changes`);
    for (const { name } of list(container, 'volumeMounts'))
      if (!list(pod(workload), 'volumes').some((other) => other['name'] === name))
        problems.push(`${where}: there is no volume ${String(name)}`);
  }
  return problems;
}

/** The environment that a container gets from ConfigMaps and Secrets; secrets by their key. */
export function environmentOf(container: Value, resources: readonly Value[]): Map<string, string> {
  const environment = new Map<string, string>();
  for (const source of list(container, 'envFrom')) {
    const map = find(resources, 'ConfigMap', at(source, 'configMapRef.name'));
    for (const [name, value] of Object.entries((map?.['data'] ?? {}) as Record<string, string>)) environment.set(name, value);
  }
  for (const entry of list(container, 'env'))
    environment.set(String(entry['name']), shown(entry['value'] ?? `secret:${String(at(entry, 'valueFrom.secretKeyRef.key'))}`));
  return environment;
}

/** Names that the pipeline file does not read, names that it needs and does not get, and references to what is not there. */
export function environmentProblems(workload: Value, resources: readonly Value[], facts: Facts, needed: readonly string[]): string[] {
  const problems: string[] = [];
  for (const container of containers(workload)) {
    const where = `${nameOf(workload)}/${String(container['name'])}`;
    const environment = environmentOf(container, resources);
    for (const source of list(container, 'envFrom')) {
      const name = at(source, 'configMapRef.name');
      if (find(resources, 'ConfigMap', name) === undefined) problems.push(`${where}: there is no ConfigMap ${String(name)}`);
    }
    for (const name of environment.keys())
      if (!facts.environment.names.has(name)) problems.push(`${where}: the pipeline file does not read ${name}`);
    for (const name of [...facts.environment.required, ...needed])
      if (!environment.has(name)) problems.push(`${where}: ${name} is not set`);
  }
  return problems;
}

/** Ports that the role really listens at, by its command. */
export function portsOf(role: string, { ports }: Facts): number[] {
  const own: Record<string, number[]> = { ingest: [ports.grpc, ports.http], query: [ports.sql] };
  return [...(own[role] ?? []), ports.health].toSorted((a, b) => a - b);
}

/** Ports, probes and the end of a role's pod. `paths`: what the code's server of health answers. */
export function lifecycleProblems(deployment: Value, facts: Facts, paths: ReadonlySet<string>): string[] {
  const [container] = list(pod(deployment), 'containers');
  const where = nameOf(deployment);
  const problems: string[] = [];
  const ports = list(container, 'ports');
  const numbers = ports.map(({ containerPort }) => Number(containerPort)).toSorted((a, b) => a - b);
  const expected = portsOf(commandOf(container!), facts);
  if (numbers.join() !== expected.join()) problems.push(`${where}: ports ${numbers.join()} and not ${expected.join()}`);
  for (const [probe, path] of Object.entries({ startupProbe: '/healthz', livenessProbe: '/healthz', readinessProbe: '/readyz' })) {
    const get = at(container, `${probe}.httpGet`) as Value | undefined;
    const number = typeof get?.['port'] === 'number' ? get['port'] : ports.find(({ name }) => name === get?.['port'])?.['containerPort'];
    if (get?.['path'] !== path || !paths.has(path)) problems.push(`${where}: ${probe} asks ${String(get?.['path'])}, not ${path}`);
    if (number !== facts.ports.health) problems.push(`${where}: ${probe} asks port ${String(number)}, not ${facts.ports.health}`);
  }
  const grace = Number(at(deployment, 'spec.template.spec.terminationGracePeriodSeconds'));
  const preStop = Number(at(container, 'lifecycle.preStop.sleep.seconds'));
  if (!(preStop > 0)) problems.push(`${where}: no preStop: its port closes before the endpoints forget it`);
  if (!(grace > facts.drain_s + preStop))
    problems.push(
      `${where}: terminationGracePeriodSeconds ${grace} is not longer than preStop ${preStop} and drain_timeout ${facts.drain_s}`,
    );
  const annotations = at(deployment, 'spec.template.metadata.annotations') as Value;
  if (annotations?.['prometheus.io/port'] !== String(facts.ports.health) || !paths.has(String(annotations['prometheus.io/path'])))
    problems.push(
      `${where}: Prometheus is sent to ${String(annotations?.['prometheus.io/port'])}${String(annotations?.['prometheus.io/path'])}`,
    );
  return problems;
}

/** The restricted Pod Security Standard, a root file system that cannot be written, no token, and limits. */
export function hardeningProblems(workload: Value): string[] {
  const spec = pod(workload);
  const problems: string[] = [];
  const need = (holds: boolean, what: string): void => void (holds || problems.push(`${nameOf(workload)}: ${what}`));
  need(spec['automountServiceAccountToken'] === false, 'a token of the API is mounted');
  need(spec['serviceAccountName'] === 'tailrace', 'no service account of its own');
  need(at(spec, 'securityContext.runAsNonRoot') === true && Number(at(spec, 'securityContext.runAsUser')) > 0, 'may run as root');
  need(at(spec, 'securityContext.seccompProfile.type') === 'RuntimeDefault', 'no seccomp profile');
  need(spec['hostNetwork'] === undefined && spec['hostPID'] === undefined, 'shares the host');
  for (const container of containers(workload)) {
    const name = String(container['name']);
    const context = container['securityContext'];
    need(at(context, 'readOnlyRootFilesystem') === true, `${name}: the root file system can be written`);
    need(at(context, 'allowPrivilegeEscalation') === false, `${name}: privileges can be raised`);
    need(at(context, 'capabilities.drop.0') === 'ALL' && at(context, 'capabilities.add') === undefined, `${name}: keeps capabilities`);
    need(
      list(container, 'volumeMounts').some(({ mountPath }) => mountPath === '/tmp'),
      `${name}: nowhere for Node's compile cache`,
    );
    for (const path of ['requests.cpu', 'requests.memory', 'limits.memory'])
      need(at(container, `resources.${path}`) !== undefined, `${name}: no resources.${path}`);
  }
  return problems;
}

/** Bytes of a Kubernetes quantity such as 512Mi. */
export function bytesOf(quantity: unknown): number {
  const match = /^(\d+(?:\.\d+)?)(Ki|Mi|Gi|k|M|G)?$/.exec(String(quantity));
  if (match === null) return Number.NaN;
  const units: Record<string, number> = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, k: 1e3, M: 1e6, G: 1e9 };
  return Number(match[1]) * (match[2] === undefined ? 1 : units[match[2]]!);
}
