import type { IncomingMessage, ServerResponse } from 'node:http';

/** For senders in web pages. No origins: no CORS header is ever sent, and browsers keep their pages away. */
export interface CorsSettings {
  /** `https://shop.example`, `https://*.example` (one `*` stands for any text) or `*`. */
  readonly allowedOrigins: readonly string[];
}

/** How long a browser may remember the answer to its OPTIONS. */
const PREFLIGHT_AGE_S = 7_200;

/** Adds the headers for an origin that is allowed (fetch.spec.whatwg.org, CORS protocol). True when the request is a preflight, which has been answered then. */
export function answerCors(settings: CorsSettings | undefined, request: IncomingMessage, response: ServerResponse): boolean {
  if (settings === undefined || settings.allowedOrigins.length === 0) return false;
  response.setHeader('vary', 'origin');
  const origin = request.headers.origin;
  const preflight = request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined;
  if (origin !== undefined && settings.allowedOrigins.some((allowed) => matches(allowed, origin))) {
    response.setHeader('access-control-allow-origin', origin);
    if (preflight) {
      response.setHeader('access-control-allow-methods', 'POST');
      // The origin is trusted, and exporters send headers of their own (tokens, tenants): whatever it asks for.
      response.setHeader(
        'access-control-allow-headers',
        request.headers['access-control-request-headers'] ?? 'content-type, content-encoding',
      );
      response.setHeader('access-control-max-age', PREFLIGHT_AGE_S);
    }
  }
  if (preflight) response.writeHead(204).end();
  return preflight;
}

function matches(allowed: string, origin: string): boolean {
  const star = allowed.indexOf('*');
  if (star < 0) return allowed === origin;
  const head = allowed.slice(0, star);
  const tail = allowed.slice(star + 1);
  return origin.length >= head.length + tail.length && origin.startsWith(head) && origin.endsWith(tail);
}
