import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { parseDuration } from '../config/duration.ts';
import { suggestion } from '../config/suggest.ts';
import type { Target } from './generate-sender.ts';

export interface GenerateOptions {
  readonly target: Target;
  /** Spans a second; 0: no limit. */
  readonly rate: number;
  /** Infinity where there is no end. */
  readonly spans: number;
  readonly duration_ms: number;
  readonly spansPerRequest: number;
  readonly connections: number;
  readonly inFlight: number;
  readonly errorShare: number;
  readonly slowShare: number;
  readonly services: number;
  readonly traceSpans: { readonly min: number; readonly max: number };
  readonly gzip: boolean;
  readonly headers: ReadonlyMap<string, string>;
  readonly seed: number;
  readonly giveUp_ms: number;
  readonly json: boolean;
}

/** A mistake on the command line. The message names the option and says what is wanted. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface Flag {
  readonly value?: string;
  readonly fallback?: string;
  readonly multiple?: boolean;
  readonly help: string;
}

/** The one place where the options are named: parsing, `--help` and suggestions come from it. */
const flags = {
  endpoint: {
    value: 'ADDRESS',
    fallback: '127.0.0.1:4317',
    help: 'host:port for OTLP/gRPC, http(s)://host:port for OTLP/HTTP (path /v1/traces)',
  },
  rate: { value: 'N', fallback: '500', help: 'spans a second over all connections; 0: as fast as they are acknowledged' },
  spans: { value: 'N', help: 'stop after this many spans' },
  duration: { value: 'TIME', help: 'stop after this time, such as 30s or 5m; without --spans and --duration it runs until Ctrl-C' },
  'spans-per-request': { value: 'N', fallback: '50', help: 'at most; a sidecar of its own sends about 5' },
  connections: { value: 'N', fallback: '2', help: 'connections, as of so many sidecars' },
  'in-flight': { value: 'N', fallback: '4', help: 'requests under way at once on each connection' },
  'error-share': { value: 'SHARE', fallback: '0.01', help: 'traces with an error, 0 to 1' },
  'slow-share': { value: 'SHARE', fallback: '0.01', help: 'traces of 1 s and longer, 0 to 1; the others take under 0.4 s' },
  services: { value: 'N', fallback: '15', help: 'services in the mesh' },
  'trace-spans': { value: 'MIN-MAX', fallback: '6-10', help: 'spans of a trace' },
  compression: { value: 'KIND', fallback: 'none', help: 'none or gzip' },
  header: { value: 'NAME=VALUE', multiple: true, help: 'sent with every request, for authentication; may be given several times' },
  seed: { value: 'N', help: 'the same seed gives the same traces and ids; by default another one each time' },
  'give-up': { value: 'TIME', fallback: '1m', help: 'how long a request is tried again before it counts as not acknowledged' },
  json: { help: 'print the summary as one line of JSON' },
  help: { help: 'print this' },
} as const satisfies Record<string, Flag>;

type FlagName = keyof typeof flags;

export function usage(): string {
  const lines = Object.entries(flags).map(([name, flag]: [string, Flag]) => {
    const left = `--${name}${flag.value === undefined ? '' : ` ${flag.value}`}`;
    return `  ${left.padEnd(26)} ${flag.help}${flag.fallback === undefined ? '' : ` (default ${flag.fallback})`}`;
  });
  return `Sends traces as the sidecars of a service mesh report them, and says what was acknowledged.

Usage: tailrace generate [OPTIONS]

${lines.join('\n')}

Examples:
  tailrace generate --duration 10s                      a little traffic, to have something to look at
  tailrace generate --rate 0 --spans 1000000            how fast is it?
  tailrace generate --rate 5000 --connections 200 --spans-per-request 5
                                                        many sidecars with small requests
  tailrace generate --error-share 0.05 --slow-share 0.1 --duration 1m
                                                        something for tail sampling to find
  tailrace generate --endpoint http://127.0.0.1:4318 --compression gzip --spans 10000 --json
                                                        OTLP/HTTP, the summary for a script

It ends with 0 when every span was acknowledged, with 1 when any was refused or not acknowledged, with 2 when an option is wrong.
Compare the summary with SQL:
  tailrace sql "SELECT count(), uniqExact(TraceId), countIf(StatusCode = 'Error') FROM otel_traces"
`;
}

