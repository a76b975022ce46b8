import type { Server } from 'node:net';
import { OperatorError } from '../pipelines/base/errors.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `:port`, `[::1]:port`. Port 0 lets the system choose. @throws OperatorError naming the setting */
export function parseEndpoint(text: string, setting: string): Endpoint {
  const match = /^(?:\[([0-9A-Fa-f:]+)\]|([^:/]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new OperatorError(`${setting}: "${text}" is not host:port`, 'Write an address such as 127.0.0.1:4317 or 0.0.0.0:4317.');
  const host = match[1] ?? match[2]!;
  return { host: host === '' ? '0.0.0.0' : host, port };
}

export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Listens and returns the real address. @throws OperatorError where the port is taken or not allowed */
export function listen(server: Server, endpoint: Endpoint, setting: string): Promise<Endpoint> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, endpoint, setting)));
    server.listen(endpoint.port, endpoint.host, () => {
      const address = server.address();
      resolve({ host: endpoint.host, port: typeof address === 'object' && address !== null ? address.port : endpoint.port });
    });
  });
}

export function listenError(error: NodeJS.ErrnoException, endpoint: Endpoint, setting: string): Error {
  const where = formatEndpoint(endpoint);
  if (error.code === 'EADDRINUSE')
    return new OperatorError(
      `${where} is in use by another process`,
      `Stop that process (ss -ltnp shows it), or set ${setting} to another port.`,
    );
  if (error.code === 'EACCES')
    return new OperatorError(`not allowed to listen on ${where}`, `Ports below 1024 need privileges: set ${setting} to a higher one.`);
  if (error.code === 'EADDRNOTAVAIL')
    return new OperatorError(
      `${endpoint.host} is not an address of this machine`,
      `Set ${setting} to an address of this machine, 127.0.0.1 or 0.0.0.0.`,
    );
  return error;
}
