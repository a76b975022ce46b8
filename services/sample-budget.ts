import { createHash } from 'node:crypto';
import { BLOCK_MS, type RateLimit } from '../pipelines/sample/policies/rate-limit.ts';
import type { Sampler } from '../pipelines/sample/sampler.ts';
import type { RedisHandle } from './redis.ts';

/*
 * One hash for each limit and block of log time: KEY := {prefix}budget:{limit id}:{block}
 *
 *   pool       spans a second that partitions gave away and nobody took yet
 *   PARTITION  what that partition gave (negative) or took; whoever asks again for it gets the same
 *
 * KEYS[1]; ARGV = partition, spans (negative: gives them; positive: wants as many), ms to live. Returns what the partition has.
 */
const SCRIPT = `
local had = redis.call('HGET', KEYS[1], ARGV[1])
if had then return tonumber(had) end
local spans = tonumber(ARGV[2])
if spans > 0 then spans = math.min(spans, tonumber(redis.call('HGET', KEYS[1], 'pool') or '0')) end
redis.call('HINCRBY', KEYS[1], 'pool', -spans)
redis.call('HSET', KEYS[1], ARGV[1], spans)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return spans`;

/** Gives (negative) or wants spans a second for a block; the answer is what the partition has, undefined where nobody answers. Never rejects. */
export type AskBudget = (limit: number, partition: number, block: number, spans: number) => Promise<number | undefined>;

export interface BudgetScope {
  readonly group: string;
  readonly partitions: number;
  /** Spans a second of each rate limit, in the note's order. Other numbers, other pools. */
  readonly limits: readonly number[];
  readonly live_ms: number;
}

export function redisBudget(redis: RedisHandle, scope: BudgetScope): AskBudget {
  const id = createHash('sha256')
    .update(JSON.stringify([scope.group, scope.partitions, scope.limits]))
    .digest('hex')
    .slice(0, 16);
  return async (limit, partition, block, spans) => {
    if (!redis.up()) return undefined;
    try {
      const key = `${redis.keyPrefix}budget:${id}:${limit}:${block}`;
      return Number(await redis.client.eval(SCRIPT, 1, key, partition, spans, Math.ceil(scope.live_ms)));
    } catch {
      // Down, slow, or gone meanwhile: the handle says so.
      return undefined;
    }
  };
}

/** Above the busiest second of the last block. */
const HEADROOM = 1.25;
/** Of its own share a partition never gives the last quarter: its traffic may come back within a block. */
const GIVEN_MAX = 0.75;

/**
 * Rate limits for the whole cluster, one partition's side of it. Every partition has its own share of a limit (rate-limit.ts); one that needs less gives the
 * rest away for the block of log time after the next border, one that needs more takes from what was given for a block.
 *
 * The sum never exceeds the limit, whatever is lost: a partition first writes down (commit note, durable) that it will do without, and
 * only then gives; an answer that does not come in time, or with Redis down, is 0, and everybody keeps the own share.
 * Decisions replay alike without Redis: before the first record of a block is folded, the lease for it (0 too) is settled in a durable note,
 * and is never asked for again. So Redis need not remember anything for a replay. Only a Redis that comes back with an older state
 * can lend the same spans twice, and only for the blocks under way then.
 */
export class PartitionBudget {
  private readonly sampler: Sampler;
  private readonly ask: AskBudget;
  private readonly partition: number;
  private readonly partitions: number;
  /** Spans above the own share that each limit needs. */
  private wanted: number[] = [];
  private gifts: { readonly limit: number; readonly block: number; readonly spans: number }[] = [];
  private readonly taken = new Map<number, { readonly block: number; readonly spans: number }>();
  private askedBlock = -1;
  private isFirst = true;

  constructor(sampler: Sampler, ask: AskBudget, partition: number, partitions: number) {
    this.sampler = sampler;
    this.ask = ask;
    this.partition = partition;
    this.partitions = partitions;
  }

  /** Log time comes to `time_ms`. True at a border: settles the new block; commit the sampler's note before a record of it is folded, then call `settled`. */
  enter(time_ms: number): boolean {
    const { sampler } = this;
    const block = Math.floor(time_ms / BLOCK_MS);
    if (block <= sampler.settledBlock) return false;
    sampler.settledBlock = block;
    this.gifts = [];
    this.wanted = [];
    for (const [index, limit] of sampler.limits.entries()) {
      const taken = this.taken.get(index);
      if (limit.leased(block) === 0 && taken?.block === block) limit.lease(block, taken.spans);
      this.plan(index, limit, block + 1);
    }
    this.isFirst = false;
    return true;
  }

  /** What is given away is durable. */
  settled(): void {
    for (const { limit, block, spans } of this.gifts) void this.ask(limit, this.partition, block, -spans);
    this.gifts = [];
  }

  /** Takes for the next block what the last one lacked, when others have had half a block to give. */
  look(time_ms: number): void {
    const block = Math.floor((time_ms + BLOCK_MS / 2) / BLOCK_MS);
    if (block !== this.sampler.settledBlock + 1 || block === this.askedBlock) return;
    this.askedBlock = block;
    for (const [limit, spans] of this.wanted.entries()) if (spans > 0) void this.take(limit, block, spans);
  }

  private async take(limit: number, block: number, spans: number): Promise<void> {
    const got = await this.ask(limit, this.partition, block, spans);
    if (got !== undefined && got > 0) this.taken.set(limit, { block, spans: got });
  }

  private plan(index: number, limit: RateLimit, next: number): void {
    const own = Math.floor(limit.limit / this.partitions);
    const need = Math.ceil(limit.takeDemand() * HEADROOM);
    this.wanted[index] = Math.max(0, Math.min(need, limit.limit) - own);
    // The first block that is seen may have been seen in part.
    const spans = this.isFirst ? 0 : Math.min(own - need, Math.floor(own * GIVEN_MAX));
    if (spans <= 0) return;
    limit.lease(next, -spans);
    this.gifts.push({ limit: index, block: next, spans });
  }
}
