import type { Redis } from 'ioredis';
import type { AlertRuleConfig } from '../config/schema-scale.ts';
import type { Store } from '../pipelines/store/client.ts';

/** As Alertmanager's API v2 takes it (postableAlert). */
export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly startsAt: string;
  /** When it is over, or when it is if nobody says it again. */
  readonly endsAt: string;
}

interface State {
  /** Since when the bound is passed, ms. */
  readonly since: number;
  readonly firing: boolean;
  readonly labels: Record<string, string>;
}

const ROWS_MAX = 1_000;
const QUERY_TIME_S = 30;
/** Alertmanager forgets an alert that is not said again within this many periods. */
const PERIODS_KEPT = 4;
const STATE_TTL_S = 7 * 86_400;

/**
 * One rule: a query whose rows are series, a bound, and how long it must be passed. What is pending or firing is kept in Redis, so that
 * it goes on when another replica takes the next turn.
 */
export class AlertRule {
  private readonly rule: AlertRuleConfig;
  private readonly store: Store;
  private readonly redis: Redis;
  private readonly key: string;

  constructor(rule: AlertRuleConfig, store: Store, redis: Redis, prefix: string) {
    this.rule = rule;
    this.store = store;
    this.redis = redis;
    this.key = `${prefix}:alert:${rule.name}`;
  }

  /** What is to be told now: all that fires, said again at every turn, and once what has ended. @throws the server's error for SQL that it refuses */
  async evaluate(now_ms: number): Promise<Alert[]> {
    const rows = await this.ask();
    const before = new Map(Object.entries(await this.redis.hgetall(this.key)).map(([id, text]) => [id, JSON.parse(text) as State]));
    const after = new Map<string, State>();
    const alerts: Alert[] = [];
    for (const { value, labels } of rows) {
      if (!this.passed(value)) continue;
      const id = JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
      const since = before.get(id)?.since ?? now_ms;
      const firing = now_ms - since >= this.rule.for;
      after.set(id, { since, firing, labels });
      if (firing) alerts.push(this.alert(labels, value, since, now_ms + PERIODS_KEPT * this.rule.every));
    }
    for (const [id, state] of before)
      if (state.firing && !after.has(id)) alerts.push(this.alert(state.labels, undefined, state.since, now_ms));
    const write = this.redis.multi().del(this.key);
    if (after.size > 0)
      write.hset(this.key, Object.fromEntries([...after].map(([id, state]) => [id, JSON.stringify(state)]))).expire(this.key, STATE_TTL_S);
    await write.exec();
    return alerts;
  }

  private async ask(): Promise<{ value: number; labels: Record<string, string> }[]> {
    const answer = await this.store.query({
      query: this.rule.sql,
      format: 'JSONEachRow',
      clickhouse_settings: {
        readonly: '2',
        max_execution_time: QUERY_TIME_S,
        max_result_rows: String(ROWS_MAX),
        result_overflow_mode: 'throw',
      },
    });
    return (await answer.json<Record<string, unknown>>()).map((row) => {
      const { value, ...rest } = row;
      if (value === undefined) throw new Error(`rule ${this.rule.name}: the query gives no column "value"`);
      // null: no rows to average, 0/0. Nothing is known, so no bound is passed.
      const number = value === null ? Number.NaN : Number(value);
      return {
        value: number,
        labels: Object.fromEntries(
          Object.entries(rest).map(([name, label]) => [name, typeof label === 'string' ? label : JSON.stringify(label)]),
        ),
      };
    });
  }

  private passed(value: number): boolean {
    const { above, below } = this.rule;
    return (above !== undefined && value > above) || (below !== undefined && value < below);
  }

  private alert(own: Record<string, string>, value: number | undefined, since_ms: number, end_ms: number): Alert {
    const labels = { ...own, ...this.rule.labels, alertname: this.rule.name };
    const words: Record<string, string> = { ...labels, value: value === undefined ? '' : String(value) };
    const fill = (text: string): string => text.replaceAll(/\{\{\s*([\w.]+)\s*\}\}/g, (whole, name: string) => words[name] ?? whole);
    return {
      labels,
      annotations: Object.fromEntries(Object.entries(this.rule.annotations).map(([name, text]) => [name, fill(text)])),
      startsAt: new Date(since_ms).toISOString(),
      endsAt: new Date(end_ms).toISOString(),
    };
  }
}
