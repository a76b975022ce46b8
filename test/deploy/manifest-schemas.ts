import assert from 'node:assert/strict';
import { read, type Value } from './strict-yaml.ts';

/** As much of JSON schema as the schemas of Kubernetes use. A word that is not here is an error, so that no rule is passed over. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly oneOf?: readonly Schema[];
  readonly format?: string;
  readonly default?: unknown;
}

export type Definitions = Readonly<Record<string, Schema>>;

const WORDS = new Set(['$ref', 'type', 'enum', 'properties', 'required', 'additionalProperties', 'items', 'oneOf', 'format', 'default']);

/** Every way in which `value` is not what `schema` says, each with its path. Fields that the schema does not name are problems. */
export function schemaProblems(value: unknown, schema: Schema, definitions: Definitions, path = ''): string[] {
  for (const word of Object.keys(schema)) assert.ok(WORDS.has(word), `the schema at ${path} uses ${word}, which is not read`);
  const where = path === '' ? 'the document' : path;
  if (schema.$ref !== undefined) {
    const target = definitions[schema.$ref];
    assert.ok(target !== undefined, `no definition ${schema.$ref}`);
    return schemaProblems(value, target, definitions, path);
  }
  if (schema.oneOf !== undefined) {
    const fits = schema.oneOf.filter((one) => schemaProblems(value, one, definitions, path).length === 0);
    return fits.length === 1 ? [] : [`${where} fits ${fits.length} of ${schema.oneOf.length} forms`];
  }
  const type = typeOf(value);
  const wanted = schema.type === undefined ? [] : [schema.type].flat();
  if (wanted.length > 0 && !wanted.includes(type) && !(type === 'integer' && wanted.includes('number')))
    return [`${where} is ${type}, not ${wanted.join(' or ')}`];
  if (schema.enum !== undefined && !schema.enum.includes(value))
    return [`${where} is ${JSON.stringify(value)}, not ${schema.enum.join(', ')}`];
  if (Array.isArray(value))
    return value.flatMap((item, n) => (schema.items === undefined ? [] : schemaProblems(item, schema.items, definitions, `${path}[${n}]`)));
  if (type !== 'object') return [];
  const map = value as Value;
  const problems = (schema.required ?? []).filter((name) => !Object.hasOwn(map, name)).map((name) => `${where} lacks ${name}`);
  const more = schema.additionalProperties ?? schema.properties === undefined;
  for (const [name, item] of Object.entries(map)) {
    const here = path === '' ? name : `${path}.${name}`;
    const known = schema.properties !== undefined && Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
    if (known !== undefined) problems.push(...schemaProblems(item, known, definitions, here));
    else if (typeof more === 'object') problems.push(...schemaProblems(item, more, definitions, here));
    else if (!more) problems.push(`${here} is not a field`);
  }
  return problems;
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'number' && Number.isInteger(value) ? 'integer' : typeof value;
}

interface KubernetesFixture {
  readonly kinds: readonly string[];
  readonly definitions: Definitions;
}

/** The published schemas (test/fixtures/kubernetes/README.md) by `apiVersion kind`, and our own for what others define. */
export class ManifestSchemas {
  private readonly definitions: Definitions;
  private readonly kinds = new Map<string, Schema>();

  constructor(custom: Definitions) {
    const fixture = JSON.parse(read('test/fixtures/kubernetes/schemas.json')) as KubernetesFixture;
    this.definitions = { ...fixture.definitions, ...custom };
    for (const name of fixture.kinds) {
      // io.k8s.api.apps.v1.Deployment
      const [group, version, kind] = name.split('.').slice(3);
      this.kinds.set(`${apiVersion(group!, version!)} ${kind}`, { $ref: name });
    }
    for (const name of Object.keys(custom)) if (name.includes(' ')) this.kinds.set(name, { $ref: name });
  }

  problems(manifest: Value): string[] {
    const name = `${String(manifest['apiVersion'])} ${String(manifest['kind'])}`;
    const schema = this.kinds.get(name);
    if (schema === undefined) return [`there is no schema of ${name}`];
    const label = `${String(manifest['kind'])} ${String((manifest['metadata'] as Value | undefined)?.['name'])}: `;
    return schemaProblems(manifest, schema, this.definitions).map((problem) => label + problem);
  }
}

function apiVersion(group: string, version: string): string {
  if (group === 'core') return version;
  return group === 'networking' ? `networking.k8s.io/${version}` : `${group}/${version}`;
}
