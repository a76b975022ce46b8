import { hashBytes, mix32 } from '../../pipelines/base/hash.ts';
import { Cutter } from '../../pipelines/otlp/cut.ts';
import { Splitter } from '../../pipelines/otlp/split.ts';
import type { Bench, Scale } from './bench.ts';
import { envoyRequest, envoyRequests } from './envoy-request.ts';

const ROUNDS: Readonly<Record<Scale, number>> = { smoke: 1, full: 400 };

let requests: Buffer[] | undefined;
/** Envoy's requests as it sent them, and one of all of them ten times over. */
function prepare(): Buffer[] {
  requests ??= [...envoyRequests(), envoyRequest()];
  return requests;
}

const hex = (hash: number): string => (hash >>> 0).toString(16).padStart(8, '0');

/** Over the first and last bytes of each part: the whole would cost more than the split. */
function mixPart(hash: number, partition: number, part: Buffer, items: number): number {
  const edge = hashBytes(part, Math.max(0, part.length - 16), part.length);
  return mix32(hash ^ edge ^ Math.imul(part.length, 31) ^ Math.imul(items, 17) ^ partition);
}

export const benches: Bench[] = [4, 64].map((partitions) => ({
  name: `otlp: split by trace into ${partitions} partitions`,
  unit: 'span',
  prepare,
  run: (scale) => {
    const splitter = new Splitter('traces', partitions);
    let hash = 0;
    let out = 0;
    const sink = (partition: number, part: Buffer, items: number): void => {
      out += items;
      hash = mixPart(hash, partition, part, items);
    };
    let items = 0;
    for (let round = 0; round < ROUNDS[scale]; round++) for (const request of prepare()) items += splitter.split(request, sink);
    if (out !== items) throw new Error(`${out} spans of ${items}`);
    return { items, hash: hex(hash) };
  },
}));

benches.push({
  name: 'otlp: cut a request to records of 64 KiB',
  unit: 'span',
  prepare,
  run: (scale) => {
    const cutter = new Cutter();
    let hash = 0;
    let out = 0;
    const sink = {
      part: (part: Buffer, items: number): void => {
        out += items;
        hash = mixPart(hash, 0, part, items);
      },
      oversize: (part: Buffer): void => {
        throw new Error(`an item of ${part.length} bytes`);
      },
    };
    let items = 0;
    for (let round = 0; round < ROUNDS[scale]; round++) for (const request of prepare()) items += cutter.cut(request, 64 << 10, sink);
    if (out !== items) throw new Error(`${out} spans of ${items}`);
    return { items, hash: hex(hash) };
  },
});
