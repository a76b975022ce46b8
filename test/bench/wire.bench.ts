import { mix32 } from '../../pipelines/base/hash.ts';
import { SpanView } from '../../pipelines/otlp/span.ts';
import { defaultValidateSettings } from '../../pipelines/otlp/validate-item.ts';
import { Validator } from '../../pipelines/otlp/validate.ts';
import { Walker, type ItemVisitor } from '../../pipelines/otlp/walk.ts';
import { Cursor } from '../../pipelines/wire/cursor.ts';
import type { Bench, BenchResult, Scale } from './bench.ts';
import { envoyRequest } from './envoy-request.ts';

const NOW_MS = 1_795_600_000_000;
const ROUNDS: Readonly<Record<Scale, number>> = { smoke: 2, full: 1000 };

const hex = (hash: number): string => (hash >>> 0).toString(16).padStart(8, '0');

/** Mixes what the work saw, so that none of it can be left out. */
class Fields implements ItemVisitor {
  hash = 0;
  bytes: Buffer = Buffer.alloc(0);
  private readonly cursor = new Cursor();
  resource(): void {}
  scope(): void {}
  item(start: number, stop: number): void {
    const cursor = this.cursor.reset(this.bytes, start, stop);
    let seen = start;
    while (cursor.next()) seen = (Math.imul(seen, 31) + cursor.stop) | 0;
    this.hash = mix32(this.hash ^ seen);
  }
}

class Spans implements ItemVisitor {
  hash = 0;
  bytes: Buffer = Buffer.alloc(0);
  private readonly span = new SpanView();
  resource(): void {}
  scope(): void {}
  item(start: number, stop: number): void {
    const span = this.span.parse(this.bytes, start, stop);
    this.hash = mix32(this.hash ^ span.attributes.count ^ span.nameStop ^ span.startLo);
  }
}

function walk(visitor: Fields | Spans, scale: Scale): BenchResult {
  const bytes = envoyRequest();
  const walker = new Walker();
  visitor.bytes = bytes;
  visitor.hash = 0;
  let items = 0;
  for (let round = 0; round < ROUNDS[scale]; round++) items += walker.walk(bytes, 0, bytes.length, visitor);
  return { items, hash: hex(visitor.hash) };
}

export const benches: Bench[] = [
  { name: 'wire: walk the fields of every span', unit: 'span', prepare: envoyRequest, run: (scale) => walk(new Fields(), scale) },
  { name: 'otlp: parse every span and find its attributes', unit: 'span', prepare: envoyRequest, run: (scale) => walk(new Spans(), scale) },
  {
    name: 'otlp: validate every span to its last string',
    unit: 'span',
    prepare: envoyRequest,
    run: (scale) => {
      const bytes = envoyRequest();
      const validator = new Validator('traces', defaultValidateSettings);
      let items = 0;
      for (let round = 0; round < ROUNDS[scale]; round++) {
        const verdict = validator.check(bytes, NOW_MS);
        if (verdict.rejected !== 0) throw new Error(verdict.message);
        items += verdict.accepted;
      }
      return { items, hash: hex(mix32(items)) };
    },
  },
];