/** Reads the command line; 'help' where that is asked for. @throws UsageError */
export function parseOptions(argv: readonly string[]): GenerateOptions | 'help' {
  const given = readFlags(argv);
  if (given.has('help')) return 'help';
  const one = (name: FlagName): string | undefined => given.get(name)?.at(-1) ?? (flags[name] as Flag).fallback;
  const whole = (name: FlagName, min: number): number => wholeNumber(name, one(name)!, min);
  const spans = one('spans');
  const duration = one('duration');
  const seed = one('seed');
  const options: GenerateOptions = {
    target: parseTarget(one('endpoint')!),
    rate: whole('rate', 0),
    spans: spans === undefined ? Infinity : wholeNumber('spans', spans, 1),
    duration_ms: duration === undefined ? Infinity : parseTime('duration', duration),
    spansPerRequest: whole('spans-per-request', 1),
    connections: whole('connections', 1),
    inFlight: whole('in-flight', 1),
    errorShare: parseShare('error-share', one('error-share')!),
    slowShare: parseShare('slow-share', one('slow-share')!),
    services: whole('services', 1),
    traceSpans: parseRange('trace-spans', one('trace-spans')!),
    gzip: parseCompression(one('compression')!) === 'gzip',
    headers: new Map((given.get('header') ?? []).map(parseHeader)),
    seed: seed === undefined ? randomInt(0x1_0000_0000) : wholeNumber('seed', seed, 0),
    giveUp_ms: parseTime('give-up', one('give-up')!),
    json: given.has('json'),
  };
  return options;
}

function readFlags(argv: readonly string[]): Map<string, string[]> {
  const names = Object.keys(flags);
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, flag]: [string, Flag]) => [
      name,
      { type: flag.value === undefined ? ('boolean' as const) : ('string' as const), multiple: flag.multiple === true },
    ]),
  );
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true });
  const given = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind === 'positional') throw new UsageError(`"${token.value}" is no option; options begin with --`);
    if (token.kind === 'option-terminator') continue;
    if (!names.includes(token.name))
      throw new UsageError(
        `${token.rawName} is not known${suggestion(
          `--${token.name}`,
          names.map((name) => `--${name}`),
        )}`,
      );
    const { value } = flags[token.name as FlagName] as Flag;
    if (value !== undefined && token.value === undefined) throw new UsageError(`--${token.name} wants a value: --${token.name} ${value}`);
    if (value === undefined && token.value !== undefined) throw new UsageError(`--${token.name} takes no value`);
    given.set(token.name, [...(given.get(token.name) ?? []), token.value ?? '']);
  }
  return given;
}

function wholeNumber(name: string, text: string, min: number): number {
  const value = /^\d[\d_]*$/.test(text) ? Number(text.replaceAll('_', '')) : Number.NaN;
  if (!Number.isSafeInteger(value) || value < min) throw new UsageError(`--${name} ${text}: a whole number from ${min} is wanted`);
  return value;
}

function parseShare(name: string, text: string): number {
  const value = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 1)) throw new UsageError(`--${name} ${text}: a share from 0 to 1 is wanted, such as 0.01 for one in a hundred`);
  return value;
}

function parseTime(name: string, text: string): number {
  const value = parseDuration(text);
  if (value === undefined || value <= 0)
    throw new UsageError(`--${name} ${text}: a time with its unit is wanted, such as 500ms, 30s or 5m`);
  return value;
}

function parseRange(name: string, text: string): { min: number; max: number } {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const min = Number(match?.[1]);
  const max = Number(match?.[2] ?? match?.[1]);
  if (match === null || min < 1 || max < min) throw new UsageError(`--${name} ${text}: two whole numbers from 1 are wanted, such as 6-10`);
  return { min, max };
}

function parseCompression(text: string): string {
  if (text !== 'none' && text !== 'gzip')
    throw new UsageError(`--compression ${text}: none or gzip is wanted${suggestion(text, ['none', 'gzip'])}`);
  return text;
}

function parseHeader(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError(`--header ${text}: NAME=VALUE is wanted, such as authorization="Bearer TOKEN"`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function parseTarget(text: string): Target {
  if (/^https?:\/\//i.test(text)) {
    if (!URL.canParse(text)) throw new UsageError(`--endpoint ${text}: this is no URL; write for example http://127.0.0.1:4318`);
    const url = new URL(text);
    if (url.pathname === '/') url.pathname = '/v1/traces';
    return { protocol: url.protocol === 'https:' ? 'https' : 'http', address: url.href };
  }
  if (!/^(?:\[[0-9a-f:]+\]|[^\s:/]+):\d{1,5}$/i.test(text)) {
    throw new UsageError(`--endpoint ${text}: host:port (OTLP/gRPC) or http://host:port (OTLP/HTTP) is wanted, such as 127.0.0.1:4317`);
  }
  return { protocol: 'grpc', address: text };
}
