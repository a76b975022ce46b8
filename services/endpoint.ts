import type { Server } from 'node:net';
import { parseAddress } from '../config/address.ts';
import { cannotListen } from '../pipelines/receive/listen-error.ts';
import type { Endpoint } from '../pipelines/receive/receive.ts';

/** An address of the file, checked when it was read. `setting` is named in errors. */
export function parseEndpoint(text: string, setting: string): Endpoint {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${setting}: ${text} passed the check of the file`);
  return { host: address.host === '' ? '0.0.0.0' : address.host, port: address.port, setting };
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
