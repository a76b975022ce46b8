import { SpanView } from '../otlp/span.ts';
import { Block, type EncodedBlock, type RowWriter } from './block.ts';
import { ArrayColumn, FixedColumn } from './column.ts';
import type { Context } from './context.ts';
import { DAY_MAX, Days, Room, dayOf } from './days.ts';
import { LowCardinalityColumn } from './dictionary.ts';
import { MapColumn } from './map-column.ts';
import { EventView, LinkView } from '../otlp/nested.ts';
import { StringColumn } from './string-column.ts';

/** What pdata's SpanKind.String() says, by the number in the message; anything else is ''. */
const KINDS = ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'].map((word) => Buffer.from(word));
/** pdata's StatusCode.String(). */
const STATUS_CODES = ['Unset', 'Ok', 'Error'].map((word) => Buffer.from(word));
const NONE = Buffer.alloc(0);

const event = new EventView();
const link = new LinkView();

/** `otel_traces`: the columns of the Collector's ClickHouse exporter (traces_insert.sql, v0.110 to v0.162). */
class TraceBlock extends Block {
  private readonly timestamp = this.column('Timestamp', new FixedColumn('DateTime64(9)', 8));
  private readonly traceId = this.column('TraceId', new StringColumn());
  private readonly spanId = this.column('SpanId', new StringColumn());
  private readonly parentSpanId = this.column('ParentSpanId', new StringColumn());
  private readonly traceState = this.column('TraceState', new StringColumn());
  private readonly spanName = this.column('SpanName', new LowCardinalityColumn());
  private readonly spanKind = this.column('SpanKind', new LowCardinalityColumn());
  private readonly serviceName = this.column('ServiceName', new LowCardinalityColumn());
  private readonly resourceAttributes = this.column('ResourceAttributes', new MapColumn());
  private readonly scopeName = this.column('ScopeName', new StringColumn());
  private readonly scopeVersion = this.column('ScopeVersion', new StringColumn());
  private readonly spanAttributes = this.column('SpanAttributes', new MapColumn());
  private readonly duration = this.column('Duration', new FixedColumn('UInt64', 8));
  private readonly statusCode = this.column('StatusCode', new LowCardinalityColumn());
  private readonly statusMessage = this.column('StatusMessage', new StringColumn());
  private readonly eventsTimestamp = this.column('Events.Timestamp', new ArrayColumn(new FixedColumn('DateTime64(9)', 8)));
  private readonly eventsName = this.column('Events.Name', new ArrayColumn(new LowCardinalityColumn()));
  private readonly eventsAttributes = this.column('Events.Attributes', new ArrayColumn(new MapColumn()));
  private readonly linksTraceId = this.column('Links.TraceId', new ArrayColumn(new StringColumn()));
  private readonly linksSpanId = this.column('Links.SpanId', new ArrayColumn(new StringColumn()));
  private readonly linksTraceState = this.column('Links.TraceState', new ArrayColumn(new StringColumn()));
  private readonly linksAttributes = this.column('Links.Attributes', new ArrayColumn(new MapColumn()));

  constructor() {
    super('otel_traces');
  }

  /** One row. @throws Malformed (then `rollback`) */
  add(context: Context, span: SpanView): void {
    const { bytes } = span;
    this.timestamp.time(span.startLo | 0, span.startHi | 0);
    this.traceId.hex(bytes, span.traceIdStart, span.traceIdStop);
    this.spanId.hex(bytes, span.spanIdStart, span.spanIdStop);
    this.parentSpanId.hex(bytes, span.parentIdStart, span.parentIdStop);
    this.traceState.range(bytes, span.traceStateStart, span.traceStateStop);
    this.spanName.range(bytes, span.nameStart, span.nameStop);
    this.spanKind.word(span.kind < KINDS.length ? span.kind : KINDS.length, KINDS[span.kind] ?? NONE);
    this.addResource(context);
    this.addScope(context);
    this.spanAttributes.add(bytes, span.attributes);
    this.addDuration(span);
    this.statusCode.word(
      span.statusCode < STATUS_CODES.length ? span.statusCode : STATUS_CODES.length,
      STATUS_CODES[span.statusCode] ?? NONE,
    );
    this.statusMessage.range(bytes, span.statusMessageStart, span.statusMessageStop);
    this.addEvents(span);
    this.addLinks(span);
    this.rows++;
  }

  private addResource(context: Context): void {
    if (this.resourceSerial === context.resourceSerial) {
      this.serviceName.repeat();
      this.resourceAttributes.repeat();
      return;
    }
    this.serviceName.value(context.bytes, context.serviceStart, context.serviceStop);
    this.resourceAttributes.add(context.bytes, context.resourceAttributes);
    this.resourceSerial = context.resourceSerial;
  }

  private addScope(context: Context): void {
    if (this.scopeSerial === context.scopeSerial) {
      this.scopeName.repeat();
      this.scopeVersion.repeat();
      return;
    }
    this.scopeName.range(context.bytes, context.scopeNameStart, context.scopeNameStop);
    this.scopeVersion.range(context.bytes, context.scopeVersionStart, context.scopeVersionStop);
    this.scopeSerial = context.scopeSerial;
  }

  /** End − start in ns; 0 where the end is absent or before the start. */
  private addDuration(span: SpanView): void {
    const borrow = span.endLo < span.startLo ? 1 : 0;
    const hi = span.endHi - span.startHi - borrow;
    if (hi < 0) this.duration.u64(0, 0);
    else this.duration.u64((span.endLo - span.startLo) | 0, hi | 0);
  }

  private addEvents(span: SpanView): void {
    const { bytes, events } = span;
    for (let i = 0; i < events.count; i++) {
      event.parse(bytes, events.start(i), events.stop(i));
      this.eventsTimestamp.inner.time(event.timeLo | 0, event.timeHi | 0);
      this.eventsName.inner.range(bytes, event.nameStart, event.nameStop);
      this.eventsAttributes.inner.add(bytes, event.attributes);
    }
    this.eventsTimestamp.close();
    this.eventsName.close();
    this.eventsAttributes.close();
  }

  private addLinks(span: SpanView): void {
    const { bytes, links } = span;
    for (let i = 0; i < links.count; i++) {
      link.parse(bytes, links.start(i), links.stop(i));
      this.linksTraceId.inner.hex(bytes, link.traceIdStart, link.traceIdStop);
      this.linksSpanId.inner.hex(bytes, link.spanIdStart, link.spanIdStop);
      this.linksTraceState.inner.range(bytes, link.traceStateStart, link.traceStateStop);
      this.linksAttributes.inner.add(bytes, link.attributes);
    }
    this.linksTraceId.close();
    this.linksSpanId.close();
    this.linksTraceState.close();
    this.linksAttributes.close();
  }
}

/** Spans into `otel_traces`, by the day of their start. */
export class TraceRows implements RowWriter {
  dropped = '';
  private readonly days = new Days(new Room(), () => new TraceBlock());
  private readonly span = new SpanView();

  item(context: Context, start: number, stop: number): number {
    const span = this.span.parse(context.bytes, start, stop);
    const day = dayOf(span.startLo | 0, span.startHi | 0);
    if (day > DAY_MAX) {
      this.dropped = 'timestamp';
      return 0;
    }
    const block = this.days.block(day);
    if (block === undefined) {
      this.dropped = 'days_full';
      return 0;
    }
    try {
      block.add(context, span);
    } catch (error) {
      block.rollback();
      throw error;
    }
    return 1;
  }

  size(): number {
    return this.days.size();
  }

  drain(sink: (block: EncodedBlock) => void): void {
    this.days.drain(sink);
  }
}
