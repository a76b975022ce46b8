import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { OperatorError } from '../pipelines/base/errors.ts';
import { checkPipelines } from './graph.ts';
import { componentSchemas, type Section } from './schema-components.ts';
import { componentType, file, tailrace, type Config } from './schema.ts';
import { Source, type Path, type Problem } from './source.ts';
import { suggestion } from './suggest.ts';

export interface Loaded {
  /** Absent where there is an error. */
  readonly config?: Config;
  /** In the order of the file. */
  readonly problems: readonly Problem[];
}

/** Reads, expands and checks `path`, and finds every problem at once. @throws OperatorError where the file cannot be read */
export function loadConfig(path: string, environment: Record<string, string | undefined> = process.env): Loaded {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new OperatorError(
      `cannot read ${path}: ${(error as NodeJS.ErrnoException).code}`,
      'Name a pipeline file with --config FILE; config/tailrace.yaml is one to start from.',
    );
  }
  return checkConfig(path, text, environment);
}

/** As `loadConfig`, from text; `path` is for messages and for ${file:…}. */
export function checkConfig(path: string, text: string, environment: Record<string, string | undefined>): Loaded {
  const source = new Source(path, text, environment);
  const config = source.readable ? build(source) : undefined;
  const problems = source.problems.toSorted((a, b) => a.line - b.line || a.col - b.col);
  return config === undefined || problems.some(isError) ? { problems } : { config, problems };
}

function build(source: Source): Config {
  const raw = source.value();
  // Part by part, so that a mistake in one does not hide those in another.
  const shape = file.shape;
  const part = <K extends 'service' | 'tailrace' | 'tests'>(
    name: K,
    otherwise: z.output<(typeof shape)[K]>,
  ): z.output<(typeof shape)[K]> => {
    const parsed = shape[name].safeParse(raw[name]);
    if (parsed.success) return parsed.data as z.output<(typeof shape)[K]>;
    for (const issue of parsed.error.issues) reportIssue(source, shape[name], issue, [name], raw[name]);
    return otherwise;
  };
  const others = file
    .omit({ service: true, tailrace: true, tests: true })
    .safeParse({ ...raw, service: undefined, tailrace: undefined, tests: undefined });
  for (const issue of others.error?.issues ?? []) {
    if (issue.code !== 'unrecognized_keys') reportIssue(source, file, issue, [], raw);
    else reportUnknownKeys(source, file, { ...issue, keys: issue.keys.filter((key) => !Object.hasOwn(shape, key)) }, [], raw);
  }
  const sections = {} as Record<Section, Map<string, unknown>>;
  for (const section of Object.keys(componentSchemas) as Section[]) sections[section] = components(source, section, raw[section]);
  const before = source.problems.length;
  const service = part('service', { pipelines: {}, telemetry: { logs: { level: 'info' }, metrics: { address: '' } } });
  // What is wrong elsewhere under `service` must not hide what is wrong in its pipelines.
  const pipelines =
    source.problems.length === before ? undefined : shape.service.shape.pipelines.safeParse(valueAt(raw, ['service', 'pipelines']));
  if (pipelines?.success === true) service.pipelines = pipelines.data;
  const config: Config = {
    path: source.path,
    ...sections,
    service,
    tailrace: part('tailrace', tailrace.parse({})),
    tests: part('tests', []),
  };
  if (pipelines === undefined || pipelines.success) checkPipelines(config, source);
  if (raw['extensions'] !== undefined)
    source.reportKey('warning', ['extensions'], 'extensions have no effect: health, metrics and storage are built in');
  return config;
}

function components(source: Source, section: Section, raw: unknown): Map<string, unknown> {
  const known: Record<string, z.ZodType> = componentSchemas[section];
  const result = new Map<string, unknown>();
  if (raw === null || typeof raw !== 'object') return result;
  for (const [id, body] of Object.entries(raw)) {
    const type = componentType(id);
    const schema = Object.hasOwn(known, type) ? known[type] : undefined;
    if (schema === undefined) {
      source.reportKey('error', [section, id], `unknown ${section.slice(0, -1)} "${type}"${suggestion(type, Object.keys(known))}`);
      // Known by name all the same, so that the pipelines that use it do not report it again.
      result.set(id, undefined);
      continue;
    }
    const parsed = parseComponent(source, schema, [section, id], body ?? {});
    if (parsed.success) result.set(id, parsed.data);
    else {
      for (const issue of parsed.error.issues) reportIssue(source, schema, issue, [section, id], body ?? {});
      result.set(id, undefined);
    }
  }
  return result;
}

type Issue = z.core.$ZodIssue;

/** A password of digits that comes from the environment reads as a number: where a string is wanted, its text counts. */
function parseComponent(source: Source, schema: z.ZodType, base: Path, body: unknown): z.ZodSafeParseResult<unknown> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed;
  let mended = false;
  const copy = structuredClone(body);
  for (const issue of parsed.error.issues) {
    const path = issue.path as (string | number)[];
    const text = issue.code === 'invalid_type' && issue.expected === 'string' ? source.expandedText([...base, ...path]) : undefined;
    const parent = valueAt(copy, path.slice(0, -1));
    if (text === undefined || parent === null || typeof parent !== 'object') continue;
    (parent as Record<string | number, unknown>)[path.at(-1)!] = text;
    mended = true;
  }
  return mended ? schema.safeParse(copy) : parsed;
}

