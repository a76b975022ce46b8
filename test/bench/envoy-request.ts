import { readFileSync, readdirSync } from 'node:fs';

const COPIES = 10;
const folder = new URL('../fixtures/envoy/', import.meta.url);

/** The trace requests that a real Envoy sent, about five spans each. */
export function envoyRequests(): Buffer[] {
  return readdirSync(folder)
    .filter((file) => file.startsWith('trace'))
    .sort()
    .map((file) => readFileSync(new URL(file, folder)));
}

let request: Buffer | undefined;
/** All of them, ten times over, as one request: 930 spans of about 520 bytes. */
export function envoyRequest(): Buffer {
  request ??= Buffer.concat(Array.from({ length: COPIES }, envoyRequests).flat());
  return request;
}
