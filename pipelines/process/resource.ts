import { StageCounters } from '../base/counters.ts';
import { Walker, type ItemVisitor } from '../otlp/walk.ts';
import { RESOURCE_ATTRIBUTES } from '../otlp/attributes.ts';
import { Cursor, WIRE_LEN } from '../wire/cursor.ts';
import { Writer } from '../wire/writer.ts';
import { applyActions, compileActions, type AttributeAction, type CompiledActions } from './attribute-actions.ts';
import { AttributeEdit, copyWithout } from './attribute-edit.ts';
import type { Processor } from './processor.ts';

/** The Collector's resourceprocessor; its key `attributes` holds the actions. */
export interface ResourceSettings {
  readonly attributes: readonly AttributeAction[];
}

/** Changes the attributes of resources, for any signal. @throws OperatorError for actions that cannot be */
export function createResource(settings: ResourceSettings, name = 'resource'): Processor {
  return new ResourceActions(name, compileActions(settings.attributes));
}

const RESOURCE_X = 1;
const RESOURCE = 1;

/** See otlp/walk.ts for the grammar. Items are not looked into: what stands beside a resource is copied as one run of bytes. */
class ResourceActions implements Processor, ItemVisitor {
  readonly name: string;
  readonly counters: StageCounters;
  private readonly actions: CompiledActions;
  private readonly edit: AttributeEdit;
  private readonly out = new Writer();
  private readonly walker = new Walker();
  private readonly top = new Cursor();
  private readonly inner = new Cursor();
  private readonly cursor = new Cursor();
  private bytes: Buffer = this.out.bytes;
  private changed = false;

  constructor(name: string, actions: CompiledActions) {
    this.name = name;
    this.actions = actions;
    this.edit = new AttributeEdit(actions.constants);
    this.counters = new StageCounters(name);
  }

  process(bytes: Buffer): Buffer {
    this.bytes = bytes;
    this.changed = false;
    const items = this.walker.walk(bytes, 0, bytes.length, this);
    const result = this.changed ? this.rewrite(bytes) : bytes;
    this.counters.in += items;
    this.counters.out += items;
    return result;
  }

  resource(start: number, stop: number): void {
    this.load(start, stop);
    if (this.edit.changed) this.changed = true;
  }

  scope(): void {
    // Nothing changes below the resource.
  }

  item(): void {
    // The walker counts.
  }

  private load(start: number, stop: number): void {
    this.edit.load(this.bytes, start, stop, RESOURCE_ATTRIBUTES);
    applyActions(this.edit, this.actions.steps);
  }

  private rewrite(bytes: Buffer): Buffer {
    const { out, top, inner } = this;
    out.reset();
    top.reset(bytes, 0, bytes.length);
    while (top.next()) {
      if (top.field !== RESOURCE_X) continue;
      let start = 0;
      let stop = 0;
      inner.reset(bytes, top.start, top.stop);
      while (inner.next()) {
        if (inner.field !== RESOURCE) continue;
        inner.expect(WIRE_LEN);
        start = inner.start;
        stop = inner.stop;
      }
      const mark = out.open(RESOURCE_X, top.stop - top.start);
      const resource = out.open(RESOURCE, stop - start);
      this.load(start, stop);
      copyWithout(out, this.cursor, bytes, start, stop, RESOURCE_ATTRIBUTES);
      this.edit.write(out, RESOURCE_ATTRIBUTES);
      out.close(resource);
      copyWithout(out, this.cursor, bytes, top.start, top.stop, RESOURCE);
      out.close(mark);
    }
    return out.view();
  }
}
