import type { DataPointView } from '../otlp/data-point.ts';
import { ExemplarView } from '../otlp/exemplar.ts';
import type { MetricView } from '../otlp/metric.ts';
import type { RangeList } from '../otlp/span.ts';
import { Block } from './block.ts';
import { ArrayColumn, FixedColumn } from './column.ts';
import type { Context } from './context.ts';
import { LowCardinalityColumn } from './dictionary.ts';
import { MapColumn } from './map-column.ts';
import { StringColumn } from './string-column.ts';

const exemplar = new ExemplarView();

/** What the five `otel_metrics_*` tables have in common. A row is a data point; TimeUnix is DateTime64(9), which a table with the newer DateTime casts. */
export abstract class MetricBlock extends Block {
  private readonly resourceAttributes = this.column('ResourceAttributes', new MapColumn());
  private readonly resourceSchemaUrl = this.column('ResourceSchemaUrl', new StringColumn());
  private readonly scopeName = this.column('ScopeName', new StringColumn());
  private readonly scopeVersion = this.column('ScopeVersion', new StringColumn());
  private readonly scopeAttributes = this.column('ScopeAttributes', new MapColumn());
  private readonly scopeDropped = this.column('ScopeDroppedAttrCount', new FixedColumn('UInt32', 4));
  private readonly scopeSchemaUrl = this.column('ScopeSchemaUrl', new StringColumn());
  private readonly serviceName = this.column('ServiceName', new LowCardinalityColumn());
  private readonly metricName = this.column('MetricName', new LowCardinalityColumn());
  private readonly metricDescription = this.column('MetricDescription', new StringColumn());
  private readonly metricUnit = this.column('MetricUnit', new StringColumn());
  private readonly attributes = this.column('Attributes', new MapColumn());
  private readonly startTime = this.column('StartTimeUnix', new FixedColumn('DateTime64(9)', 8));
  private readonly time = this.column('TimeUnix', new FixedColumn('DateTime64(9)', 8));
  private readonly flags = this.column('Flags', new FixedColumn('UInt32', 4));

  /** The columns of the table's own kind. @throws Malformed (then `rollback`) */
  protected abstract addOwn(metric: MetricView, point: DataPointView): void;

  /** One row. @throws Malformed (then `rollback`) */
  add(context: Context, metric: MetricView, point: DataPointView): void {
    const { bytes } = metric;
    this.addResource(context);
    this.addScope(context);
    this.metricName.range(bytes, metric.nameStart, metric.nameStop);
    this.metricDescription.range(bytes, metric.descriptionStart, metric.descriptionStop);
    this.metricUnit.range(bytes, metric.unitStart, metric.unitStop);
    this.attributes.add(bytes, point.attributes);
    this.startTime.time(point.startLo | 0, point.startHi | 0);
    this.time.time(point.timeLo | 0, point.timeHi | 0);
    this.flags.u32(point.flags | 0);
    this.addOwn(metric, point);
    this.rows++;
  }

  private addResource(context: Context): void {
    if (this.resourceSerial === context.resourceSerial) {
      this.resourceAttributes.repeat();
      this.resourceSchemaUrl.repeat();
      this.serviceName.repeat();
      return;
    }
    const { bytes } = context;
    this.resourceAttributes.add(bytes, context.resourceAttributes);
    this.resourceSchemaUrl.range(bytes, context.resourceUrlStart, context.resourceUrlStop);
    this.serviceName.value(bytes, context.serviceStart, context.serviceStop);
    this.resourceSerial = context.resourceSerial;
  }

  private addScope(context: Context): void {
    this.scopeDropped.u32(context.scopeDropped | 0);
    if (this.scopeSerial === context.scopeSerial) {
      this.scopeName.repeat();
      this.scopeVersion.repeat();
      this.scopeAttributes.repeat();
      this.scopeSchemaUrl.repeat();
      return;
    }
    const { bytes } = context;
    this.scopeName.range(bytes, context.scopeNameStart, context.scopeNameStop);
    this.scopeVersion.range(bytes, context.scopeVersionStart, context.scopeVersionStop);
    this.scopeAttributes.add(bytes, context.scopeAttributes);
    this.scopeSchemaUrl.range(bytes, context.scopeUrlStart, context.scopeUrlStop);
    this.scopeSerial = context.scopeSerial;
  }
}

/** The metric tables that have exemplars: all but the summary's. */
export abstract class ExemplarBlock extends MetricBlock {
  private readonly exemplarAttributes = this.column('Exemplars.FilteredAttributes', new ArrayColumn(new MapColumn()));
  private readonly exemplarTime = this.column('Exemplars.TimeUnix', new ArrayColumn(new FixedColumn('DateTime64(9)', 8)));
  private readonly exemplarValue = this.column('Exemplars.Value', new ArrayColumn(new FixedColumn('Float64', 8)));
  private readonly exemplarSpanId = this.column('Exemplars.SpanId', new ArrayColumn(new StringColumn()));
  private readonly exemplarTraceId = this.column('Exemplars.TraceId', new ArrayColumn(new StringColumn()));

  protected addExemplars(bytes: Buffer, exemplars: RangeList): void {
    for (let i = 0; i < exemplars.count; i++) {
      exemplar.parse(bytes, exemplars.start(i), exemplars.stop(i));
      this.exemplarAttributes.inner.add(bytes, exemplar.attributes);
      this.exemplarTime.inner.time(exemplar.timeLo | 0, exemplar.timeHi | 0);
      this.exemplarValue.inner.f64(exemplar.value);
      this.exemplarSpanId.inner.hex(bytes, exemplar.spanIdStart, exemplar.spanIdStop);
      this.exemplarTraceId.inner.hex(bytes, exemplar.traceIdStart, exemplar.traceIdStop);
    }
    this.exemplarAttributes.close();
    this.exemplarTime.close();
    this.exemplarValue.close();
    this.exemplarSpanId.close();
    this.exemplarTraceId.close();
  }
}
