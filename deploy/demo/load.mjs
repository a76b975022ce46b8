// A small, steady load: REQUESTS_PER_SECOND to TARGET, mostly /checkout. A request that gets no answer is a line on stderr, no more.
import { Agent, get } from 'node:http';

const target = process.env.TARGET ?? 'http://127.0.0.1:10000';
const rate = Math.min(Number(process.env.REQUESTS_PER_SECOND ?? 10), 100);
const paths = ['/checkout', '/checkout', '/checkout', '/', '/missing'];
const agent = new Agent({ keepAlive: true, maxSockets: 32 });
let turn = 0;

const timer = setInterval(() => {
  const call = get(`${target}${paths[turn++ % paths.length]}`, { agent, timeout: 5000 }, (answer) => answer.resume());
  call.on('timeout', () => call.destroy());
  call.on('error', (error) => process.stderr.write(`${error.message}\n`));
}, 1000 / rate);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => (clearInterval(timer), agent.destroy()));
