import { Cursor, WIRE_LEN } from '../wire/cursor.ts';

/*
 * The three signals share one frame (opentelemetry-proto v1.11, {trace,metrics,logs}/v1/*.proto). An
 * Export{Trace,Metrics,Logs}ServiceRequest has the very fields of {Traces,Metrics,Logs}Data:
 *
 *   Data      { repeated ResourceX resource_x = 1 }
 *   ResourceX { Resource resource = 1; repeated ScopeX scope_x = 2; string schema_url = 3 }
 *   ScopeX    { InstrumentationScope scope = 1; repeated X x = 2; string schema_url = 3 }      X = Span | Metric | LogRecord
 *
 * Concatenating the bytes of two Data messages gives the Data with the resources of both.
 */
export type Signal = 'traces' | 'metrics' | 'logs';

const RESOURCE_X = 1;
const HEAD = 1;
const CHILDREN = 2;
const SCHEMA_URL = 3;

/**
 * Called in the order of the bytes. Ranges are [start, stop) of the payloads in the walked buffer; an absent Resource,
 * InstrumentationScope or schema URL is the empty range 0, 0. Fields may come in any order on the wire, so a
 * resource and its schema URL are found before the first scope is reported.
 */
export interface ItemVisitor {
  resource(start: number, stop: number, schemaUrlStart: number, schemaUrlStop: number): void;
  scope(start: number, stop: number, schemaUrlStart: number, schemaUrlStop: number): void;
  item(start: number, stop: number): void;
}

/** Walks requests of any signal. One walker serves one walk at a time. */
export class Walker {
  private readonly top = new Cursor();
  private readonly resource = new Cursor();
  private readonly scope = new Cursor();
  private headStart = 0;
  private headStop = 0;
  private urlStart = 0;
  private urlStop = 0;

  /** Returns the number of items. @throws Malformed */
  walk(bytes: Buffer, start: number, stop: number, visitor: ItemVisitor): number {
    const { top, resource, scope } = this;
    let items = 0;
    top.reset(bytes, start, stop);
    while (top.next()) {
      if (top.field !== RESOURCE_X) continue;
      top.expect(WIRE_LEN);
      this.scanHead(resource.reset(bytes, top.start, top.stop));
      visitor.resource(this.headStart, this.headStop, this.urlStart, this.urlStop);
      resource.reset(bytes, top.start, top.stop);
      while (resource.next()) {
        if (resource.field !== CHILDREN) continue;
        resource.expect(WIRE_LEN);
        this.scanHead(scope.reset(bytes, resource.start, resource.stop));
        visitor.scope(this.headStart, this.headStop, this.urlStart, this.urlStop);
        scope.reset(bytes, resource.start, resource.stop);
        while (scope.next()) {
          if (scope.field !== CHILDREN) continue;
          scope.expect(WIRE_LEN);
          visitor.item(scope.start, scope.stop);
          items++;
        }
      }
    }
    return items;
  }

  /** Finds field 1 (Resource or InstrumentationScope) and field 3 (schema_url) of a ResourceX or ScopeX. The last one of each counts, as in every protobuf reader for scalars. */
  private scanHead(cursor: Cursor): void {
    this.headStart = this.headStop = this.urlStart = this.urlStop = 0;
    while (cursor.next()) {
      if (cursor.field === HEAD) {
        cursor.expect(WIRE_LEN);
        this.headStart = cursor.start;
        this.headStop = cursor.stop;
      } else if (cursor.field === SCHEMA_URL) {
        cursor.expect(WIRE_LEN);
        this.urlStart = cursor.start;
        this.urlStop = cursor.stop;
      }
    }
  }
}
