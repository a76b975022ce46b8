import { StageCounters } from '../base/counters.ts';
import { OperatorError } from '../base/errors.ts';
import type { Signal } from '../otlp/walk.ts';
import { Cursor } from '../wire/cursor.ts';
import type { Writer } from '../wire/writer.ts';
import { applyActions, compileActions, type AttributeAction, type CompiledActions } from './attribute-actions.ts';
import { AttributeEdit, copyWithout } from './attribute-edit.ts';
import { Item } from './item.ts';
import { compileMatch, type MatchSettings } from './item-match.ts';
import { ItemPass, KEEP, REWRITE, type ItemHandler, type Verdict } from './item-pass.ts';
import type { Test } from './ottl-compile.ts';
import type { Processor } from './processor.ts';
import type { ItemScope } from './scope.ts';

/** The Collector's attributesprocessor. */
export interface AttributesSettings {
  readonly actions: readonly AttributeAction[];
  readonly include?: MatchSettings;
  readonly exclude?: MatchSettings;
}

const SPAN_ATTRIBUTES = 9;
const LOG_ATTRIBUTES = 6;

/** Changes the attributes of spans or log records. @throws OperatorError for actions that cannot be, and for metrics (not supported yet) */
export function createAttributes(settings: AttributesSettings, signal: Signal, name = 'attributes'): Processor {
  if (signal === 'metrics')
    throw new OperatorError(
      `${name}: attributes of data points cannot be changed yet`,
      'use the resource processor, or leave it out of metrics pipelines',
    );
  return new Attributes(name, signal, compileActions(settings.actions), compileMatch(settings.include, settings.exclude, signal));
}

class Attributes implements Processor, ItemHandler {
  readonly name: string;
  readonly counters: StageCounters;
  private readonly field: number;
  private readonly traces: boolean;
  private readonly actions: CompiledActions;
  private readonly applies: Test | undefined;
  private readonly edit: AttributeEdit;
  private readonly item = new Item();
  private readonly cursor = new Cursor();
  private readonly pass: ItemPass;

  constructor(name: string, signal: Signal, actions: CompiledActions, applies: Test | undefined) {
    this.name = name;
    this.traces = signal === 'traces';
    this.field = this.traces ? SPAN_ATTRIBUTES : LOG_ATTRIBUTES;
    this.actions = actions;
    this.applies = applies;
    this.edit = new AttributeEdit(actions.constants);
    this.counters = new StageCounters(name);
    this.pass = new ItemPass(this, this.counters, 'none');
  }

  process(bytes: Buffer): Buffer {
    return this.pass.runOnce(bytes);
  }

  decide(bytes: Buffer, start: number, stop: number, scope: ItemScope): Verdict {
    const { item, edit } = this;
    if (this.applies !== undefined) {
      item.scope = scope;
      if (this.traces) item.span.parse(bytes, start, stop);
      else item.log.parse(bytes, start, stop);
      if (!this.applies(item)) return KEEP;
    }
    edit.load(bytes, start, stop, this.field);
    applyActions(edit, this.actions.steps);
    return edit.changed ? REWRITE : KEEP;
  }

  rewrite(bytes: Buffer, start: number, stop: number, _scope: ItemScope, out: Writer): void {
    copyWithout(out, this.cursor, bytes, start, stop, this.field);
    this.edit.write(out, this.field);
  }
}
