import { StageCounters } from '../base/counters.ts';
import { Malformed } from '../base/errors.ts';
import { DataPointView, type BucketsView } from '../otlp/data-point.ts';
import {
  METRIC_EXPONENTIAL_HISTOGRAM,
  METRIC_GAUGE,
  METRIC_HISTOGRAM,
  METRIC_NONE,
  METRIC_SUM,
  METRIC_SUMMARY,
  MetricView,
} from '../otlp/metric.ts';
import { Cursor, WIRE_I64 } from '../wire/cursor.ts';
import type { RangeList } from '../otlp/span.ts';
import type { EncodedBlock, RowWriter } from './block.ts';
import { ArrayColumn, FixedColumn } from './column.ts';
import type { Context } from './context.ts';
import { DAY_MAX, Days, Room, dayOf } from './days.ts';
import { ExemplarBlock, MetricBlock } from './metric-block.ts';

class GaugeBlock extends ExemplarBlock {
  private readonly value = this.column('Value', new FixedColumn('Float64', 8));

  protected override addOwn(_metric: MetricView, point: DataPointView): void {
    this.value.f64(point.value);
    this.addExemplars(point.bytes, point.exemplars);
  }
}

class SumBlock extends ExemplarBlock {
  private readonly value = this.column('Value', new FixedColumn('Float64', 8));
  private readonly temporality = this.column('AggregationTemporality', new FixedColumn('Int32', 4));
  private readonly isMonotonic = this.column('IsMonotonic', new FixedColumn('Bool', 1));

  protected override addOwn(metric: MetricView, point: DataPointView): void {
    this.value.f64(point.value);
    this.temporality.u32(metric.temporality);
    this.isMonotonic.u8(metric.isMonotonic ? 1 : 0);
    this.addExemplars(point.bytes, point.exemplars);
  }
}

/** An absent sum, min or max is 0, as the Collector's exporter writes it. */
class HistogramBlock extends ExemplarBlock {
  private readonly count = this.column('Count', new FixedColumn('UInt64', 8));
  private readonly sum = this.column('Sum', new FixedColumn('Float64', 8));
  private readonly bucketCounts = this.column('BucketCounts', new ArrayColumn(new FixedColumn('UInt64', 8)));
  private readonly explicitBounds = this.column('ExplicitBounds', new ArrayColumn(new FixedColumn('Float64', 8)));
  private readonly min = this.column('Min', new FixedColumn('Float64', 8));
  private readonly max = this.column('Max', new FixedColumn('Float64', 8));
  private readonly temporality = this.column('AggregationTemporality', new FixedColumn('Int32', 4));

  protected override addOwn(metric: MetricView, point: DataPointView): void {
    this.count.u64(point.countLo | 0, point.countHi | 0);
    this.sum.f64(point.sum);
    addRanges(this.bucketCounts, point.bytes, point.bucketCounts);
    addRanges(this.explicitBounds, point.bytes, point.explicitBounds);
    this.min.f64(point.min);
    this.max.f64(point.max);
    this.temporality.u32(metric.temporality);
    this.addExemplars(point.bytes, point.exemplars);
  }
}

class ExponentialHistogramBlock extends ExemplarBlock {
  private readonly count = this.column('Count', new FixedColumn('UInt64', 8));
  private readonly sum = this.column('Sum', new FixedColumn('Float64', 8));
  private readonly scale = this.column('Scale', new FixedColumn('Int32', 4));
  private readonly zeroCount = this.column('ZeroCount', new FixedColumn('UInt64', 8));
  private readonly positiveOffset = this.column('PositiveOffset', new FixedColumn('Int32', 4));
  private readonly positiveCounts = this.column('PositiveBucketCounts', new ArrayColumn(new FixedColumn('UInt64', 8)));
  private readonly negativeOffset = this.column('NegativeOffset', new FixedColumn('Int32', 4));
  private readonly negativeCounts = this.column('NegativeBucketCounts', new ArrayColumn(new FixedColumn('UInt64', 8)));
  private readonly min = this.column('Min', new FixedColumn('Float64', 8));
  private readonly max = this.column('Max', new FixedColumn('Float64', 8));
  private readonly temporality = this.column('AggregationTemporality', new FixedColumn('Int32', 4));

  protected override addOwn(metric: MetricView, point: DataPointView): void {
    this.count.u64(point.countLo | 0, point.countHi | 0);
    this.sum.f64(point.sum);
    this.scale.u32(point.scale);
    this.zeroCount.u64(point.zeroCountLo | 0, point.zeroCountHi | 0);
    this.positiveOffset.u32(point.positive.offset);
    addBuckets(this.positiveCounts, point.positive);
    this.negativeOffset.u32(point.negative.offset);
    addBuckets(this.negativeCounts, point.negative);
    this.min.f64(point.min);
    this.max.f64(point.max);
    this.temporality.u32(metric.temporality);
    this.addExemplars(point.bytes, point.exemplars);
  }
}

