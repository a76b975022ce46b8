import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { OperatorError } from '../base/errors.ts';

export interface TlsSettings {
  /** PEM: the certificate and what it was issued by. */
  readonly certFile: string;
  /** PEM: its private key. */
  readonly keyFile: string;
  /** PEM: with it, a sender must show a certificate that one of these has issued (mutual TLS). */
  readonly clientCaFile?: string;
}

export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly clientCa: Buffer | undefined;
}

/** Reads and tries them, so that a mistake ends the start and not the first handshake. @throws OperatorError naming the file and its setting under `setting` */
export async function readTlsFiles(settings: TlsSettings, setting: string): Promise<TlsFiles> {
  const read = async (path: string, key: string): Promise<Buffer> => {
    try {
      return await readFile(path);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new OperatorError(`${setting}.tls.${key}: cannot read ${path}: ${why}`, 'give a PEM file that this process may read');
    }
  };
  const cert = await read(settings.certFile, 'cert_file');
  const key = await read(settings.keyFile, 'key_file');
  const clientCa = settings.clientCaFile === undefined ? undefined : await read(settings.clientCaFile, 'client_ca_file');
  try {
    createSecureContext({ cert, key, ...(clientCa === undefined ? {} : { ca: clientCa }) });
  } catch (error) {
    throw new OperatorError(
      `${setting}.tls: ${error instanceof Error ? error.message : String(error)}`,
      'give PEM files that belong together',
    );
  }
  return { cert, key, clientCa };
}
