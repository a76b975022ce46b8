import { StageCounters } from '../base/counters.ts';
import type { ItemVisitor } from '../otlp/walk.ts';
import { Walker } from '../otlp/walk.ts';
import { EMPTY } from '../wire/cursor.ts';
import { Dimensions } from './dimensions.ts';
import { Exemplars } from './exemplars.ts';
import { EXPONENTIAL_FIELDS, ExponentialHistogram } from './exponential-histogram.ts';
import type { DurationHistogram, PointFields } from './histogram.ts';
import { ExplicitHistogram, HISTOGRAM_FIELDS, METRIC_SUM } from './histogram.ts';
import { KeyTable } from './key-table.ts';
import type { MetricIdentity } from './otlp-metrics.ts';
import { MetricsDataWriter, NO_SERVICE_NAME } from './otlp-metrics.ts';
import { SpanFields } from './span-fields.ts';
import { NO_SERIES, SeriesValues } from './series-values.ts';
import type { HistogramSettings, SpanMetricsSettings } from './settings.ts';
import { WEIGHT_MAX, spanWeight } from './weight.ts';

/** Service names and keys longer than this count as overflow: one sender must not fill the table's memory with a few names. */
export const KEY_BYTES_MAX = 4096;

const CALLS = 0;
const DURATION = 1;
const NO_WINDOW = -1;
const NOT_FOUND = -1;
const MS_NS = 1_000_000;

/**
 * Takes a record of metrics: OTLP MetricsData, borrowed; how many metrics it holds; the end of its window; and its number
 * within the window (0, 1, 2 …), for RecordHeaders' `sequence` and `part`.
 */
export type MetricsSink = (bytes: Buffer, metrics: number, windowEnd_ms: number, part: number) => void;

/**
 * RED metrics (calls, errors by status.code, duration) over all spans of one partition, in windows of log time, as the Collector's
 * spanmetrics connector gives them with delta temporality.
 *
 * A window [start, end) of `interval_ms` is closed when the log's time reaches its end: before the first record beyond it
 * is folded, or by `tick`. What comes out is a pure function of the log: byte for byte the same however often it is replayed, in the
 * order in which services and series first appeared. Nothing is kept over a restart: the stage folds again from before the
 * open window's start, and repeated windows are known by `sequence`. A window without spans gives nothing.
 */
export class SpanMetrics {
  /** In spans. `held` are those of the open window. Nothing is ever dropped. */
  readonly counters = new StageCounters('span_metrics');
  /** Spans that counted in an overflow series, because a limit was reached. */
  overflowSpans = 0;
  /** Spans whose `ot=th` claimed more than WEIGHT_MAX. */
  cappedWeights = 0;
  windows = 0;

  private readonly interval_ms: number;
  private readonly servicesLimit: number;
  private readonly unit_ns: number;
  private readonly dimensions: Dimensions;
  private readonly services: KeyTable;
  private readonly series: KeyTable;
  private readonly values = new SeriesValues();
  private readonly histogram: DurationHistogram | undefined;
  private readonly pointFields: PointFields;
  private readonly exemplars: Exemplars | undefined;
  private readonly out: MetricsDataWriter;
  private readonly walker = new Walker();
  private readonly span: SpanFields;
  private readonly visitor: ItemVisitor;
  private bytes: Buffer = EMPTY;
  private service = NOT_FOUND;
  private servicesOverflown = false;
  private windowStart_ms = NO_WINDOW;
  private windowEnd_ms = NO_WINDOW;
  private part = 0;

  constructor(settings: SpanMetricsSettings, sink: MetricsSink) {
    const { histogram } = settings;
    this.interval_ms = settings.interval_ms;
    this.servicesLimit = settings.servicesLimit;
    this.unit_ns = histogram.unit === 'ms' ? MS_NS : 1000 * MS_NS;
    this.dimensions = new Dimensions(settings.dimensions, settings.excludeDimensions);
    this.span = new SpanFields(this.dimensions.names);
    this.services = new KeyTable(settings.servicesLimit);
    this.series = new KeyTable(settings.cardinalityLimit);
    this.histogram = createHistogram(histogram, this.unit_ns);
    this.pointFields = histogram.kind === 'exponential' ? EXPONENTIAL_FIELDS : HISTOGRAM_FIELDS;
    const withExemplars = settings.exemplarsPerPoint > 0 && this.histogram !== undefined;
    this.exemplars = withExemplars ? new Exemplars(settings.exemplarsPerPoint, this.unit_ns) : undefined;
    const prefix = settings.namespace === '' ? '' : `${settings.namespace}.`;
    const metrics: MetricIdentity[] = [{ name: `${prefix}calls`, unit: '', dataField: METRIC_SUM }];
    if (this.histogram !== undefined) {
      metrics.push({ name: `${prefix}duration`, unit: histogram.unit, dataField: this.histogram.metricField });
    }
    this.out = new MetricsDataWriter(metrics, settings.record_bytes_max, (bytes, count) => {
      sink(bytes, count, this.windowEnd_ms, this.part++);
    });
    this.visitor = {
      resource: (start, stop) => {
        this.dimensions.readResource(this.bytes, start, stop);
        this.service = NOT_FOUND;
      },
      scope: () => {},
      item: (start, stop) => this.foldSpan(start, stop),
    };
  }

  /** Counts every span of a TracesData whose record was appended at `logTime_ms`. Log times do not go back. @throws Malformed */
  fold(bytes: Buffer, logTime_ms: number): void {
    this.tick(logTime_ms);
    if (this.windowStart_ms === NO_WINDOW) {
      this.windowStart_ms = Math.floor(logTime_ms / this.interval_ms) * this.interval_ms;
      this.windowEnd_ms = this.windowStart_ms + this.interval_ms;
    }
    this.bytes = bytes;
    this.walker.walk(bytes, 0, bytes.length, this.visitor);
  }

