import { mix32 } from '../pipelines/base/hash.ts';

/** A seeded sequence: the same seed gives the same traces. Mulberry-like: a counter through mix32. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = mix32(seed ^ 0x9e3779b9);
  }

  /** 0 ≤ x < 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    return mix32(this.state) / 0x1_0000_0000;
  }

  /** 0, 1 … below − 1. */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  hex(digits: number): string {
    let text = '';
    while (text.length < digits) text += this.below(0x1_0000).toString(16).padStart(4, '0');
    return text.slice(0, digits);
  }
}

/**
 * Spreads a share evenly over a count of things: of 1000 things a share of 0.01 takes exactly 10, whatever the seed.
 * `offset` (0 to 1) says where in the period the first one lies, so that two shares do not take the same things.
 */
export class Share {
  private owed: number;
  private readonly share: number;

  constructor(share: number, offset: number) {
    this.share = share;
    this.owed = offset;
  }

  take(): boolean {
    this.owed += this.share;
    // Sums of decimal fractions fall a hair short of 1.
    if (this.owed < 1 - 1e-9) return false;
    this.owed -= 1;
    return true;
  }
}
