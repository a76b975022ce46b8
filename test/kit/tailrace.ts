import { freePorts, type Running, start, temporaryFolder, until } from './process.ts';

const root = new URL('../../', import.meta.url).pathname;

export interface Tailrace {
  readonly process: Running;
  readonly data: string;
  readonly ports: { readonly grpc: number; readonly http: number; readonly sql: number; readonly metrics: number };
  /** The result of a query, in JSONEachRow. */
  sql(query: string): Promise<Record<string, unknown>[]>;
  /** The value of one series of /metrics, the sum over those whose labels contain `labels`. */
  metric(name: string, labels?: string): Promise<number>;
}

/** Starts `tailrace standalone` on free ports, as a newcomer would, and waits until it is ready. */
export async function startTailrace(options: { config?: string; data?: string; ports?: Tailrace['ports'] } = {}): Promise<Tailrace> {
  const data = options.data ?? temporaryFolder('data');
  const free = options.ports === undefined ? await freePorts(4) : [];
  const ports = options.ports ?? { grpc: free[0]!, http: free[1]!, sql: free[2]!, metrics: free[3]! };
  const process = start(
    globalThis.process.execPath,
    ['services/launch.js', 'standalone', '--config', options.config ?? 'config/tailrace.yaml'],
    {
      cwd: root,
      env: {
        TAILRACE_GRPC: `127.0.0.1:${ports.grpc}`,
        TAILRACE_HTTP: `127.0.0.1:${ports.http}`,
        TAILRACE_SQL: `127.0.0.1:${ports.sql}`,
        TAILRACE_METRICS: `127.0.0.1:${ports.metrics}`,
        TAILRACE_DATA: data,
      },
    },
  );
  let over = false;
  void process.ended.then(() => {
    over = true;
  });
  await until(
    'tailrace to be ready',
    async () => {
      if (over) return 'over';
      // The words, not only the port: another Tailrace may answer there.
      return process.output().includes('Tailrace is ready.') && (await fetch(`http://127.0.0.1:${ports.metrics}/readyz`)).ok;
    },
    60_000,
  );
  if (over) throw new Error(`tailrace ended at start:\n${process.output()}`);
  return {
    process,
    data,
    ports,
    sql: async (query) => {
      const response = await fetch(`http://127.0.0.1:${ports.sql}/`, { method: 'POST', body: `${query} FORMAT JSONEachRow` });
      const text = await response.text();
      if (!response.ok) throw new Error(text);
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    metric: async (name, labels = '') => {
      const text = await (await fetch(`http://127.0.0.1:${ports.metrics}/metrics`)).text();
      const lines = text
        .split('\n')
        .filter((line) => (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && line.includes(labels));
      if (lines.length === 0) throw new Error(`no series ${name} with ${labels}`);
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
    },
  };
}
