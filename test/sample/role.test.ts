import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { pino } from 'pino';
import { spanMetricsDefaults } from '../../pipelines/aggregate/settings.ts';
import { StageCounters } from '../../pipelines/base/counters.ts';
import { Busy } from '../../pipelines/base/errors.ts';
import { createLog, type Log } from '../../pipelines/base/log.ts';
import type { Processor } from '../../pipelines/process/processor.ts';
import type { PolicySettings } from '../../pipelines/sample/settings.ts';
import { compress } from '../../pipelines/topic/record.ts';
import { startSample, type Sample, type SampleRoleSettings } from '../../services/sample.ts';
import { FakeTopics } from '../kit/fake-topics.ts';
import { HandClock } from '../kit/hand-clock.ts';
import { traces, type SpanSpec } from '../kit/otlp.ts';
import { decode } from '../kit/proto.ts';

const ERRORS: PolicySettings = { name: 'errors', type: 'status_code', statusCodes: ['ERROR'] };
const running: Sample[] = [];
const log = createLog('silent');

function settingsWith(change: Partial<SampleRoleSettings> = {}): SampleRoleSettings {
  return {
    group: 'sample.traces',
    topic: 'traces',
    tail: {
      sampler: { decisionWait_ms: 1000, lateWait_ms: 2000, heldBytes_max: 1e9, traces_max: 1e9, policies: [ERRORS] },
      topic: 'sampled',
      processors: [],
    },
    spanMetrics: [{ settings: { ...spanMetricsDefaults, interval_ms: 500 }, topic: 'spanmetrics', processors: [] }],
    commitEvery_ms: 0,
    record_bytes_max: 1 << 20,
    ...change,
  };
}

class Bed {
  readonly clock = new HandClock();
  readonly topics = new FakeTopics({ topics: { traces: 2, sampled: 2, spanmetrics: 2 }, clock: this.clock });

  async start(settings = settingsWith(), to: Log = log): Promise<Sample> {
    const sample = await startSample({ settings, topics: this.topics, clock: this.clock, log: to });
    running.push(sample);
    return sample;
  }

  async send(spans: SpanSpec[], partition = 0): Promise<void> {
    const raw = traces(spans);
    const value = compress(raw, 'zstd');
    await this.topics.append('traces', partition, value, { format: 1, codec: 'zstd', items: spans.length, raw_bytes: raw.length });
  }

  async pass(ms: number): Promise<void> {
    this.clock.time_ms += ms;
    await Promise.resolve();
  }

  sampledSpans(partition?: number): string[] {
    const names: string[] = [];
    for (const { value } of this.topics.records('sampled', partition))
      for (const r of decode('TracesData', value).resourceSpans)
        for (const s of r.scopeSpans) for (const span of s.spans) names.push(span.name);
    return names;
  }

  /** Calls counted by all span metrics, each window once: repeats are skipped, and must be what they repeat. */
  calls(): number {
    let calls = 0;
    for (const partition of [0, 1]) {
      const seen = new Map<string, Buffer>();
      let last = 0;
      for (const { value, headers } of this.topics.records('spanmetrics', partition)) {
        const key = `${headers.sequence} ${headers.part ?? 0}`;
        const first = seen.get(key);
        if (first !== undefined) assert.ok(first.equals(value), `window ${key} came again with other bytes`);
        assert.ok(first !== undefined || headers.sequence! >= last, `window ${key} came after ${last}: it would be skipped`);
        if (first !== undefined) continue;
        seen.set(key, value);
        last = headers.sequence!;
        for (const r of decode('MetricsData', value).resourceMetrics)
          for (const s of r.scopeMetrics)
            for (const metric of s.metrics)
              if (metric.name.endsWith('calls')) for (const point of metric.sum.dataPoints) calls += Number(point.asInt);
      }
    }
    return calls;
  }
}

afterEach(async () => {
  for (const sample of running.splice(0)) await sample.stop();
});

