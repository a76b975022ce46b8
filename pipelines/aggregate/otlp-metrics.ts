import { Writer } from '../wire/writer.ts';
import { SERVICE_NAME, writeString } from './dimensions.ts';
import { METRIC_SUM } from './histogram.ts';

/*
 * opentelemetry-proto v1.11 metrics/v1/metrics.proto, what is written of it:
 *
 *   MetricsData     { repeated ResourceMetrics resource_metrics = 1 }
 *   ResourceMetrics { Resource resource = 1; repeated ScopeMetrics scope_metrics = 2 }
 *   ScopeMetrics    { InstrumentationScope scope = 1; repeated Metric metrics = 2 }
 *   Metric          { string name = 1; string unit = 3; oneof: Sum sum = 7; Histogram histogram = 9; ExponentialHistogram exponential_histogram = 10 }
 *   Sum             { repeated NumberDataPoint data_points = 1; AggregationTemporality aggregation_temporality = 2; bool is_monotonic = 3 }
 *   Histogram, ExponentialHistogram
 *                   { repeated …DataPoint data_points = 1; AggregationTemporality aggregation_temporality = 2 }
 *   NumberDataPoint { fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; sfixed64 as_int = 6; … }    both times alike in every kind of point
 */
const TEMPORALITY_DELTA = 1;
const NONE = -1;
/** The scope's name is the Collector's, so that what people built on its metrics works. */
const SCOPE = 'spanmetricsconnector';
/** Sizes that messages are expected to have: only so that `close` seldom moves a body. */
const POINT_BYTES = 1024;
const METRIC_BYTES = 100_000;

export interface MetricIdentity {
  readonly name: string;
  readonly unit: string;
  /** METRIC_SUM, METRIC_HISTOGRAM or METRIC_EXPONENTIAL_HISTOGRAM. */
  readonly dataField: number;
}

/**
 * Writes data points, grouped by the caller by service and metric, as one MetricsData or, where they would pass
 * `record_bytes_max`, as several: a record is closed after the first point that reaches the limit.
 */
export class MetricsDataWriter {
  readonly writer = new Writer(64 * 1024);
  private readonly metrics: readonly MetricIdentity[];
  private readonly record_bytes_max: number;
  private readonly emit: (bytes: Buffer, metrics: number) => void;
  private startLo = 0;
  private startHi = 0;
  private endLo = 0;
  private endHi = 0;
  private metricCount = 0;
  private service = NONE;
  private metric = NONE;
  private resourceMark = 0;
  private scopeMark = 0;
  private metricMark = 0;
  private dataMark = 0;
  private pointMark = 0;

  constructor(metrics: readonly MetricIdentity[], record_bytes_max: number, emit: (bytes: Buffer, metrics: number) => void) {
    this.metrics = metrics;
    this.record_bytes_max = record_bytes_max;
    this.emit = emit;
  }

  /** Points that follow are of the window [start_ms, end_ms). */
  begin(start_ms: number, end_ms: number): void {
    // Nanoseconds of a date pass 2^53; once a window a BigInt may.
    const start = BigInt(start_ms) * 1_000_000n;
    const end = BigInt(end_ms) * 1_000_000n;
    this.startLo = Number(start & 0xffff_ffffn);
    this.startHi = Number(start >> 32n);
    this.endLo = Number(end & 0xffff_ffffn);
    this.endHi = Number(end >> 32n);
  }

  /** Opens a data point of metric `metric` (its place in the list) of the service called name[nameStart, nameStop). An overflow of services has no name: NO_SERVICE_NAME. */
  openPoint(metric: number, service: number, name: Buffer, nameStart: number, nameStop: number): void {
    const { writer } = this;
    if (this.service !== service) {
      this.closeResource();
      this.openResource(service, name, nameStart, nameStop);
    }
    if (this.metric !== metric) {
      this.closeMetric();
      this.openMetric(metric);
    }
    this.pointMark = writer.open(1, POINT_BYTES);
    writer.fixed64Field(2, this.startLo, this.startHi);
    writer.fixed64Field(3, this.endLo, this.endHi);
  }

  closePoint(): void {
    this.writer.close(this.pointMark);
    if (this.writer.length >= this.record_bytes_max) this.flush();
  }

  /** Hands on what is written. Nothing when there is nothing. */
  flush(): void {
    this.closeResource();
    if (this.writer.length === 0) return;
    this.emit(this.writer.view(), this.metricCount);
    this.writer.reset();
    this.metricCount = 0;
  }

  private openResource(service: number, name: Buffer, nameStart: number, nameStop: number): void {
    const { writer } = this;
    this.service = service;
    this.resourceMark = writer.open(1, METRIC_BYTES);
    const resource = writer.open(1, 64);
    if (nameStart >= 0) writeString(writer, 1, SERVICE_KEY, name, nameStart, nameStop);
    writer.close(resource);
    this.scopeMark = writer.open(2, METRIC_BYTES);
    const scope = writer.open(1, SCOPE.length + 2);
    writer.stringField(1, SCOPE);
    writer.close(scope);
  }

  private openMetric(metric: number): void {
    const { writer } = this;
    const { name, unit, dataField } = this.metrics[metric]!;
    this.metric = metric;
    this.metricCount++;
    this.metricMark = writer.open(2, METRIC_BYTES);
    writer.stringField(1, name);
    if (unit !== '') writer.stringField(3, unit);
    this.dataMark = writer.open(dataField, METRIC_BYTES);
  }

  private closeMetric(): void {
    if (this.metric === NONE) return;
    const { writer } = this;
    writer.varintField(2, TEMPORALITY_DELTA);
    if (this.metrics[this.metric]!.dataField === METRIC_SUM) writer.varintField(3, 1);
    writer.close(this.dataMark);
    writer.close(this.metricMark);
    this.metric = NONE;
  }

  private closeResource(): void {
    if (this.service === NONE) return;
    this.closeMetric();
    this.writer.close(this.scopeMark);
    this.writer.close(this.resourceMark);
    this.service = NONE;
  }
}

const SERVICE_KEY = Buffer.from(SERVICE_NAME);
/** As `nameStart`: the resource goes without attributes. */
export const NO_SERVICE_NAME = -1;
