import { setFlagsFromString } from 'node:v8';

// Beyond this many times what was in use after the last collection, buffers alone start the next.
const EXTERNAL_GROWTH = 4;

/**
 * Lets V8 weigh the bytes of Buffers against the whole heap. By default it starts a full collection whenever 64 MiB of Buffers have come
 * since the last, although nearly all of them are garbage by then and the heap itself (27 MB) has hardly changed:
 * 157 full collections for 500,000 spans, a fifth of the main thread's time. With this, 37, and the process takes 20 CPU seconds per
 * million spans instead of 30, for some 60 MB more of memory at its peak. `--trace-gc` shows them.
 */
export function weighBuffersWithHeap(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  setFlagsFromString(`--external-memory-max-growing-factor=${EXTERNAL_GROWTH}`);
}