function reportIssue(source: Source, schema: z.ZodType, issue: Issue, base: Path, value: unknown): void {
  const inner = issue.path as (string | number)[];
  const path = [...base, ...inner];
  const name = inner.length === 0 ? (base.at(-1) ?? 'the file') : inner.at(-1);
  // An entry of a list is named with its list.
  const label = typeof name === 'number' ? `${String(inner.at(-2) ?? base.at(-1))}[${name}]` : String(name);
  switch (issue.code) {
    case 'unrecognized_keys':
      reportUnknownKeys(source, schema, issue, base, value);
      return;
    case 'invalid_type': {
      const here = valueAt(value, inner);
      if (here === undefined) source.report('error', path, `"${label}" is missing: ${article(issue.expected)} is needed`);
      else source.report('error', path, `"${label}" must be ${article(issue.expected)}, not ${JSON.stringify(here)}`);
      return;
    }
    case 'invalid_union':
      if (issue.discriminator !== undefined) {
        const key = issue.discriminator;
        const options = (issue as { options?: readonly unknown[] }).options?.map(String) ?? [];
        const here = valueAt(value, inner);
        if (here === undefined) source.report('error', path, `"${key}" is missing; known: ${options.join(', ')}`);
        else source.report('error', path, `unknown ${key} ${JSON.stringify(here)}${suggestion(JSON.stringify(here), options)}`);
        return;
      }
      source.report(
        'error',
        path,
        `"${label}": ${issue.message === 'Invalid input' ? (issue.errors.flat()[0]?.message ?? issue.message) : issue.message}`,
      );
      return;
    case 'too_big':
    case 'too_small': {
      const bound = issue.code === 'too_big' ? `at most ${issue.maximum}` : `at least ${issue.minimum}`;
      const counted = issue.origin === 'string' ? ' characters' : issue.origin === 'array' ? ' entries' : '';
      source.report('error', path, `"${label}" must be ${bound}${counted}, not ${JSON.stringify(valueAt(value, inner))}`);
      return;
    }
    case 'invalid_value':
      source.report(
        'error',
        path,
        `"${label}" must be ${issue.values.map((v) => JSON.stringify(v)).join(' or ')}, not ${JSON.stringify(valueAt(value, inner))}`,
      );
      return;
    default:
      source.report('error', path, `"${label}": ${issue.message}`);
  }
}

function reportUnknownKeys(source: Source, schema: z.ZodType, issue: z.core.$ZodIssueUnrecognizedKeys, base: Path, value: unknown): void {
  const inner = issue.path as (string | number)[];
  for (const key of issue.keys)
    source.reportKey('error', [...base, ...inner, key], `unknown key "${key}"${suggestion(key, knownKeys(schema, inner, value))}`);
}

function article(type: string): string {
  const names: Record<string, string> = { array: 'a list', object: 'a map', record: 'a map', int: 'a whole number' };
  return names[type] ?? `a ${type}`;
}

function valueAt(value: unknown, path: Path): unknown {
  let here = value;
  for (const key of path) here = here === null || typeof here !== 'object' ? undefined : (here as Record<string | number, unknown>)[key];
  return here;
}

interface JsonSchema {
  properties?: Record<string, JsonSchema & { const?: unknown }>;
  additionalProperties?: JsonSchema | boolean;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
}

/** The keys that the schema allows at `path`, for the branch of a union that the value is in. */
function knownKeys(schema: z.ZodType, path: Path, value: unknown): string[] {
  let here: JsonSchema | undefined = z.toJSONSchema(schema, { io: 'input' }) as JsonSchema;
  let data = value;
  for (const key of [...path, undefined]) {
    const branches: JsonSchema[] = here?.oneOf ?? here?.anyOf ?? [];
    if (branches.length > 0) {
      here = branches.find((branch) => matches(branch, data)) ?? branches.find((branch) => branch.properties !== undefined);
    }
    if (key === undefined) break;
    here =
      typeof key === 'number'
        ? here?.items
        : (here?.properties?.[key] ?? (typeof here?.additionalProperties === 'object' ? here.additionalProperties : undefined));
    data = valueAt(data, [key]);
  }
  return Object.keys(here?.properties ?? {});
}

function matches(branch: JsonSchema, data: unknown): boolean {
  const literals = Object.entries(branch.properties ?? {}).filter(([, property]) => property.const !== undefined);
  return literals.length > 0 && literals.every(([key, property]) => valueAt(data, [key]) === property.const);
}

function isError(problem: Problem): boolean {
  return problem.severity === 'error';
}

/** `file:line:col: error: message`, one a line. */
export function formatProblems(path: string, problems: readonly Problem[]): string {
  return problems.map((p) => `${path}:${p.line}:${p.col}: ${p.severity}: ${p.message}\n`).join('');
}
