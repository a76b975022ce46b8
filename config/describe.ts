import { jsonSchema } from './schema.ts';

/** What is generated from the schema: `docs/configuration.md` and `docs/tailrace.schema.json`. A test fails when they drift. */

interface Node {
  type?: string | string[];
  description?: string;
  default?: unknown;
  format?: string;
  const?: unknown;
  enum?: unknown[];
  items?: Node;
  properties?: Record<string, Node>;
  patternProperties?: Record<string, Node>;
  additionalProperties?: Node | boolean;
  required?: string[];
  anyOf?: Node[];
  oneOf?: Node[];
  minimum?: number;
  maximum?: number;
}

export function schemaText(): string {
  return `${JSON.stringify(jsonSchema(), undefined, 2)}\n`;
}

export function configurationPage(): string {
  const schema = jsonSchema() as Node;
  const out: string[] = [
    '# Configuration',
    '',
    '<!-- Generated from config/schema*.ts by `node config/generate.ts`. Do not edit. -->',
    '',
    'A pipeline file is YAML in the shape of an OpenTelemetry Collector’s. A component is named `type` or `type/name`; pipelines name the components they use.',
    'Durations are numbers with units (`250ms`, `30s`, `1m30s`, `12h`, `30d`). `${env:NAME}`, `${env:NAME:-fallback}` and `${file:PATH}` are put in when the file is read; `$$` is a dollar.',
    '',
    '`tailrace check FILE` reports every mistake with its place and runs the file’s `tests:`; `tailrace plan FILE` shows how it is cut into stages.',
    'For completion in an editor, begin the file with `# yaml-language-server: $schema=docs/tailrace.schema.json`.',
  ];
  for (const [name, node] of Object.entries(schema.properties ?? {})) {
    if (name === 'extensions') continue;
    out.push('', `## ${name}`, '', node.description ?? '');
    if (node.patternProperties === undefined) table(out, node.type === 'array' ? node.items! : node, '');
    else {
      for (const [pattern, component] of Object.entries(node.patternProperties)) {
        const type = pattern.replace(/^\^/, '').replace('(/.+)?$', '');
        out.push('', `### ${type}`, '', component.description ?? '');
        table(out, component, '');
        const policies = component.properties?.['policies']?.items?.oneOf;
        if (policies !== undefined) policyTables(out, policies);
      }
    }
  }
  return `${out.join('\n')}\n`;
}

function policyTables(out: string[], policies: readonly Node[]): void {
  out.push('', 'Policies, each `{name: …, type: TYPE, TYPE: {…}}`:');
  for (const policy of policies) {
    const type = String(policy.properties!['type']!.const);
    const settings = policy.properties![type];
    out.push('', `#### ${type}`, '', policy.description ?? settings?.description ?? '');
    if (settings !== undefined) table(out, settings, '');
  }
}

function table(out: string[], node: Node, prefix: string): void {
  const rows: string[] = [];
  collect(rows, node, prefix);
  if (rows.length > 0) out.push('', '| key | value | default | |', '|---|---|---|---|', ...rows);
}

function collect(rows: string[], node: Node, prefix: string): void {
  for (const [key, raw] of Object.entries(node.properties ?? {})) {
    const value = inner(raw);
    const path = `${prefix}${key}`;
    const nested = value.items?.properties !== undefined ? value.items : value;
    if (nested.properties !== undefined || typeof nested.additionalProperties === 'object') {
      if (raw.description !== undefined) rows.push(row(path, value === nested ? 'map' : 'list of maps', raw, node, key));
      const deeper =
        typeof nested.additionalProperties === 'object' && nested.properties === undefined ? nested.additionalProperties : nested;
      const step = value === nested ? '.' : '[].';
      collect(rows, deeper, deeper === nested ? `${path}${step}` : `${path}.<name>.`);
    } else if (value.items?.oneOf === undefined) rows.push(row(path, kind(value), raw, node, key));
    else rows.push(row(path, 'list of policies', raw, node, key));
  }
}

/** The non-null branch of a nullable. */
function inner(node: Node): Node {
  const branches = (node.anyOf ?? []).filter((branch) => branch.type !== 'null');
  return branches.length === 1 ? branches[0]! : node;
}

function row(path: string, type: string, node: Node, parent: Node, key: string): string {
  const required = parent.required?.includes(key) === true && node.default === undefined;
  const scalar = node.default !== undefined && !(typeof node.default === 'object' && !Array.isArray(node.default));
  const fallback = required
    ? '**needed**'
    : scalar && JSON.stringify(node.default) !== '""'
      ? `\`${typeof node.default === 'string' ? node.default : JSON.stringify(node.default)}\``
      : '';
  return `| \`${path}\` | ${type} | ${fallback} | ${(node.description ?? inner(node).description ?? '').replaceAll('|', '\\|')} |`;
}

function kind(node: Node): string {
  if (node.format === 'duration') return 'duration';
  if (node.enum !== undefined) return node.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (node.const !== undefined) return `\`${JSON.stringify(node.const)}\``;
  if (node.type === 'array') return `list of ${node.items === undefined ? 'values' : plural(kind(node.items))}`;
  const branches = node.anyOf ?? node.oneOf;
  if (branches !== undefined) return branches.map(kind).join(' or ');
  if (node.minimum !== undefined || node.maximum !== undefined) {
    const top = node.maximum === undefined || node.maximum > 1e15 ? '' : ` to ${node.maximum}`;
    return `${String(node.type)} ${top === '' ? `≥ ${node.minimum ?? ''}` : `${node.minimum ?? ''}${top}`}`;
  }
  return [node.type ?? 'any'].flat().join(' or ');
}

function plural(word: string): string {
  return /^[a-z]+$/.test(word) ? `${word}s` : word;
}
