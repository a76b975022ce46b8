import { StageCounters } from '../base/counters.ts';
import { Reject } from '../base/errors.ts';
import type { Signal } from '../otlp/walk.ts';
import { Cursor } from '../wire/cursor.ts';
import type { Writer } from '../wire/writer.ts';
import { compileCondition, type Condition } from './condition.ts';
import { Item } from './item.ts';
import { DROP, ItemPass, KEEP, REWRITE, type ItemHandler, type Verdict } from './item-pass.ts';
import type { ConditionContext } from './ottl-value.ts';
import type { Processor } from './processor.ts';
import type { ItemScope } from './scope.ts';

/** What happens when a function in a condition cannot work with its argument: `ignore` and `silent` take the condition as false, `propagate` refuses the request. */
type ErrorMode = 'ignore' | 'silent' | 'propagate';

/**
 * The Collector's filterprocessor: an item is dropped when any condition of its kind holds. `traces.resource`, `logs.resource` and
 * `metrics.resource` are written as conditions on the item with resource.attributes[…]. The flat lists take conditions
 * of any context of their signal, told by their first path (`spanevent.name == …`).
 */
export interface FilterSettings {
  readonly errorMode: ErrorMode;
  readonly traces?: { readonly span?: readonly string[]; readonly spanevent?: readonly string[] };
  readonly logs?: { readonly logRecord?: readonly string[] };
  readonly metrics?: { readonly metric?: readonly string[] };
  readonly traceConditions?: readonly string[];
  readonly logConditions?: readonly string[];
  readonly metricConditions?: readonly string[];
}

/** The context of a condition in a flat list: `spanevent` where it reads one, else that of the signal's items. */
export function contextOf(text: string, signal: Signal): ConditionContext {
  if (signal === 'logs') return 'log';
  if (signal === 'metrics') return 'metric';
  // Outside of strings, which may hold any word.
  return /\bspanevent\s*\./.test(text.replaceAll(/"(?:\\.|[^\\"])*"/g, '""')) ? 'spanevent' : 'span';
}

/** @throws ConditionError */
export function createFilter(settings: FilterSettings, signal: Signal, name = 'filter'): Processor {
  const flat = { traces: settings.traceConditions, logs: settings.logConditions, metrics: settings.metricConditions }[signal] ?? [];
  const own: readonly (readonly [ConditionContext, readonly string[]])[] = {
    traces: [
      ['span', settings.traces?.span ?? []],
      ['spanevent', settings.traces?.spanevent ?? []],
    ] as const,
    logs: [['log', settings.logs?.logRecord ?? []]] as const,
    metrics: [['metric', settings.metrics?.metric ?? []]] as const,
  }[signal];
  const conditions = [
    ...own.flatMap(([context, texts]) => texts.map((text) => compileCondition(text, context))),
    ...flat.map((text) => compileCondition(text, contextOf(text, signal))),
  ];
  return new Filter(name, signal, conditions, settings.errorMode);
}

const SPAN_EVENTS = 11;

class Filter implements Processor, ItemHandler {
  readonly name: string;
  readonly counters: StageCounters;
  /** Events that conditions took from spans that stayed. Events are no items, so they are not in `counters`. */
  droppedEvents = 0;
  private readonly signal: Signal;
  private readonly propagate: boolean;
  private readonly itemConditions: readonly Condition[];
  private readonly eventConditions: readonly Condition[];
  private readonly item = new Item();
  private readonly cursor = new Cursor();
  private readonly pass: ItemPass;

  constructor(name: string, signal: Signal, conditions: readonly Condition[], errorMode: ErrorMode) {
    this.name = name;
    this.signal = signal;
    this.propagate = errorMode === 'propagate';
    this.itemConditions = conditions.filter((condition) => condition.context !== 'spanevent');
    this.eventConditions = conditions.filter((condition) => condition.context === 'spanevent');
    this.counters = new StageCounters(name);
    this.pass = new ItemPass(this, this.counters, 'filtered');
  }

  /** @throws Malformed, and Reject with error mode `propagate` */
  process(bytes: Buffer): Buffer {
    return this.itemConditions.length + this.eventConditions.length === 0 ? this.pass.runUnchanged(bytes) : this.pass.run(bytes);
  }

  decide(bytes: Buffer, start: number, stop: number, scope: ItemScope): Verdict {
    const { item } = this;
    item.scope = scope;
    if (this.signal === 'traces') item.span.parse(bytes, start, stop);
    else if (this.signal === 'logs') item.log.parse(bytes, start, stop);
    else item.metric.parse(bytes, start, stop);
    if (this.anyHolds(this.itemConditions)) return DROP;
    if (this.eventConditions.length === 0) return KEEP;
    const { events } = item.span;
    for (let i = 0; i < events.count; i++) {
      item.event.parse(bytes, events.start(i), events.stop(i));
      if (this.anyHolds(this.eventConditions)) return REWRITE;
    }
    return KEEP;
  }

  /** The span without the events that a condition holds for; all other fields as they stand. */
  rewrite(bytes: Buffer, start: number, stop: number, scope: ItemScope, out: Writer): void {
    const { item } = this;
    item.scope = scope;
    item.span.parse(bytes, start, stop);
    const cursor = this.cursor.reset(bytes, start, stop);
    let run = start;
    for (let at = start; cursor.next(); at = cursor.pos) {
      if (cursor.field !== SPAN_EVENTS) continue;
      item.event.parse(bytes, cursor.start, cursor.stop);
      if (!this.anyHolds(this.eventConditions)) continue;
      out.raw(bytes, run, at);
      run = cursor.pos;
      this.droppedEvents++;
    }
    out.raw(bytes, run, stop);
  }

  private anyHolds(conditions: readonly Condition[]): boolean {
    for (let i = 0; i < conditions.length; i++) {
      const condition = conditions[i]!;
      const errors = condition.errors;
      if (condition.matches(this.item)) return true;
      if (this.propagate && condition.errors !== errors) {
        throw new Reject('condition_error', `${this.name}: the condition ${condition.text} met a value that its function cannot take`);
      }
    }
    return false;
  }
}
