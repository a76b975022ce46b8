import assert from 'node:assert/strict';
import type { Value } from './strict-yaml.ts';

/** By which field Kubernetes knows an item of a list again (patchMergeKey of the API types); other lists are replaced. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  containers: 'name',
  initContainers: 'name',
  volumes: 'name',
  env: 'name',
  volumeMounts: 'mountPath',
  ports: 'containerPort',
};

const isMap = (value: unknown): value is Value => typeof value === 'object' && value !== null && !Array.isArray(value);

/** A strategic merge: maps are merged, lists with a key item by item, everything else is replaced. */
export function mergePatch(target: Value, patch: Value): Value {
  const merged: Value = { ...target };
  for (const [name, value] of Object.entries(patch)) {
    const before = merged[name];
    const key = MERGE_KEYS[name];
    if (isMap(value)) merged[name] = mergePatch(isMap(before) ? before : {}, value);
    else if (Array.isArray(value) && key !== undefined) merged[name] = mergeLists((before ?? []) as Value[], value as Value[], key);
    else merged[name] = structuredClone(value);
  }
  return merged;
}

function mergeLists(before: readonly Value[], patch: readonly Value[], key: string): Value[] {
  const merged = [...before];
  for (const item of patch) {
    const at = merged.findIndex((other) => other[key] === item[key]);
    if (at < 0) merged.push(structuredClone(item));
    else merged[at] = mergePatch(merged[at]!, item);
  }
  return merged;
}

/** One operation of RFC 6902: `replace` of what is there, `add`, `remove`. @throws Error where the path leads nowhere */
export function jsonPatch(resource: Value, operation: Value, name: string): void {
  const path = operation['path'] as string;
  const keys = path
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = keys.pop()!;
  let here: unknown = resource;
  for (const key of keys) {
    here = (here as Value | undefined)?.[key];
    assert.ok(typeof here === 'object' && here !== null, `${name}: ${path} leads nowhere`);
  }
  const parent = here as Value;
  switch (operation['op']) {
    case 'replace':
      assert.ok(Object.hasOwn(parent, last), `${name}: there is no ${path} to replace`);
      parent[last] = operation['value'];
      return;
    case 'add':
      if (Array.isArray(parent)) parent.splice(last === '-' ? parent.length : Number(last), 0, operation['value']);
      else parent[last] = operation['value'];
      return;
    case 'remove':
      assert.ok(Object.hasOwn(parent, last), `${name}: there is no ${path} to remove`);
      if (Array.isArray(parent)) parent.splice(Number(last), 1);
      else delete parent[last];
      return;
    default:
      assert.fail(`${name}: unknown operation ${String(operation['op'])}`);
  }
}
