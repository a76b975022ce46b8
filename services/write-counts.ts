import type { StageCounters } from '../pipelines/base/counters.ts';

/** One partition's part in the counters of its topic, in rows: an item of a metric may become several, in several tables. */
export class RowCounts {
  private readonly topic: StageCounters;
  private readonly encoder: StageCounters;
  /** Neither stored nor dropped yet. */
  private held = 0;
  private seenIn = 0;
  private readonly seenDropped = new Map<string, number>();

  constructor(topic: StageCounters, encoder: StageCounters) {
    this.topic = topic;
    this.encoder = encoder;
  }

  /** What the encoder counted since the last time. */
  encoded(): void {
    this.came(this.encoder.in - this.seenIn);
    this.seenIn = this.encoder.in;
    for (const [reason, rows] of this.encoder.dropped) {
      const dropped = rows - (this.seenDropped.get(reason) ?? 0);
      this.seenDropped.set(reason, rows);
      this.hold(-dropped);
      this.topic.drop(reason, dropped);
    }
  }

  came(rows: number): void {
    this.topic.in += rows;
    this.hold(rows);
  }

  repeat(rows: number): void {
    this.topic.in += rows;
    this.topic.drop('repeat', rows);
  }

  /** Rows that are held no more: stored, but for those that are dead letters. */
  settle(rows: number, dead: number): void {
    this.hold(-rows);
    this.topic.out += rows - dead;
    this.topic.drop('dead_letter', dead);
  }

  /** What is held is not this process's any more: the log has it. */
  takeBack(): void {
    this.topic.in -= this.held;
    this.hold(-this.held);
  }

  private hold(rows: number): void {
    this.held += rows;
    this.topic.held += rows;
  }
}
