import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { OperatorError } from '../pipelines/base/errors.ts';
import { checkPipelines } from './graph.ts';
import { componentSchemas, type Section } from './schema-components.ts';
import { componentType, file, type PipelineTest, type ServiceConfig, type TailraceConfig } from './schema.ts';
import { Source, type Path, type Problem } from './source.ts';
import { suggestion } from './suggest.ts';

/** A file that has been read and checked. Components keep the id that the file gives them. */
export interface Config {
  readonly path: string;
  readonly receivers: ReadonlyMap<string, unknown>;
  readonly processors: ReadonlyMap<string, unknown>;
  readonly connectors: ReadonlyMap<string, unknown>;
  readonly exporters: ReadonlyMap<string, unknown>;
  readonly service: ServiceConfig;
  readonly tailrace: TailraceConfig;
  readonly tests: readonly PipelineTest[];
}

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
    throw new OperatorError(`cannot read ${path}: ${(error as NodeJS.ErrnoException).code}`, 'Name a pipeline file with --config FILE; config/tailrace.yaml is one to start from.');
  }
  return checkConfig(path, text, environment);
}

/** As `loadConfig`, from text; `path` is for messages and for ${file:…}. */
export function checkConfig(path: string, text: string, environment: Record<string, string | undefined>): Loaded {
  const source = new Source(path, text, environment);
  const config = source.problems.some(isError) ? undefined : build(source);
  const problems = source.problems.toSorted((a, b) => a.line - b.line || a.col - b.col);
  return config === undefined || problems.some(isError) ? { problems } : { config, problems };
}

function build(source: Source): Config | undefined {
  const parsed = file.safeParse(source.value());
  const raw = source.value() as Record<string, unknown>;
  if (!parsed.success) for (const issue of parsed.error.issues) reportIssue(source, file, issue, [], raw);
  const sections = {} as Record<Section, Map<string, unknown>>;
  for (const section of Object.keys(componentSchemas) as Section[]) sections[section] = components(source, section, raw[section]);
  if (!parsed.success) return undefined;
  const { service, tailrace, tests } = parsed.data;
  const config: Config = { path: source.path, ...sections, service, tailrace, tests };
  checkPipelines(config, source);
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
    const parsed = schema.safeParse(body ?? {});
    if (parsed.success) result.set(id, parsed.data);
    else {
      for (const issue of parsed.error.issues) reportIssue(source, schema, issue, [section, id], body ?? {});
      result.set(id, undefined);
    }
  }
  return result;
}

type Issue = z.core.$ZodIssue;

function reportIssue(source: Source, schema: z.ZodType, issue: Issue, base: Path, value: unknown): void {
  const inner = issue.path as (string | number)[];
  const path = [...base, ...inner];
  const name = inner.length === 0 ? (base.at(-1) ?? 'the file') : inner.at(-1);
  switch (issue.code) {
    case 'unrecognized_keys':
      for (const key of issue.keys) source.reportKey('error', [...path, key], `unknown key "${key}"${suggestion(key, knownKeys(schema, inner, value))}`);
      return;
    case 'invalid_type': {
      const here = valueAt(value, inner);
      if (here === undefined) source.report('error', path, `"${String(name)}" is missing: ${article(issue.expected)} is needed`);
      else source.report('error', path, `"${String(name)}" must be ${article(issue.expected)}, not ${JSON.stringify(here)}`);
      return;
    }
    case 'invalid_union':
      if (issue.discriminator !== undefined) {
        const key = issue.discriminator;
        const options = (issue as { options?: readonly unknown[] }).options?.map(String) ?? [];
        const here = valueAt(value, inner);
        const given = here === undefined ? valueAt(value, inner.slice(0, -1)) : undefined;
        if (here === undefined) source.report('error', path, `"${key}" is missing; known: ${options.join(', ')}${given === undefined ? '' : ''}`);
        else source.report('error', path, `unknown ${key} "${String(here)}"${suggestion(String(here), options)}`);
        return;
      }
      source.report('error', path, `"${String(name)}": ${issue.errors.flat()[0]?.message ?? issue.message}`);
      return;
    case 'invalid_value':
      source.report('error', path, `"${String(name)}" must be ${issue.values.map((v) => JSON.stringify(v)).join(' or ')}, not ${JSON.stringify(valueAt(value, inner))}`);
      return;
    default:
      source.report('error', path, `"${String(name)}": ${issue.message}`);
  }
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
    here = typeof key === 'number' ? here?.items : (here?.properties?.[key] ?? (typeof here?.additionalProperties === 'object' ? here.additionalProperties : undefined));
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
