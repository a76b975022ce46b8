import { pino, type Logger } from 'pino';

export type Log = Logger;

/** ERROR means that data was lost; everything else that goes wrong is a warning. Logs go to stderr, so that stdout stays for answers. */
export function createLog(level: string): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true }));
}
