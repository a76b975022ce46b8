-- RED (rate, errors, duration) a minute (that of the window's start), from metrics over ALL spans before sampling: delta counters and histograms of the span metrics.
-- Percentiles are read off the summed buckets, linear within one; the unit is the metric's (ms).
CREATE VIEW IF NOT EXISTS {{database}}.tailrace_red AS
SELECT
    Minute, ServiceName, SpanName, SpanKind, Calls, Errors, Durations, DurationSum,
    arrayMap(q -> if(total = 0, 0,
        lower[q.2] + (upper[q.2] - lower[q.2]) * (q.1 * total - (cumulative[q.2] - buckets[q.2])) / buckets[q.2]),
        arrayMap(p -> (p, arrayFirstIndex(c -> c > 0 AND c >= p * total, cumulative)), [0.5, 0.95, 0.99])) AS percentiles,
    percentiles[1] AS P50, percentiles[2] AS P95, percentiles[3] AS P99
FROM (
    SELECT
        toStartOfMinute(StartTimeUnix) AS Minute, ServiceName, SpanName, SpanKind,
        sum(calls) AS Calls, sum(errors) AS Errors, sum(durations) AS Durations, sum(duration) AS DurationSum,
        sumForEach(BucketCounts) AS buckets, arrayCumSum(buckets) AS cumulative, arraySum(buckets) AS total,
        anyIf(ExplicitBounds, notEmpty(ExplicitBounds)) AS bounds,
        arrayPushFront(bounds, 0) AS lower, arrayPushBack(bounds, bounds[-1]) AS upper
    FROM (
        SELECT StartTimeUnix, ServiceName, Attributes['span.name'] AS SpanName, Attributes['span.kind'] AS SpanKind,
            Value AS calls, if(Attributes['status.code'] = 'STATUS_CODE_ERROR', Value, 0) AS errors,
            toUInt64(0) AS durations, toFloat64(0) AS duration, CAST([], 'Array(UInt64)') AS BucketCounts, CAST([], 'Array(Float64)') AS ExplicitBounds
        FROM {{database}}.otel_metrics_sum
        WHERE MetricName = 'traces.span.metrics.calls'
        UNION ALL
        SELECT StartTimeUnix, ServiceName, Attributes['span.name'] AS SpanName, Attributes['span.kind'] AS SpanKind,
            toFloat64(0) AS calls, toFloat64(0) AS errors, Count AS durations, Sum AS duration, BucketCounts, ExplicitBounds
        FROM {{database}}.otel_metrics_histogram
        WHERE MetricName = 'traces.span.metrics.duration'
    )
    GROUP BY Minute, ServiceName, SpanName, SpanKind
);

-- One row a stored trace. Ask with a bound on Start, or for one TraceId.
CREATE VIEW IF NOT EXISTS {{database}}.tailrace_traces AS
SELECT
    TraceId,
    min(Timestamp) AS Start,
    max(toUnixTimestamp64Nano(Timestamp) + Duration) - min(toUnixTimestamp64Nano(Timestamp)) AS DurationNs,
    count() AS Spans,
    countIf(StatusCode = 'Error') AS ErrorSpans,
    uniqExact(ServiceName) AS Services,
    anyIf(ServiceName, ParentSpanId = '') AS RootService,
    anyIf(SpanName, ParentSpanId = '') AS RootName,
    max(SampleRate) AS SampleRate
FROM {{database}}.otel_traces
GROUP BY TraceId;
