import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { mix32 } from '../pipelines/base/hash.ts';
import { SpanView } from '../pipelines/otlp/span.ts';
import { Walker } from '../pipelines/otlp/walk.ts';
import { Cursor } from '../pipelines/wire/cursor.ts';
import { Mesh, type MeshSettings, type MeshTrace } from './generate-mesh.ts';
import { Random, Share } from './generate-random.ts';

/*
 * Requests are built once, by OpenTelemetry's own serializer, and sent over and over with other ids and times: serializing a
 * span of 1 KB takes some 20 µs, copying it and patching its ids and times 1 µs, so that a generator can outrun what it
 * measures. The texts therefore come round again every CYCLE_SPANS spans.
 */
const CYCLE_SPANS = 10_000;
/** In a cycle, too, shares have to come out: at least this many traces of the rarer kind, up to CYCLE_SPANS_MAX spans. */
const CYCLE_RARE_TRACES = 5;
const CYCLE_SPANS_MAX = 50_000;

export interface PayloadSettings extends MeshSettings {
  readonly seed: number;
  /** At most this many spans a request. A trace begins in a new request where it does not fit into the rest of the last. */
  readonly spansPerRequest: number;
  /** Shares of traces, 0 to 1. */
  readonly errorShare: number;
  readonly slowShare: number;
  /** Spans altogether; Infinity for no end. */
  readonly spans: number;
}

/** A trace that is on its way. */
export interface SentTrace {
  readonly spans: number;
  readonly error: boolean;
  readonly slow: boolean;
  /** Spans that are not yet acknowledged. */
  pending: number;
}

export interface Payload {
  readonly bytes: Buffer;
  readonly spans: number;
  readonly errorSpans: number;
  /** The traces with spans in it, and how many. */
  readonly traces: readonly { readonly trace: SentTrace; readonly spans: number }[];
  /** No trace goes on in the next payload. */
  readonly whole: boolean;
}

/** One request of a cycle. `patches` holds, for each span, PATCH_STRIDE numbers. */
interface Template {
  readonly bytes: Buffer;
  readonly spans: number;
  readonly errorSpans: number;
  readonly patches: Int32Array;
  readonly traces: readonly { readonly index: number; readonly spans: number }[];
  readonly whole: boolean;
}

interface Cycle {
  readonly templates: readonly Template[];
  readonly traces: readonly { readonly spans: number; readonly error: boolean; readonly slow: boolean; readonly duration_ns: number }[];
  readonly spans: number;
}

const TRACE_ID = 0;
const SPAN_ID = 1;
/** −1 at a root. */
const PARENT_ID = 2;
const START_TIME = 3;
const END_TIME = 4;
const TRACE = 5;
const SPAN = 6;
const PARENT = 7;
const PATCH_STRIDE = 8;

/** Gives the run's requests one by one. Every trace is whole once `whole` is reached, every id is unique within the run. */
export class Payloads {
  private readonly settings: PayloadSettings;
  private readonly now_ms: () => number;
  private readonly cycle: Cycle;
  private readonly words: readonly number[];
  private current: Cycle;
  private at = 0;
  private left: number;
  private firstTrace = 0;
  private firstSpan = 0;
  private open: { trace: SentTrace; start_ns: bigint }[] = [];

  constructor(settings: PayloadSettings, now_ms: () => number) {
    this.settings = settings;
    this.now_ms = now_ms;
    const rarest = Math.min(...[settings.errorShare, settings.slowShare].filter((share) => share > 0), 1);
    const spans = Math.max(CYCLE_SPANS, (CYCLE_RARE_TRACES / rarest) * settings.traceSpans.max);
    this.cycle = buildCycle(settings, Math.min(Math.ceil(spans), CYCLE_SPANS_MAX, settings.spans));
    this.current = this.cycle;
    this.left = settings.spans;
    this.words = Array.from({ length: 6 }, (_, i) => mix32(settings.seed + i * 0x9e3779b9));
  }

  /** The next request; undefined at the end. */
  next(): Payload | undefined {
    if (this.at === this.current.templates.length) {
      this.firstTrace += this.current.traces.length;
      this.firstSpan += this.current.spans;
      this.at = 0;
      if (this.left < this.cycle.spans) this.current = buildCycle(this.settings, this.left);
    }
    const template = this.current.templates[this.at];
    if (template === undefined) return undefined;
    this.at++;
    this.left -= template.spans;
    return this.send(template);
  }