  /** Every later record will have an append time ≥ `logTime_ms`: closes the window that ends at or before it. */
  tick(logTime_ms: number): void {
    if (this.windowStart_ms !== NO_WINDOW && logTime_ms >= this.windowEnd_ms) this.close();
  }

  /** Start of the window that holds spans not yet emitted; undefined where there is none. The log from here on is needed again after a restart. */
  get openWindowStart_ms(): number | undefined {
    return this.counters.held === 0 ? undefined : this.windowStart_ms;
  }

  /** The number of the service of the resource read last, new or known; servicesLimit where it finds no room. */
  private findService(): number {
    const { services, servicesLimit, values } = this;
    const { serviceBytes, serviceStart, serviceStop } = this.dimensions;
    const before = services.count;
    const known = serviceStop - serviceStart > KEY_BYTES_MAX ? NOT_FOUND : services.lookup(serviceBytes, serviceStart, serviceStop);
    if (services.count > before) values.beginService(known);
    if (known !== NOT_FOUND) return known;
    if (!this.servicesOverflown) values.beginService(servicesLimit);
    this.servicesOverflown = true;
    return servicesLimit;
  }

  private foldSpan(start: number, stop: number): void {
    const span = this.span.parse(this.bytes, start, stop);
    // Only now: a resource without spans leaves no trace, so it does not matter how the log's records were cut.
    if (this.service === NOT_FOUND) this.service = this.findService();
    const series = this.seriesOf(span);
    const duration_ns = span.duration_ns();
    const weight = spanWeight(span);
    if (weight === WEIGHT_MAX) this.cappedWeights++;
    this.values.add(series, duration_ns, weight);
    this.histogram?.observe(series, duration_ns, weight);
    this.exemplars?.observe(series, span, duration_ns);
    this.counters.in++;
    this.counters.held++;
  }

  private seriesOf(span: SpanFields): number {
    const { dimensions, series: table, service } = this;
    const { key } = dimensions;
    const before = table.count;
    let series = NOT_FOUND;
    if (service !== this.servicesLimit) {
      dimensions.writeKey(service, span);
      if (key.length <= KEY_BYTES_MAX) series = table.lookup(key.bytes, 0, key.length);
    }
    if (series === NOT_FOUND) {
      this.overflowSpans++;
      dimensions.writeOverflowKey(service);
      // One for each service and one for all that found no room: the services' limit bounds these.
      series = table.lookup(key.bytes, 0, key.length, true);
    }
    if (table.count > before) {
      this.values.begin(series, service);
      this.histogram?.begin(series);
      this.exemplars?.begin(series);
    }
    return series;
  }

  private close(): void {
    const { counters, services } = this;
    if (counters.held > 0) {
      this.part = 0;
      this.windows++;
      this.out.begin(this.windowStart_ms, this.windowEnd_ms);
      for (let service = 0; service < services.count; service++) {
        this.writeService(service, services.bytes, services.keyStart(service), services.keyStop(service));
      }
      if (this.servicesOverflown) this.writeService(this.servicesLimit, services.bytes, NO_SERVICE_NAME, NO_SERVICE_NAME);
      this.out.flush();
      counters.out += counters.held;
      counters.held = 0;
    }
    services.clear();
    this.series.clear();
    this.servicesOverflown = false;
    this.windowStart_ms = this.windowEnd_ms = NO_WINDOW;
  }

  private writeService(service: number, name: Buffer, nameStart: number, nameStop: number): void {
    const { out, values } = this;
    const { writer } = out;
    const first = values.firstOfService[service]!;
    for (let series = first; series !== NO_SERIES; series = values.next[series]!) {
      out.openPoint(CALLS, service, name, nameStart, nameStop);
      const calls = values.calls[series]!;
      writer.fixed64Field(6, calls, Math.floor(calls / 0x1_0000_0000));
      this.writeAttributes(7, series, name, nameStart, nameStop);
      out.closePoint();
    }
    if (this.histogram === undefined) return;
    for (let series = first; series !== NO_SERIES; series = values.next[series]!) {
      out.openPoint(DURATION, service, name, nameStart, nameStop);
      const calls = values.calls[series]!;
      writer.fixed64Field(4, calls, Math.floor(calls / 0x1_0000_0000));
      writer.doubleField(5, values.sum_ns[series]! / this.unit_ns);
      this.histogram.write(writer, series);
      this.exemplars?.write(writer, this.pointFields.exemplars, series);
      this.writeAttributes(this.pointFields.attributes, series, name, nameStart, nameStop);
      writer.doubleField(this.pointFields.min, values.min_ns[series]! / this.unit_ns);
      writer.doubleField(this.pointFields.max, values.max_ns[series]! / this.unit_ns);
      out.closePoint();
    }
  }

  private writeAttributes(field: number, series: number, name: Buffer, nameStart: number, nameStop: number): void {
    const { series: table } = this;
    this.dimensions.writeAttributes(this.out.writer, field, table.bytes, table.keyStart(series), name, nameStart, nameStop);
  }
}

function createHistogram(settings: HistogramSettings, unit_ns: number): DurationHistogram | undefined {
  if (settings.kind === 'none') return undefined;
  if (settings.kind === 'exponential') return new ExponentialHistogram(settings.maxSize, unit_ns);
  return new ExplicitHistogram(
    settings.buckets_ms.map((bound_ms) => Math.round(bound_ms * MS_NS)),
    unit_ns,
  );
}
