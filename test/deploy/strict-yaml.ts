import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { isPair, isScalar, parseAllDocuments, visit } from 'yaml';

/** What a YAML file holds, once it is known to be a map. */
export type Value = Record<string, unknown>;

export const repository = new URL('../../', import.meta.url).pathname.replace(/\/$/, '');

export const read = (path: string): string => readFileSync(`${repository}/${path}`, 'utf8');

/**
 * Every document of a file. Kubernetes, kustomize, Compose and Envoy each read YAML a little differently, so what they could read
 * differently is refused: a key twice, tabs, warnings, and the words that YAML 1.1 takes for booleans.
 * @throws Error with the file's name
 */
export function parseStrict(text: string, name: string): Value[] {
  const documents = parseAllDocuments(text, { uniqueKeys: true, strict: true, merge: true });
  assert.ok(Array.isArray(documents), `${name} is empty`);
  return documents.map((document) => {
    const [problem] = [...document.errors, ...document.warnings];
    assert.equal(problem, undefined, `${name}: ${problem?.message}`);
    visit(document, {
      Scalar: (_, node) => {
        if (node.type === 'PLAIN' && typeof node.value === 'string' && /^(?:y|n|yes|no|on|off)$/i.test(node.value))
          assert.fail(`${name}: "${node.value}" is a boolean in YAML 1.1: quote it`);
      },
      Pair: (_, pair) => {
        if (isPair(pair) && isScalar(pair.key) && pair.key.value === null) assert.fail(`${name}: a key without a name`);
      },
    });
    const value: unknown = document.toJS();
    assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value), `${name}: a document that is not a map`);
    return value as Value;
  });
}

export const readYaml = (path: string): Value[] => parseStrict(read(path), path);

/** The one document of a file. */
export function readOne(path: string): Value {
  const documents = readYaml(path);
  assert.equal(documents.length, 1, `${path} has ${documents.length} documents`);
  return documents[0]!;
}

/** The value at a path such as `spec.template.spec`, or undefined. */
export function at(value: unknown, path: string): unknown {
  let here: unknown = value;
  for (const key of path.split('.')) {
    if (typeof here !== 'object' || here === null) return undefined;
    here = (here as Value)[key];
  }
  return here;
}

/** A value for a message, or for a comparison with text. */
export const shown = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));

export const list = (value: unknown, path: string): Value[] => (at(value, path) ?? []) as Value[];