class SummaryBlock extends MetricBlock {
  private readonly count = this.column('Count', new FixedColumn('UInt64', 8));
  private readonly sum = this.column('Sum', new FixedColumn('Float64', 8));
  private readonly quantiles = this.column('ValueAtQuantiles.Quantile', new ArrayColumn(new FixedColumn('Float64', 8)));
  private readonly values = this.column('ValueAtQuantiles.Value', new ArrayColumn(new FixedColumn('Float64', 8)));

  protected override addOwn(_metric: MetricView, point: DataPointView): void {
    this.count.u64(point.countLo | 0, point.countHi | 0);
    this.sum.f64(point.sum);
    for (let i = 0; i < point.quantiles.count; i++) {
      let quantile = 0;
      let value = 0;
      inner.reset(point.bytes, point.quantiles.start(i), point.quantiles.stop(i));
      while (inner.next()) {
        if (inner.field > 2) continue;
        inner.expect(WIRE_I64);
        if (inner.field === 1) quantile = point.bytes.readDoubleLE(inner.start);
        else value = point.bytes.readDoubleLE(inner.start);
      }
      this.quantiles.inner.f64(quantile);
      this.values.inner.f64(value);
    }
    this.quantiles.close();
    this.values.close();
  }
}

const inner = new Cursor();

/** fixed64 counts and double bounds are on the wire as the column has them. */
function addRanges(column: ArrayColumn<FixedColumn>, bytes: Buffer, ranges: RangeList): void {
  for (let i = 0; i < ranges.count; i++) column.inner.raw(bytes, ranges.start(i), ranges.stop(i));
  column.close();
}

function addBuckets(column: ArrayColumn<FixedColumn>, buckets: BucketsView): void {
  for (let i = 0; i < buckets.count; i++) column.inner.u64(buckets.lo(i) | 0, buckets.hi(i) | 0);
  column.close();
}

/** Metric messages into the five tables, a row a data point, by the day of the point's time. */
export class MetricRows implements RowWriter {
  dropped = '';
  readonly rowCounters = new StageCounters('encode_points');
  private readonly metric = new MetricView();
  private readonly point = new DataPointView();
  private readonly room = new Room();
  private readonly exponentialHistogram = new Days<MetricBlock>(
    this.room,
    () => new ExponentialHistogramBlock('otel_metrics_exponential_histogram'),
  );
  private readonly gauge = new Days<MetricBlock>(this.room, () => new GaugeBlock('otel_metrics_gauge'));
  private readonly histogram = new Days<MetricBlock>(this.room, () => new HistogramBlock('otel_metrics_histogram'));
  private readonly sum = new Days<MetricBlock>(this.room, () => new SumBlock('otel_metrics_sum'));
  private readonly summary = new Days<MetricBlock>(this.room, () => new SummaryBlock('otel_metrics_summary'));

  /** A metric some of whose points were dropped still counts as encoded; the points are in `rowCounters`. */
  item(context: Context, start: number, stop: number): number {
    const metric = this.metric.parse(context.bytes, start, stop);
    if (metric.kind === METRIC_NONE) {
      this.dropped = 'no_data';
      return 0;
    }
    this.dropped = 'no_points';
    const days = this.days(metric.kind);
    const { points } = metric;
    let rows = 0;
    for (let i = 0; i < points.count; i++) rows += this.row(context, days, points.start(i), points.stop(i));
    return rows;
  }

  size(): number {
    return this.exponentialHistogram.size() + this.gauge.size() + this.histogram.size() + this.sum.size() + this.summary.size();
  }

  drain(sink: (block: EncodedBlock) => void): void {
    this.exponentialHistogram.drain(sink);
    this.gauge.drain(sink);
    this.histogram.drain(sink);
    this.sum.drain(sink);
    this.summary.drain(sink);
  }

  private days(kind: number): Days<MetricBlock> {
    switch (kind) {
      case METRIC_GAUGE:
        return this.gauge;
      case METRIC_SUM:
        return this.sum;
      case METRIC_HISTOGRAM:
        return this.histogram;
      case METRIC_EXPONENTIAL_HISTOGRAM:
        return this.exponentialHistogram;
      case METRIC_SUMMARY:
        return this.summary;
      default:
        throw new Error(`no table for metric kind ${kind}`);
    }
  }

  /** 1, or 0 for a point that was dropped and counted. */
  private row(context: Context, days: Days<MetricBlock>, start: number, stop: number): number {
    const { rowCounters } = this;
    rowCounters.in++;
    const reason = this.tryRow(context, days, start, stop);
    if (reason === '') {
      rowCounters.held++;
      return 1;
    }
    rowCounters.drop(reason, 1);
    this.dropped = reason;
    return 0;
  }

  /** Why the point was not written; '' when it was. */
  private tryRow(context: Context, days: Days<MetricBlock>, start: number, stop: number): string {
    let block: MetricBlock | undefined;
    try {
      const point = this.point.parse(this.metric.kind, context.bytes, start, stop);
      const day = dayOf(point.timeLo | 0, point.timeHi | 0);
      if (day > DAY_MAX) return 'timestamp';
      block = days.block(day);
      if (block === undefined) return 'days_full';
      block.add(context, this.metric, point);
      return '';
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      block?.rollback();
      return 'malformed';
    }
  }
}
