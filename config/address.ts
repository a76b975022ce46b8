import { z } from 'zod';

/** `host:port`, `:port`, `[::1]:port`: host without brackets ('' for all addresses) and port; undefined where it is none. Port 0 lets the system choose. */
export function parseAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:]+)\]|([^:/\s]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  return match === null || port > 65_535 ? undefined : { host: match[1] ?? match[2]!, port };
}

/** An address to listen on. */
export const address = (fallback: string, description: string) =>
  z
    .string()
    .refine((text) => parseAddress(text) !== undefined, {
      error: (issue) => `"${String(issue.input)}" is not host:port, such as 127.0.0.1:4317 or 0.0.0.0:4317`,
    })
    .default(fallback)
    .describe(description);
