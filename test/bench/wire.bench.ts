import { readFileSync, readdirSync } from 'node:fs';
import { mix32 } from '../../pipelines/base/hash.ts';
import { SpanView } from '../../pipelines/otlp/span.ts';
import { defaultValidateSettings } from '../../pipelines/otlp/validate-item.ts';
import { Validator } from '../../pipelines/otlp/validate.ts';
import { Walker, type ItemVisitor } from '../../pipelines/otlp/walk.ts';
import { Cursor } from '../../pipelines/wire/cursor.ts';
import type { Bench, BenchResult, Scale } from './bench.ts';

const NOW_MS = 1_795_600_000_000;
const COPIES = 10;
const ROUNDS: Readonly<Record<Scale, number>> = { smoke: 2, full: 1000 };

let request: Buffer | undefined;
/** What a real Envoy sent, ten times over, as one request: 930 spans of about 520 bytes. */
function prepare(): Buffer {
  if (request === undefined) {
    const folder = new URL('../fixtures/envoy/', import.meta.url);
    const files = readdirSync(folder)
      .filter((file) => file.startsWith('trace'))
      .sort();
    const one = Buffer.concat(files.map((file) => readFileSync(new URL(file, folder))));
    request = Buffer.concat(Array.from({ length: COPIES }, () => one));
  }
  return request;
}

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
  const bytes = prepare();
  const walker = new Walker();
  visitor.bytes = bytes;
  visitor.hash = 0;
  let items = 0;
  for (let round = 0; round < ROUNDS[scale]; round++) items += walker.walk(bytes, 0, bytes.length, visitor);
  return { items, hash: hex(visitor.hash) };
}

export const benches: Bench[] = [
  { name: 'wire: walk the fields of every span', unit: 'span', prepare, run: (scale) => walk(new Fields(), scale) },
  { name: 'otlp: parse every span and find its attributes', unit: 'span', prepare, run: (scale) => walk(new Spans(), scale) },
  {
    name: 'otlp: validate every span to its last string',
    unit: 'span',
    prepare,
    run: (scale) => {
      const bytes = prepare();
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
