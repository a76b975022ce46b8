import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isMap, isPair, isScalar, LineCounter, parse, parseDocument, visit, type Document, type Node } from 'yaml';

export type Path = readonly (string | number)[];

/** Something wrong (or doubtful) in a file. `line` and `col` count from 1. */
export interface Problem {
  readonly severity: 'error' | 'warning';
  readonly line: number;
  readonly col: number;
  readonly message: string;
}

// `$$` is a literal dollar; then ${env:NAME}, ${env:NAME:-fallback}, ${file:PATH}, as the Collector has them, and the old ${NAME}.
const EXPANSION = /\$\$|\$\{(?:(?<scheme>[a-z]+):)?(?<rest>[^}]*)\}/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A YAML file with a position for every path in it. `${env:…}` and `${file:…}` are put in when it is read. */
export class Source {
  readonly path: string;
  readonly problems: Problem[] = [];
  private content: Record<string, unknown> = {};
  private readonly document: Document.Parsed;
  private readonly lines = new LineCounter();
  private readonly expanded = new Map<unknown, string>();

  constructor(path: string, text: string, environment: Record<string, string | undefined>) {
    this.path = path;
    this.document = parseDocument(text, { lineCounter: this.lines, merge: true });
    for (const error of this.document.errors) {
      // The library's message repeats the position and draws the line: its first line says it all.
      this.add('error', error.pos[0], error.message.split(' at line ')[0]!);
    }
    if (this.readable) {
      this.expand(environment);
      this.read();
    } else if (this.document.errors.length === 0) this.add('error', 0, 'a pipeline file is a map with receivers, exporters, service …');
  }

  /** False where the file is not YAML of a map: then nothing else can be said of it. */
  get readable(): boolean {
    return this.document.errors.length === 0 && (this.document.contents === null || isMap(this.document.contents));
  }

  value(): Record<string, unknown> {
    return this.content;
  }

  /** The text that an expansion gave the scalar at `path`, where it then read as a number or boolean. */
  expandedText(path: Path): string | undefined {
    return this.expanded.get(this.document.getIn(path, true));
  }

  /** Reports at the value of `path`, or at the nearest part of it that exists. `shift` moves right within a plain scalar. */
  report(severity: Problem['severity'], path: Path, message: string, shift = 0): void {
    for (let depth = path.length; depth >= 0; depth--) {
      const node = depth === 0 ? this.document.contents : (this.document.getIn(path.slice(0, depth), true) as Node | undefined);
      if (node?.range === null || node?.range === undefined) continue;
      // A missing key of a map is best shown at the key that holds the map.
      const key = depth < path.length && depth > 0 ? this.key(path.slice(0, depth)) : undefined;
      const quote = isScalar(node) && (node.type === 'QUOTE_DOUBLE' || node.type === 'QUOTE_SINGLE') ? 1 : 0;
      this.add(severity, key ?? node.range[0] + (depth === path.length ? shift + (shift > 0 ? quote : 0) : 0), message);
      return;
    }
    this.add(severity, 0, message);
  }

  /** Reports at the key `path` ends with. */
  reportKey(severity: Problem['severity'], path: Path, message: string): void {
    const at = this.key(path);
    if (at === undefined) this.report(severity, path, message);
    else this.add(severity, at, message);
  }

  private key(path: Path): number | undefined {
    const parent = path.length === 1 ? this.document.contents : this.document.getIn(path.slice(0, -1), true);
    if (!isMap(parent)) return undefined;
    const wanted = String(path.at(-1));
    const pair = parent.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === wanted);
    return (pair?.key as Node | undefined)?.range?.[0];
  }

  private read(): void {
    try {
      this.content = (this.document.toJS() ?? {}) as Record<string, unknown>;
    } catch (error) {
      // An alias without its anchor, or aliases that unfold without end.
      this.add('error', 0, (error as Error).message);
    }
  }

  private add(severity: Problem['severity'], offset: number, message: string): void {
    const { line, col } = this.lines.linePos(offset);
    this.problems.push({ severity, line: Math.max(line, 1), col: Math.max(col, 1), message });
  }

  private expand(environment: Record<string, string | undefined>): void {
    visit(this.document, {
      Scalar: (_, node) => {
        if (typeof node.value !== 'string' || !node.value.includes('$')) return;
        const whole = node.value;
        const offset = node.range?.[0] ?? 0;
        let replaced = false;
        const before = this.problems.length;
        const text = whole.replace(EXPANSION, (match, ...groups) => {
          if (match === '$$') return '$';
          const { scheme, rest } = groups.at(-1) as { scheme?: string; rest: string };
          const value = this.lookUp(scheme, rest, environment, offset);
          replaced = true;
          return value;
        });
        if (/(?:^|[^$])\$\{[^}]*$/.test(whole))
          this.add('error', offset, 'a ${ without its }: write ${env:NAME}, or $${ for the characters themselves');
        if (text === whole) return;
        // `port: ${env:PORT}` is a number, as if it had been written there; text around it makes it a string.
        node.value = text;
        if (!replaced || this.problems.length > before || !/^\$\{[^}]*\}$/.test(whole)) return;
        const typed: unknown = readScalar(text);
        if (typed === undefined || typed === text) return;
        node.value = typed;
        this.expanded.set(node, text);
      },
    });
  }

  private lookUp(scheme: string | undefined, rest: string, environment: Record<string, string | undefined>, offset: number): string {
    if (scheme === 'file') {
      try {
        return readFileSync(resolve(dirname(this.path), rest), 'utf8').replace(/\n$/, '');
      } catch (error) {
        this.add('error', offset, `cannot read ${rest} for \${file:${rest}}: ${(error as NodeJS.ErrnoException).code}`);
        return '';
      }
    }
    if (scheme !== undefined && scheme !== 'env') {
      this.add('error', offset, `unknown source \${${scheme}:…}: use \${env:NAME} or \${file:PATH}`);
      return '';
    }
    const cut = rest.indexOf(':-');
    const name = cut < 0 ? rest : rest.slice(0, cut);
    if (!NAME.test(name)) {
      this.add('error', offset, `"${name}" is not the name of an environment variable; a literal \${ is written $\${`);
      return '';
    }
    const value = environment[name];
    if (value !== undefined && value !== '') return value;
    if (cut >= 0) return rest.slice(cut + 2);
    if (value === undefined)
      this.add('error', offset, `environment variable ${name} is not set; \${env:${name}:-fallback} gives it a default`);
    return '';
  }
}

/** A number or boolean where the text is one. */
function readScalar(text: string): string | number | boolean | undefined {
  try {
    const value: unknown = parse(text);
    return typeof value === 'number' || typeof value === 'boolean' ? value : undefined;
  } catch {
    return undefined;
  }
}
