export interface Addresses {
  readonly grpc: readonly string[];
  readonly http: readonly string[];
  readonly sql: string | undefined;
  readonly metrics: string;
  readonly data: string;
}

/** What a newcomer reads after the start: where everything listens, a trace to send, and how to read it back. */
export function welcome(at: Addresses): string {
  const lines = ['', 'Tailrace is ready.'];
  for (const address of at.grpc) lines.push(`  OTLP gRPC        ${address}`);
  for (const address of at.http) lines.push(`  OTLP HTTP        http://${address}/v1/traces, /v1/metrics, /v1/logs`);
  if (at.sql !== undefined)
    lines.push(`  SQL              ${at.sql}   (ClickHouse's HTTP interface; npx tailrace sql ${urlOption(at.sql)}"SELECT …")`);
  lines.push(`  metrics, health  ${at.metrics}/metrics, /healthz, /readyz`, `  data             ${at.data}`);
  if (at.http[0] !== undefined) {
    lines.push(
      '',
      'Send a trace (it has an error, so it is kept; the answer {} means that all of it was taken):',
      '',
      `  ${sendLine(reachable(at.http[0]))}`,
    );
    if (at.sql !== undefined)
      lines.push('', 'Read it back some seconds later, when its decision_wait is over:', '', `  ${readLine(reachable(at.sql))}`);
  }
  return `${lines.join('\n')}\n\n`;
}

/** What `tailrace sql` must be told where the address is not the one that it asks by itself. */
function urlOption(url: string): string {
  return reachable(url) === 'http://127.0.0.1:8123' ? '' : `--url ${reachable(url)} `;
}

/** An address that a client on this machine can use. */
function reachable(address: string): string {
  return address.replace('0.0.0.0', '127.0.0.1').replace('[::]', '[::1]');
}

function sendLine(address: string): string {
  const span = `"traceId":"'$(od -An -N16 -tx1 /dev/urandom|tr -d ' \\n')'","spanId":"00f067aa0ba902b7","name":"hello","kind":2,"startTimeUnixNano":"'$(date +%s)'000000000","endTimeUnixNano":"'$(date +%s)'250000000","status":{"code":2}`;
  const service = '{"attributes":[{"key":"service.name","value":{"stringValue":"curl"}}]}';
  return `curl http://${address}/v1/traces -H 'content-type: application/json' -d '{"resourceSpans":[{"resource":${service},"scopeSpans":[{"spans":[{${span}}]}]}]}'`;
}

function readLine(url: string): string {
  return `curl ${url} --data-binary "SELECT Timestamp, ServiceName, SpanName, StatusCode, SpanAttributes['tailsampling.policy'] AS kept_by FROM otel_traces ORDER BY Timestamp DESC LIMIT 5 FORMAT PrettyCompact"`;
}
