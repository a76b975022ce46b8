import type { Tally } from './generate-run.ts';

/** What is printed while a run is under way and at its end. */
const number = (value: number): string => Math.round(value).toLocaleString('en');
const share = (part: number, whole: number): string => (whole === 0 ? '0 %' : `${((100 * part) / whole).toFixed(2)} %`);

/** One line: where the run stands, and how fast it went since `before`. */
export function progressLine(tally: Tally, elapsed_ms: number, acknowledgedBefore: number, interval_ms: number): string {
  const { spans, requests } = tally;
  const perSecond = interval_ms === 0 ? 0 : ((spans.acknowledged - acknowledgedBefore) * 1000) / interval_ms;
  const parts = [
    `${(elapsed_ms / 1000).toFixed(0)} s`,
    `sent ${number(spans.sent)}`,
    `acknowledged ${number(spans.acknowledged)}`,
    ...(spans.refused > 0 ? [`refused ${number(spans.refused)}`] : []),
    ...(requests.retried > 0 ? [`retried ${number(requests.retried)} requests`] : []),
    ...(spans.unacknowledged > 0 ? [`given up ${number(spans.unacknowledged)}`] : []),
    `in flight ${number(spans.inFlight)}`,
    `${number(perSecond)} spans/s`,
  ];
  const trouble = tally.lastError !== '' && spans.acknowledged === acknowledgedBefore ? `  (${tally.lastError})` : '';
  return parts.join(', ') + trouble;
}

export interface Report {
  readonly endpoint: string;
  readonly seconds: number;
  readonly spans_per_second: number;
  readonly spans: {
    readonly sent: number;
    readonly acknowledged: number;
    readonly refused: number;
    readonly unacknowledged: number;
    readonly error: number;
  };
  readonly traces: { readonly acknowledged: number; readonly error: number; readonly slow: number };
  readonly requests: { readonly sent: number; readonly acknowledged: number; readonly retried: number };
  readonly bytes: number;
  readonly seed: number;
  readonly last_error: string;
}

/** Spans still in flight count as unacknowledged: nobody will wait for them. */
export function createReport(tally: Tally, elapsed_ms: number, endpoint: string, seed: number): Report {
  const { sent, acknowledged, refused, unacknowledged, inFlight } = tally.spans;
  return {
    endpoint,
    seconds: Math.round(elapsed_ms) / 1000,
    spans_per_second: elapsed_ms === 0 ? 0 : Math.round((acknowledged * 1000) / elapsed_ms),
    spans: { sent, acknowledged, refused, unacknowledged: unacknowledged + inFlight, error: tally.errorSpans },
    traces: { ...tally.traces },
    requests: { ...tally.requests },
    bytes: tally.bytes,
    seed,
    last_error: tally.lastError,
  };
}

/** The summary for people. The numbers of `spans` and `traces` are those that SQL should find where nothing is sampled away. */
export function summary(report: Report): string {
  const { spans, traces, requests } = report;
  const lines = [
    `acknowledged by ${report.endpoint} in ${report.seconds.toFixed(1)} s`,
    `  spans     ${number(spans.acknowledged)} of ${number(spans.sent)} sent, ${number(report.spans_per_second)} a second, ${number(spans.error)} with an error (${share(spans.error, spans.acknowledged)})`,
    `  traces    ${number(traces.acknowledged)} whole, ${number(traces.error)} with an error (${share(traces.error, traces.acknowledged)}), ${number(traces.slow)} slow (${share(traces.slow, traces.acknowledged)})`,
    `  requests  ${number(requests.acknowledged)} of ${number(requests.sent)}, ${number(requests.retried)} sent again`,
    `  bytes     ${number(report.bytes)} before compression, ${number(spans.acknowledged === 0 ? 0 : report.bytes / spans.acknowledged)} a span`,
    `  seed      ${report.seed}`,
  ];
  if (spans.refused > 0) lines.push(`REFUSED     ${number(spans.refused)} spans: the receiver will never take them`);
  if (spans.unacknowledged > 0) lines.push(`NOT ACKNOWLEDGED  ${number(spans.unacknowledged)} spans: they may or may not have arrived`);
  if (!isClean(report)) lines.push(`last error  ${report.last_error === '' ? 'none: the run was stopped' : report.last_error}`);
  return `${lines.join('\n')}\n`;
}

/** Everything that was sent was acknowledged, and something was. */
export function isClean(report: Report): boolean {
  return report.spans.refused === 0 && report.spans.unacknowledged === 0 && report.spans.acknowledged > 0;
}
