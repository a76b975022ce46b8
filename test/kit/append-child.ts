import { writeSync } from 'node:fs';
import { wallClock } from '../../pipelines/base/clock.ts';
import { createLog } from '../../pipelines/base/log.ts';
import { openEmbeddedTopics } from '../../pipelines/topic/embedded.ts';

/*
 * node append-child.ts DIRECTORY START: opens the log, prints `open`, then appends for ever to both partitions of `traces`
 * and prints a line for each record that was acknowledged: partition, offset, serial number. The value tells the serial
 * number (START, START + 1 …) and is filled from it. With START `idle` it appends nothing, reads, and prints `idle PARTITION TIME`
 * for each promise. Made to be killed.
 */
const directory = process.argv[2]!;
let serial = Number(process.argv[3]);

/** The value of a record: the serial number, then as many bytes of it as it says. */
export function valueOf(number: number): Buffer {
  const value = Buffer.alloc(8 + ((number * 7919) % 30_000), number % 251);
  value.writeDoubleLE(number, 0);
  return value;
}

if (import.meta.main) {
  const log = await openEmbeddedTopics({
    directory,
    topics: { traces: 2 },
    clock: wallClock,
    log: createLog('silent'),
    linger_ms: 1,
    idle_ms: 10,
    groupBytes_max: 200_000,
  });
  writeSync(1, 'open\n');
  const appendForEver = async (partition: number): Promise<void> => {
    for (;;) {
      const number = serial++;
      const value = valueOf(number);
      const offset = await log.append('traces', partition, value, { format: 1, codec: 'none', items: 1, raw_bytes: value.length });
      // Straight to the pipe: what was acknowledged must not wait in a buffer of this process.
      writeSync(1, `${partition} ${offset} ${number}\n`);
    }
  };
  if (process.argv[3] === 'idle') {
    const reader = await log.read({
      group: 'idle',
      topics: ['traces'],
      keepBehind_ms: 0,
      consumer: {
        assigned: async () => ({ offset: 0 }),
        records: async () => {},
        idle: async (_topic, partition, time_ms) => void writeSync(1, `idle ${partition} ${time_ms}\n`),
        revoked: async () => {},
      },
    });
    await reader.failed;
  }
  await Promise.all([0, 1, 0, 1, 0, 1].map(appendForEver));
}