test('kept spans go to the sampled topic, on their partition, with the source offset as sequence; all spans are counted in span metrics', async () => {
  const bed = new Bed();
  const sample = await bed.start();
  await bed.send([{ trace: '1', name: 'plain' }], 1);
  await bed.send([{ trace: '2', name: 'bad', status: 2 }], 1);
  await bed.send([{ trace: '3', name: 'other', status: 2 }], 0);
  await bed.pass(1000);
  await bed.topics.until(() => bed.topics.items('sampled') === 2, 'two spans');
  assert.deepEqual(
    bed.topics.records('sampled', 1).map(({ headers }) => [headers.sequence, headers.items, headers.codec]),
    [[1, 1, 'none']],
  );
  assert.deepEqual(bed.sampledSpans(1), ['bad']);
  assert.deepEqual(bed.sampledSpans(0), ['other']);
  await bed.topics.until(() => bed.calls() === 3, 'three calls');
  await bed.topics.until(() => bed.topics.committed('sample.traces', 'traces', 1)?.offset === 2, 'the commit');
  for (const stage of sample.counters) assert.equal(stage.imbalance(), 0, stage.stage);
  const value = (name: string): number =>
    sample
      .metrics()
      .filter((one) => one.name === name)
      .reduce((sum, one) => sum + one.value, 0);
  assert.equal(value('tailrace_sample_new_traces_total'), 3);
  assert.equal(value('tailrace_sample_policy_traces_total'), 2);
  assert.equal(value('tailrace_sample_held_records'), 0);
});

test('nothing is committed beyond what is durable', async () => {
  const bed = new Bed();
  const sample = await bed.start();
  await bed.send([{ trace: '1', status: 2 }]);
  await bed.topics.until(() => sample.counters[0]!.in === 1, 'the span');
  bed.topics.hold();
  await bed.pass(1000);
  await bed.topics.until(() => sample.counters[1]!.held === 1, 'the append');
  assert.ok((bed.topics.committed('sample.traces', 'traces', 0)?.offset ?? 0) === 0);
  bed.topics.release();
  await bed.topics.until(() => bed.topics.committed('sample.traces', 'traces', 0)?.offset === 1, 'the commit');
  assert.equal(bed.topics.items('sampled'), 1);
});

test('a record that makes others due waits for their output before the commit moves past them', async () => {
  const bed = new Bed();
  bed.topics.idleEvery_ms = 1e9;
  const sample = await bed.start();
  await bed.send([{ trace: '1', status: 2 }]);
  await bed.topics.until(() => sample.counters[0]!.in === 1, 'the span');
  const commits = bed.topics.commits.length;
  bed.clock.time_ms += 1000;
  bed.topics.failAppend = (topic) => (topic === 'sampled' ? new Busy('log_full', 'no', 10) : undefined);
  await bed.send([{ trace: '2', status: 2 }]);
  await bed.topics.until(() => sample.counters[0]!.in === 2 && sample.counters[1]!.held === 1, 'the output to wait');
  for (const { offset } of bed.topics.commits.slice(commits)) assert.equal(offset, 0);
  bed.topics.failAppend = undefined;
  await bed.topics.until(() => bed.topics.committed('sample.traces', 'traces', 0)?.offset === 1, 'the commit');
  assert.equal(bed.topics.items('sampled'), 1);
});

