/**
 * Which room may import which: a room imports itself, and only the rooms its line names. Checked by test/tidy.
 * In the order that data flows; an arrow upwards is a mistake in the design, not in this table.
 */
export const rooms = {
  base: [],
  wire: ['base'],
  otlp: ['base', 'wire'],
  topic: ['base', 'wire', 'otlp'],
  receive: ['base', 'wire', 'otlp'],
  process: ['base', 'wire', 'otlp'],
  sample: ['base', 'wire', 'otlp', 'process'],
  aggregate: ['base', 'wire', 'otlp'],
  encode: ['base', 'wire', 'otlp'],
  store: ['base', 'encode'],
} as const satisfies Record<string, readonly string[]>;

/** Pure and synchronous: bytes in, bytes out, time handed in. No timers, promises, I/O or clock. */
export const pureRooms = ['wire', 'otlp', 'process', 'sample', 'aggregate', 'encode'] as const satisfies readonly (keyof typeof rooms)[];
