import { execFileSync, spawnSync } from 'node:child_process';
import { connect } from 'node:net';
import { freePorts, start, temporaryFolder, until, type Running } from './process.ts';

export interface TestRedis {
  readonly url: string;
  /** kill -9. */
  kill(): Promise<void>;
  stop(): Promise<void>;
  /** On the same port, empty. */
  restart(): Promise<void>;
}

/** The system's redis-server; installed where it is missing and this is root on Debian. */
function redisBinary(): string {
  if (spawnSync('redis-server', ['--version']).error === undefined) return 'redis-server';
  if (process.getuid?.() !== 0) throw new Error('redis-server is not installed: install it (Debian: apt-get install redis-server)');
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  execFileSync('apt-get', ['update', '-q'], { stdio: 'inherit', env: environment });
  execFileSync('apt-get', ['install', '-y', '-q', '--no-install-recommends', 'redis-server'], { stdio: 'inherit', env: environment });
  return 'redis-server';
}

/** Starts a real Redis on loopback that keeps nothing on disk. */
export async function startRedis(): Promise<TestRedis> {
  const binary = redisBinary();
  const [port] = (await freePorts(1)) as [number];
  const folder = temporaryFolder('redis');
  let server: Running;
  const begin = async (): Promise<void> => {
    server = start(binary, ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]);
    await until('Redis to answer', () => answers(port));
  };
  await begin();
  return {
    url: `redis://127.0.0.1:${port}`,
    kill: async () => void (await server.end('SIGKILL')),
    stop: async () => void (await server.end('SIGTERM')),
    restart: begin,
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(false));
    socket.once('data', (reply) => {
      socket.destroy();
      resolve(reply.toString().startsWith('+PONG'));
    });
    socket.write('PING\r\n');
  });
}