test('a busy log is tried again, in order, and nothing overtakes', async () => {
  const bed = new Bed();
  await bed.start();
  for (let n = 1; n <= 8; n++) {
    await bed.send([{ trace: n.toString(), name: `s${n}`, status: 2 }]);
  }
  await bed.topics.until(() => bed.topics.commits.length > 0, 'a commit');
  bed.topics.busy(3, 10);
  await bed.pass(1000);
  await bed.topics.until(() => bed.topics.items('sampled') === 8, 'eight spans');
  assert.deepEqual(
    bed.topics.records('sampled', 0).map(({ headers }) => headers.sequence),
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
});

test('a wave of appends of which the log writes the first and refuses the rest is made good in order', async () => {
  const bed = new Bed();
  const sample = await bed.start();
  for (let n = 1; n <= 8; n++) {
    await bed.send([{ trace: n.toString(), name: `s${n}`, status: 2 }]);
  }
  await bed.topics.until(() => bed.topics.commits.length > 0, 'a commit');
  bed.topics.hold();
  await bed.pass(1000);
  await bed.topics.until(() => sample.counters[1]!.held === 8, 'the wave');
  let written = 0;
  let refused = 0;
  bed.topics.failWrite = (topic) => {
    if (topic !== 'sampled') return undefined;
    if (refused === 0 && written < 3) {
      written++;
      return undefined;
    }
    // A log that is full refuses all that waits; the disk has space again when the senders come back.
    if (written === 3 && refused < 5) return new Busy('disk_full', `no space for the ${++refused}th`, 10);
    return undefined;
  };
  bed.topics.release();
  await bed.topics.until(() => bed.topics.items('sampled') === 8, 'eight spans');
  assert.equal(refused, 5);
  assert.deepEqual(
    bed.topics.records('sampled', 0).map(({ headers }) => headers.sequence),
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
});

test('stopping leaves in the log what waits; the next start judges it with the spans that were there before', async () => {
  const bed = new Bed();
  const first = await bed.start();
  await bed.send([{ trace: '1', name: 'a' }]);
  await bed.send([{ trace: '2', name: 'b' }]);
  await bed.topics.until(() => first.counters[0]!.in === 2, 'two spans');
  await first.stop();
  assert.equal(bed.topics.committed('sample.traces', 'traces', 0)?.offset, 0);
  assert.equal(bed.topics.items('sampled'), 0);
  for (const stage of first.counters) assert.equal(stage.imbalance(), 0, stage.stage);
  await bed.pass(500);
  const second = await bed.start();
  await bed.send([{ trace: '1', name: 'c', status: 2 }]);
  await bed.topics.until(() => second.counters[0]!.in === 3, 'three spans');
  await bed.pass(500);
  await bed.topics.until(() => bed.sampledSpans().length === 1, 'the first record of the trace');
  await bed.pass(500);
  await bed.topics.until(() => bed.sampledSpans().length === 2, 'its last record');
  assert.deepEqual(bed.sampledSpans(), ['a', 'c']);
  await bed.topics.until(() => bed.calls() === 3, 'three calls, each once');
});

test('a crash repeats outputs with the same sequence and the same bytes, late spans follow, and metrics count every span once', async () => {
  const bed = new Bed();
  const settings = settingsWith();
  const first = await bed.start(settings);
  await bed.send([{ trace: '1', name: 'a', status: 2 }]);
  await bed.topics.until(() => first.counters[0]!.in === 1, 'one span');
  await bed.pass(400);
  await bed.send([{ trace: '2', name: 'b', status: 2 }]);
  await bed.pass(600);
  await bed.topics.until(() => bed.topics.committed('sample.traces', 'traces', 0)?.offset === 1, 'the first record is behind');
  assert.ok(bed.topics.items('spanmetrics') > 0);
  bed.topics.crash('sample.traces');
  running.length = 0;
  const second = await bed.start(settings);
  await bed.send([{ trace: '1', name: 'late' }]);
  await bed.pass(1000);
  await bed.topics.until(() => bed.sampledSpans().includes('late'), 'the late span');
  assert.deepEqual(bed.sampledSpans().filter((name) => name === 'a').length, 1);
  const lateKept = second.metrics().find((one) => one.name === 'tailrace_sample_late_spans_total' && one.labels?.['decision'] === 'kept');
  assert.equal(lateKept?.value, 1);
  await bed.topics.until(() => bed.calls() === 3, 'three calls, each once');
  const windows = bed.topics.records('spanmetrics', 0).map(({ headers }) => headers.sequence);
  assert.equal(windows.filter((end) => end === windows[0]).length, 1, 'the first window was durable at the commit');
});

test('a crash within a window of span metrics loses nothing of it, and windows that are durable do not come again', async () => {
  const bed = new Bed();
  const { tail: _tail, ...rest } = settingsWith();
  await bed.start(rest);
  await bed.send([{ trace: '1' }]);
  await bed.pass(600);
  await bed.topics.until(() => bed.calls() === 1, 'the first window');
  await bed.send([{ trace: '2' }]);
  await bed.pass(100);
  const durable = bed.topics.commits.length;
  await bed.topics.until(() => bed.topics.commits.slice(durable).some(({ offset }) => offset === 2), 'a commit in the second window');
  bed.topics.crash('sample.traces');
  running.length = 0;
  await bed.start(rest);
  await bed.send([{ trace: '3' }]);
  await bed.pass(500);
  await bed.topics.until(() => bed.calls() === 3, 'both spans of the second window');
  assert.equal(new Set(bed.topics.records('spanmetrics', 0).map(({ headers }) => headers.sequence)).size, 2);
});

test('outputs pass the processors behind the sampling, and are cut to the size of a record with rising parts', async () => {
  const bed = new Bed();
  const seen: number[] = [];
  const processor: Processor = {
    name: 'spy',
    counters: new StageCounters('spy'),
    process: (bytes) => {
      seen.push(bytes.length);
      return Buffer.from(bytes);
    },
  };
  const base = settingsWith();
  await bed.start(settingsWith({ record_bytes_max: 400, spanMetrics: [], tail: { ...base.tail!, processors: [processor] } }));
  await bed.send(Array.from({ length: 9 }, (_, n) => ({ trace: '1', span: (n + 1).toString(), name: `n${n}`, status: 2 })));
  await bed.pass(1000);
  await bed.topics.until(() => bed.topics.items('sampled') === 9, 'nine spans');
  const headers = bed.topics.records('sampled', 0).map((record) => record.headers);
  assert.ok(headers.length > 2);
  assert.deepEqual(
    headers.map((one) => [one.sequence, one.part ?? 0]),
    headers.map((_, n) => [0, n]),
  );
  assert.equal(seen.length, 1);
  for (const record of bed.topics.records('sampled')) assert.ok(record.value.length <= 400);
});

test('a stage without sampling only makes metrics, and commits as it reads', async () => {
  const bed = new Bed();
  const { tail: _tail, ...rest } = settingsWith();
  const sample = await bed.start(rest);
  await bed.send([{ trace: '1' }, { trace: '2' }]);
  await bed.pass(600);
  await bed.topics.until(() => bed.calls() === 2, 'two calls');
  await bed.topics.until(() => bed.topics.committed('sample.traces', 'traces', 0)?.offset === 1, 'the commit');
  assert.deepEqual(
    sample.counters.map((one) => one.stage),
    ['span_metrics.spanmetrics', 'sample.spanmetrics'],
  );
});

test('traces decided early for a limit are told in the log, with the setting, once a minute over all partitions', async () => {
  for (const [change, limit] of [
    [{ heldBytes_max: 1 }, 'held_bytes_max'],
    [{ traces_max: 1 }, 'traces_max'],
  ] as const) {
    const bed = new Bed();
    const lines: string[] = [];
    const { tail } = settingsWith();
    const settings = settingsWith({ tail: { ...tail!, sampler: { ...tail!.sampler, ...change } } });
    const sample = await bed.start(settings, pino({ level: 'warn' }, { write: (line) => void lines.push(line) }));
    let spans = 0;
    const send = async (): Promise<void> => {
      for (const partition of [0, 1]) for (let n = 0; n < 3; n++) await bed.send([{ trace: `${++spans}` }], partition);
      await bed.topics.until(() => sample.counters[0]!.in === spans, 'the spans');
    };
    await send();
    await bed.topics.until(() => lines.length > 0, 'a warning');
    await send();
    await bed.pass(59_000);
    await send();
    assert.equal(lines.length, 1);
    await bed.pass(2_000);
    await send();
    await bed.topics.until(() => lines.length === 2, 'the second warning');
    for (const line of lines) assert.match(line, new RegExp(`"limits":\\["${limit}"\\]`));
    // Each record that went early is in one of the lines.
    const told = lines.map((line) => JSON.parse(line).records as number).reduce((sum, records) => sum + records, 0);
    assert.ok(told >= 9, String(told));
  }
});

test('a record that cannot be read does not stop its partition', async () => {
  const bed = new Bed();
  const sample = await bed.start();
  await bed.topics.append('traces', 0, Buffer.from('no zstd frame'), { format: 1, codec: 'zstd', items: 5, raw_bytes: 100 });
  await bed.send([{ trace: '1', name: 'after', status: 2 }]);
  await bed.pass(1000);
  await bed.topics.until(() => bed.sampledSpans().length === 1, 'the span after it');
  assert.equal(sample.counters[0]!.dropped.get('malformed'), 5);
  assert.equal(sample.metrics().find((one) => one.name === 'tailrace_sample_unreadable_records_total')?.value, 1);
});
