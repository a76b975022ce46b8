import { OperatorError } from '../base/errors.ts';
import type { Endpoint } from './receive.ts';

/** What a person is told when a port cannot be had. `what` names the server, the endpoint's `setting` the place in the file. */
export function cannotListen(what: string, endpoint: Endpoint, error: Error): OperatorError {
  const { host, port, setting } = endpoint;
  const why = error.message;
  if (why.includes('EADDRINUSE')) {
    return new OperatorError(
      `${what}: port ${port} on ${host} is in use`,
      `stop what listens there (ss -ltnp 'sport = :${port}' shows it), or change ${setting}`,
    );
  }
  if (why.includes('EACCES'))
    return new OperatorError(`${what}: no right to listen on port ${port}`, `take a port from 1024 up: ${setting}`);
  return new OperatorError(`${what}: cannot listen on ${host}:${port}: ${why}`, `see ${setting}`);
}
