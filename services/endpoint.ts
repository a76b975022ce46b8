import type { Server } from 'node:net';
import { OperatorError } from '../pipelines/base/errors.ts';
import { cannotListen } from '../pipelines/receive/listen-error.ts';
import type { Endpoint } from '../pipelines/receive/receive.ts';

/** `host:port`, `:port`, `[::1]:port`. Port 0 lets the system choose. `setting` is named in errors. @throws OperatorError */
export function parseEndpoint(text: string, setting: string): Endpoint {
  const match = /^(?:\[([0-9A-Fa-f:]+)\]|([^:/]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new OperatorError(`${setting}: "${text}" is not host:port`, 'Write an address such as 127.0.0.1:4317 or 0.0.0.0:4317.');
  const host = match[1] ?? match[2]!;
  return { host: host === '' ? '0.0.0.0' : host, port, setting };
}

export function formatEndpoint(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Listens and returns the real port. @throws OperatorError where the port is taken or not allowed */
export function listen(server: Server, endpoint: Endpoint, what: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(what, endpoint, error)));
    server.listen(endpoint.port, endpoint.host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : endpoint.port);
    });
  });
}
