import { LogRecordView } from '../otlp/log-record.ts';
import { Block, type EncodedBlock, type RowWriter } from './block.ts';
import { FixedColumn } from './column.ts';
import type { Context } from './context.ts';
import { DAY_MAX, Days, Room, dayOf } from './days.ts';
import { LowCardinalityColumn } from './dictionary.ts';
import { MapColumn } from './map-column.ts';
import { StringColumn } from './string-column.ts';

/** SeverityNumber ends at 24; what does not fit UInt8 is stored as 0, "unspecified". */
const SEVERITY_MAX = 255;

/** `otel_logs`: the columns of the Collector's ClickHouse exporter since v0.151. */
class LogBlock extends Block {
  private readonly timestamp = this.column('Timestamp', new FixedColumn('DateTime64(9)', 8));
  private readonly traceId = this.column('TraceId', new StringColumn());
  private readonly spanId = this.column('SpanId', new StringColumn());
  private readonly traceFlags = this.column('TraceFlags', new FixedColumn('UInt8', 1));
  private readonly severityText = this.column('SeverityText', new LowCardinalityColumn());
  private readonly severityNumber = this.column('SeverityNumber', new FixedColumn('UInt8', 1));
  private readonly serviceName = this.column('ServiceName', new LowCardinalityColumn());
  private readonly body = this.column('Body', new StringColumn());
  private readonly resourceSchemaUrl = this.column('ResourceSchemaUrl', new LowCardinalityColumn());
  private readonly resourceAttributes = this.column('ResourceAttributes', new MapColumn());
  private readonly scopeSchemaUrl = this.column('ScopeSchemaUrl', new LowCardinalityColumn());
  private readonly scopeName = this.column('ScopeName', new StringColumn());
  private readonly scopeVersion = this.column('ScopeVersion', new LowCardinalityColumn());
  private readonly scopeAttributes = this.column('ScopeAttributes', new MapColumn());
  private readonly logAttributes = this.column('LogAttributes', new MapColumn());
  private readonly eventName = this.column('EventName', new StringColumn());

  constructor() {
    super('otel_logs');
  }

  /** One row. @throws Malformed (then `rollback`) */
  add(context: Context, log: LogRecordView, timeLo: number, timeHi: number): void {
    const { bytes } = log;
    this.timestamp.time(timeLo, timeHi);
    this.traceId.hex(bytes, log.traceIdStart, log.traceIdStop);
    this.spanId.hex(bytes, log.spanIdStart, log.spanIdStop);
    this.traceFlags.u8(log.flags & 0xff);
    this.severityText.range(bytes, log.severityTextStart, log.severityTextStop);
    this.severityNumber.u8(log.severityNumber <= SEVERITY_MAX ? log.severityNumber : 0);
    this.body.value(bytes, log.bodyStart, log.bodyStop);
    this.addResource(context);
    this.addScope(context);
    this.logAttributes.add(bytes, log.attributes);
    this.eventName.range(bytes, log.eventNameStart, log.eventNameStop);
    this.rows++;
  }

  private addResource(context: Context): void {
    if (this.resourceSerial === context.resourceSerial) {
      this.serviceName.repeat();
      this.resourceSchemaUrl.repeat();
      this.resourceAttributes.repeat();
      return;
    }
    const { bytes } = context;
    this.serviceName.value(bytes, context.serviceStart, context.serviceStop);
    this.resourceSchemaUrl.range(bytes, context.resourceUrlStart, context.resourceUrlStop);
    this.resourceAttributes.add(bytes, context.resourceAttributes);
    this.resourceSerial = context.resourceSerial;
  }

  private addScope(context: Context): void {
    if (this.scopeSerial === context.scopeSerial) {
      this.scopeSchemaUrl.repeat();
      this.scopeName.repeat();
      this.scopeVersion.repeat();
      this.scopeAttributes.repeat();
      return;
    }
    const { bytes } = context;
    this.scopeSchemaUrl.range(bytes, context.scopeUrlStart, context.scopeUrlStop);
    this.scopeName.range(bytes, context.scopeNameStart, context.scopeNameStop);
    this.scopeVersion.range(bytes, context.scopeVersionStart, context.scopeVersionStop);
    this.scopeAttributes.add(bytes, context.scopeAttributes);
    this.scopeSerial = context.scopeSerial;
  }
}

/** Log records into `otel_logs`, by the day of their time, or of the time they were observed where they have none. */
export class LogRows implements RowWriter {
  dropped = '';
  private readonly days = new Days(new Room(), () => new LogBlock());
  private readonly log = new LogRecordView();

  item(context: Context, start: number, stop: number): number {
    const log = this.log.parse(context.bytes, start, stop);
    const timed = (log.timeLo | log.timeHi) !== 0;
    const timeLo = timed ? log.timeLo | 0 : log.observedLo | 0;
    const timeHi = timed ? log.timeHi | 0 : log.observedHi | 0;
    const day = dayOf(timeLo, timeHi);
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
      block.add(context, log, timeLo, timeHi);
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
