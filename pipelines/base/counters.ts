/**
 * What every stage counts (DESIGN, Contracts): `in = out + dropped + held` holds whenever no push is under way.
 * Plain fields, because a field costs 4 ns and a bound prom-client counter 70 ns; `/metrics` copies them at scrape.
 * Units are items of the stage's signal (spans, log records, metric data points' metrics), never requests.
 */
export class StageCounters {
  readonly stage: string;
  in = 0;
  out = 0;
  held = 0;
  /** reason → items. Reasons are fixed snake_case words. */
  readonly dropped = new Map<string, number>();

  constructor(stage: string) {
    this.stage = stage;
  }

  drop(reason: string, items: number): void {
    if (items > 0) this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + items);
  }

  droppedTotal(): number {
    let total = 0;
    for (const items of this.dropped.values()) total += items;
    return total;
  }

  /** in − out − dropped − held: 0 when nothing was lost. */
  imbalance(): number {
    return this.in - this.out - this.droppedTotal() - this.held;
  }
}
