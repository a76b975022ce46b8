import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, normalize } from 'node:path';
import { schemaProblems } from './manifest-schemas.ts';
import { customSchemas } from './custom-schemas.ts';
import { at, list, parseStrict, read, readOne, readYaml, repository, shown, type Value } from './strict-yaml.ts';
import { jsonPatch, mergePatch } from './patches.ts';

/**
 * As much of `kustomize build` as k8s/ uses, so that the tests see what the cluster would: resources, labels, patches, generated ConfigMaps,
 * images, replicas, namespace. Stricter than the original: a resource twice and a patch, image or number of replicas that hits nothing
 * are errors. Not done: the hash behind the name of a generated ConfigMap. (Compared with the real one in test/system/deploy.test.ts.)
 */
export function build(folder: string): Value[] {
  const path = `${folder}/kustomization.yaml`;
  const kustomization = readOne(path);
  assert.deepEqual(schemaProblems(kustomization, customSchemas['kustomize.config.k8s.io/v1beta1 Kustomization']!, customSchemas), [], path);
  const resources = strings(kustomization, 'resources').flatMap((entry) => load(folder, entry));
  for (const generator of list(kustomization, 'configMapGenerator')) generate(resources, generator, folder);
  const seen = new Set<string>();
  for (const resource of resources) {
    const id = identity(resource);
    assert.ok(!seen.has(id), `${path}: ${id} is there twice`);
    seen.add(id);
  }
  for (const entry of list(kustomization, 'patches')) patch(resources, entry, folder);
  for (const entry of list(kustomization, 'labels')) for (const resource of resources) label(resource, entry);
  for (const entry of list(kustomization, 'replicas')) scale(resources, entry, path);
  for (const entry of list(kustomization, 'images')) rename(resources, entry, path);
  const namespace = kustomization['namespace'];
  if (typeof namespace === 'string')
    for (const resource of resources) if (resource['kind'] !== 'Namespace') metadata(resource)['namespace'] = namespace;
  return resources;
}

export const identity = (resource: Value): string => `${String(resource['kind'])} ${String(metadata(resource)['name'])}`;

const strings = (value: Value, key: string): string[] => (value[key] ?? []) as string[];
const metadata = (resource: Value): Value => (resource['metadata'] ??= {}) as Value;

function load(folder: string, entry: string): Value[] {
  const path = normalize(`${folder}/${entry}`);
  assert.ok(existsSync(`${repository}/${path}`), `${folder}/kustomization.yaml: ${path} does not exist`);
  return entry.endsWith('.yaml') ? readYaml(path) : build(path);
}

function generate(resources: Value[], generator: Value, folder: string): void {
  const data: Record<string, string> = {};
  for (const entry of strings(generator, 'literals')) {
    const cut = entry.indexOf('=');
    assert.ok(cut > 0, `${entry} is not NAME=VALUE`);
    data[entry.slice(0, cut)] = entry.slice(cut + 1);
  }
  for (const entry of strings(generator, 'files')) data[entry.replace(/.*\//, '')] = read(`${folder}/${entry}`);
  const name = generator['name'] as string;
  if (generator['behavior'] === 'merge') {
    const base = resources.find((resource) => identity(resource) === `ConfigMap ${name}`);
    assert.ok(base !== undefined, `${folder}: there is no ConfigMap ${name} to merge with`);
    base['data'] = { ...(base['data'] as Value), ...data };
  } else resources.push({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data });
}

function patch(resources: Value[], entry: Value, folder: string): void {
  const body = typeof entry['path'] === 'string' ? read(`${folder}/${entry['path']}`) : (entry['patch'] as string);
  const name = `${folder}: ${typeof entry['path'] === 'string' ? entry['path'] : 'a patch'}`;
  // kustomize matches the whole of kind and name.
  const matches = (pattern: unknown, value: unknown): boolean =>
    pattern === undefined || new RegExp(`^(?:${shown(pattern)})$`).test(String(value));
  const hit = resources.filter(
    (resource) => matches(at(entry, 'target.kind'), resource['kind']) && matches(at(entry, 'target.name'), metadata(resource)['name']),
  );
  assert.ok(hit.length > 0, `${name} hits nothing`);
  for (const resource of hit) {
    if (/^\s*-/.test(body)) {
      for (const operation of list(parseStrict(`operations:\n${body}`, name)[0], 'operations')) jsonPatch(resource, operation, name);
      continue;
    }
    const [content] = parseStrict(body, name);
    // kind and name of a patch with a target say only what it is.
    const { apiVersion: _, kind: __, metadata: meta, ...rest } = content!;
    const { name: ___, ...moreMeta } = (meta ?? {}) as Value;
    Object.assign(resource, mergePatch(resource, { metadata: moreMeta, ...rest }));
  }
}

function label(resource: Value, entry: Value): void {
  const pairs = entry['pairs'] as Value;
  assert.notEqual(entry['includeSelectors'], true, 'a selector cannot be changed later: write it in the resource');
  metadata(resource)['labels'] = { ...(metadata(resource)['labels'] as Value), ...pairs };
  const template = at(resource, 'spec.template') as Value | undefined;
  if (entry['includeTemplates'] !== true || template === undefined) return;
  metadata(template)['labels'] = { ...(metadata(template)['labels'] as Value), ...pairs };
}

function scale(resources: Value[], entry: Value, path: string): void {
  const hit = resources.find((resource) => identity(resource) === `Deployment ${String(entry['name'])}`);
  assert.ok(hit !== undefined, `${path}: replicas of ${String(entry['name'])} hit nothing`);
  (hit['spec'] as Value)['replicas'] = entry['count'];
}

function rename(resources: Value[], entry: Value, path: string): void {
  let hits = 0;
  for (const resource of resources) {
    const pod = at(resource, 'spec.template.spec');
    for (const container of [...list(pod, 'containers'), ...list(pod, 'initContainers')]) {
      if (container['image'] !== entry['name']) continue;
      container['image'] = `${String(entry['newName'] ?? entry['name'])}:${String(entry['newTag'])}`;
      hits++;
    }
  }
  assert.ok(hits > 0, `${path}: image ${String(entry['name'])} hits nothing`);
}

/** Files below `folder` that no kustomization names: they would never reach a cluster. */
export function unused(folder: string, files: readonly string[]): string[] {
  const named = new Set<string>();
  for (const path of files.filter((file) => file.endsWith('/kustomization.yaml'))) {
    const kustomization = readOne(path);
    named.add(path);
    const entries = [
      ...strings(kustomization, 'resources'),
      ...list(kustomization, 'patches').map((entry) => shown(entry['path'])),
      ...list(kustomization, 'configMapGenerator').flatMap((generator) => strings(generator, 'files')),
    ];
    for (const entry of entries) named.add(normalize(`${dirname(path)}/${entry}`));
  }
  return files.filter((file) => file.startsWith(`${folder}/`) && !named.has(file));
}
