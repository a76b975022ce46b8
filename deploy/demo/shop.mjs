// The shop behind the demo's Envoy: /checkout asks the cart and the payment, through Envoy again, so that a trace has several services.
// Three in a hundred payments fail, one in a hundred is slow: enough for tail sampling to show what it does.
import { createServer, request } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';

const edge = process.env.EDGE ?? 'http://127.0.0.1';
const PORT = 8080;

/** Asks through Envoy; the trace goes on because its headers do. */
function ask(port, path, headers) {
  const passed = Object.fromEntries(['traceparent', 'tracestate', 'x-request-id'].filter((n) => n in headers).map((n) => [n, headers[n]]));
  return new Promise((resolve) => {
    const call = request(`${edge}:${port}${path}`, { headers: passed, timeout: 3000 }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode ?? 502));
    });
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(502));
    call.end();
  });
}

const pages = {
  '/healthz': () => 200,
  '/': () => 200,
  '/items': async () => (await wait(2 + Math.random() * 20), 200),
  '/payment': async () => (await wait(Math.random() < 0.01 ? 1500 : 10 + Math.random() * 40), Math.random() < 0.03 ? 503 : 200),
  '/checkout': async (headers) => {
    const items = await ask(10001, '/items', headers);
    const payment = items === 200 ? await ask(10002, '/payment', headers) : items;
    return payment === 200 ? 200 : 502;
  },
};

const server = createServer(async (incoming, response) => {
  const page = pages[incoming.url?.split('?')[0] ?? '/'];
  const status = page === undefined ? 404 : await page(incoming.headers);
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${status}\n`);
});
server.listen(PORT, () => process.stdout.write(`the shop is open on port ${PORT}\n`));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => (server.close(), server.closeAllConnections()));
