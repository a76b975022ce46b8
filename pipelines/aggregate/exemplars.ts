import { SPAN_ID_BYTES, TRACE_ID_BYTES } from '../otlp/span.ts';
import type { Writer } from '../wire/writer.ts';
import { grownF64, grownI32 } from './grow.ts';
import type { SpanFields } from './span-fields.ts';

const ID_BYTES = TRACE_ID_BYTES + SPAN_ID_BYTES;

/*
 * opentelemetry-proto metrics/v1/metrics.proto:
 *   Exemplar { fixed64 time_unix_nano = 2; double as_double = 3; bytes span_id = 4; bytes trace_id = 5; … }
 */

/** The first `perSeries` spans of every series in a window: a way from a metric to a trace, bounded. The time is the span's end. */
export class Exemplars {
  private readonly perSeries: number;
  private readonly unit_ns: number;
  private counts = new Int32Array(16);
  private ids: Buffer;
  private durations_ns: Float64Array<ArrayBuffer>;
  /** lo, hi. */
  private times: Int32Array<ArrayBuffer>;

  constructor(perSeries: number, unit_ns: number) {
    this.perSeries = perSeries;
    this.unit_ns = unit_ns;
    this.ids = Buffer.alloc(perSeries * ID_BYTES * 16);
    this.durations_ns = new Float64Array(perSeries * 16);
    this.times = new Int32Array(perSeries * 32);
  }

  begin(series: number): void {
    this.counts = grownI32(this.counts, series + 1);
    this.counts[series] = 0;
  }

  /** Spans without whole ids are passed over. */
  observe(series: number, span: SpanFields, duration_ns: number): void {
    const count = this.counts[series]!;
    if (count >= this.perSeries) return;
    if (span.traceIdStop - span.traceIdStart !== TRACE_ID_BYTES || span.spanIdStop - span.spanIdStart !== SPAN_ID_BYTES) return;
    const at = series * this.perSeries + count;
    this.durations_ns = grownF64(this.durations_ns, at + 1);
    this.times = grownI32(this.times, (at + 1) * 2);
    if ((at + 1) * ID_BYTES > this.ids.length) {
      const grown = Buffer.alloc(Math.max((at + 1) * ID_BYTES, this.ids.length * 2));
      this.ids.copy(grown);
      this.ids = grown;
    }
    span.bytes.copy(this.ids, at * ID_BYTES, span.traceIdStart, span.traceIdStop);
    span.bytes.copy(this.ids, at * ID_BYTES + TRACE_ID_BYTES, span.spanIdStart, span.spanIdStop);
    this.durations_ns[at] = duration_ns;
    this.times[at * 2] = span.endLo;
    this.times[at * 2 + 1] = span.endHi;
    this.counts[series] = count + 1;
  }

  /** Writes `repeated Exemplar` in `field` of an open data point. */
  write(writer: Writer, field: number, series: number): void {
    const from = series * this.perSeries;
    for (let at = from; at < from + this.counts[series]!; at++) {
      const exemplar = writer.open(field, 64);
      writer.fixed64Field(2, this.times[at * 2]!, this.times[at * 2 + 1]!);
      writer.doubleField(3, this.durations_ns[at]! / this.unit_ns);
      const ids = at * ID_BYTES;
      writer.bytesField(4, this.ids, ids + TRACE_ID_BYTES, ids + ID_BYTES);
      writer.bytesField(5, this.ids, ids, ids + TRACE_ID_BYTES);
      writer.close(exemplar);
    }
  }
}