  private send(template: Template): Payload {
    const bytes = Buffer.from(template.bytes);
    const traces = template.traces.map(({ index, spans }) => ({ trace: this.begin(index).trace, spans }));
    const { patches } = template;
    for (let at = 0; at < patches.length; at += PATCH_STRIDE) {
      const index = patches[at + TRACE]!;
      this.writeTraceId(bytes, patches[at + TRACE_ID]!, this.firstTrace + index);
      this.writeSpanId(bytes, patches[at + SPAN_ID]!, this.firstSpan + patches[at + SPAN]!);
      if (patches[at + PARENT_ID]! >= 0) this.writeSpanId(bytes, patches[at + PARENT_ID]!, this.firstSpan + patches[at + PARENT]!);
      const { start_ns } = this.open[index]!;
      for (const time of [patches[at + START_TIME]!, patches[at + END_TIME]!]) {
        bytes.writeBigUInt64LE(bytes.readBigUInt64LE(time) + start_ns, time);
      }
    }
    if (template.whole) this.open = [];
    return { bytes, spans: template.spans, errorSpans: template.errorSpans, traces, whole: template.whole };
  }

  /** A trace ends when its first request is made, and began its duration earlier. */
  private begin(index: number): { trace: SentTrace; start_ns: bigint } {
    const known = this.open[index];
    if (known !== undefined) return known;
    const { spans, error, slow, duration_ns } = this.current.traces[index]!;
    const begun = {
      trace: { spans, error, slow, pending: spans },
      start_ns: BigInt(this.now_ms()) * 1_000_000n - BigInt(duration_ns),
    };
    this.open[index] = begun;
    return begun;
  }

  /** mix32 maps 32 bits one to one, so two numbers below 2^32 never give the same id; the last 7 bytes are even, as samplers expect. */
  private writeTraceId(bytes: Buffer, at: number, number: number): void {
    for (let word = 0; word < 4; word++) bytes.writeUInt32BE(mix32(number ^ this.words[word]!), at + word * 4);
  }

  private writeSpanId(bytes: Buffer, at: number, number: number): void {
    bytes.writeUInt32BE(mix32(number ^ this.words[4]!), at);
    // Never all zeros, which would be no id.
    bytes.writeUInt32BE((mix32(number ^ this.words[5]!) | 1) >>> 0, at + 4);
  }
}

function buildCycle(settings: PayloadSettings, spans: number): Cycle {
  const random = new Random(settings.seed);
  const mesh = new Mesh(settings, random);
  const errors = new Share(settings.errorShare, 0.5);
  const slows = new Share(settings.slowShare, 0);
  const traces: (MeshTrace & { error: boolean; slow: boolean })[] = [];
  const templates: Template[] = [];
  let pending: MeshTrace['spans'][number][] = [];
  const cut = (whole: boolean): void => {
    if (pending.length > 0) templates.push(createTemplate(pending, whole));
    pending = [];
  };
  for (let done = 0; done < spans;) {
    const error = errors.take();
    const slow = slows.take();
    const trace = mesh.trace(traces.length, done + 1, spans - done, error, slow);
    traces.push({ ...trace, error, slow });
    done += trace.spans.length;
    if (pending.length + trace.spans.length > settings.spansPerRequest) cut(true);
    for (const span of trace.spans) {
      if (pending.length === settings.spansPerRequest) cut(false);
      pending.push(span);
    }
  }
  cut(true);
  return { templates, spans, traces: traces.map(({ spans: list, ...trace }) => ({ ...trace, spans: list.length })) };
}

/** Serializes one request and finds, by our own reading of it, where its ids and times are. */
function createTemplate(spans: readonly MeshTrace['spans'][number][], whole: boolean): Template {
  const serialized = ProtobufTraceSerializer.serializeRequest([...spans]);
  if (serialized === undefined) throw new Error('the serializer gave nothing');
  const bytes = Buffer.from(serialized);
  const patches: number[] = [];
  const counts = new Map<number, number>();
  let errorSpans = 0;
  const view = new SpanView();
  const cursor = new Cursor();
  new Walker().walk(bytes, 0, bytes.length, {
    resource: () => {},
    scope: () => {},
    item: (start, stop) => {
      view.parse(bytes, start, stop);
      const times = [0, 0];
      cursor.reset(bytes, start, stop);
      while (cursor.next()) if (cursor.field === 7 || cursor.field === 8) times[cursor.field - 7] = cursor.start;
      const root = view.parentIdStart === view.parentIdStop;
      const index = bytes.readUInt32BE(view.traceIdStart + 12);
      const numberAt = (at: number): number => bytes.readUInt32BE(at + 4);
      patches.push(view.traceIdStart, view.spanIdStart, root ? -1 : view.parentIdStart, times[0]!, times[1]!);
      patches.push(index, numberAt(view.spanIdStart), root ? 0 : numberAt(view.parentIdStart));
      counts.set(index, (counts.get(index) ?? 0) + 1);
      if (view.statusCode === 2) errorSpans++;
    },
  });
  const traces = [...counts].map(([index, count]) => ({ index, spans: count }));
  return { bytes, spans: spans.length, errorSpans, patches: Int32Array.from(patches), traces, whole };
}
