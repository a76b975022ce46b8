import { createHash } from 'node:crypto';
import { createEncoder } from '../../pipelines/encode/encoder.ts';
import { keyValues, span } from '../kit/otlp.ts';
import { nativeRows } from '../kit/native.ts';
import { encode } from '../kit/proto.ts';
import type { Bench, Scale } from './bench.ts';

/** Spans of the shape of an Istio sidecar's: 25 string attributes of their own lengths, seven resource attributes, 15 services. */
const SPANS_PER_RECORD = 250;
const RECORDS = 8;
/** Records to a block: 20,000 rows. */
const RECORDS_PER_BLOCK = 80;

const PATHS = [
  '/api/v1/products',
  '/api/v1/cart/items',
  '/reviews/17',
  '/search?q=lamp&page=2',
  '/currency/convert?from=EUR&to=USD&amount=1299',
];
const AGENTS = [
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36',
  'Go-http-client/1.1',
  'python-requests/2.31.0',
];
const SERVICES = [
  'istio-ingressgateway',
  'frontend',
  'productpage',
  'cart',
  'checkout',
  'payment',
  'inventory',
  'reviews',
  'ratings',
  'shipping',
];

function records(): Buffer[] {
  let state = 11;
  const next = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const pick = (list: readonly string[]): string => list[next(list.length)]!;
  const hex = (digits: number): string => Array.from({ length: digits }, () => next(16).toString(16)).join('');
  const meshSpan = (service: string): object => {
    const up = pick(SERVICES);
    const path = pick(PATHS);
    const error = next(50) === 0;
    return span({
      trace: hex(32),
      span: hex(16),
      parent: hex(16),
      name: `${up}.shop.svc.cluster.local:8080/*`,
      kind: 2 + next(2),
      status: error ? 2 : 0,
      duration_ns: BigInt(1_000_000 + next(80_000_000)),
      attributes: {
        component: 'proxy',
        node_id: `sidecar~10.44.${next(256)}.${next(256)}~${service}-7d9c5b8f6d-${hex(5)}.shop~shop.svc.cluster.local`,
        zone: 'europe-west1-b',
        'guid:x-request-id': `${hex(8)}-${hex(4)}-9${hex(3)}-${hex(4)}-${hex(12)}`,
        'http.url': `http://${up}.shop.svc.cluster.local:8080${path}`,
        'http.method': pick(['GET', 'GET', 'GET', 'POST', 'PUT']),
        downstream_cluster: '-',
        user_agent: pick(AGENTS),
        'http.protocol': 'HTTP/1.1',
        'peer.address': `10.44.${next(256)}.${next(256)}`,
        request_size: `${next(4096)}`,
        response_size: `${next(65536)}`,
        'http.status_code': error ? '503' : '200',
        response_flags: error ? 'UF,URX' : '-',
        'istio.mesh_id': 'cluster.local',
        'istio.canonical_service': service,
        'istio.canonical_revision': `v${1 + next(3)}`,
        'istio.namespace': 'shop',
        'istio.cluster_id': 'Kubernetes',
        upstream_cluster: `outbound|8080||${up}.shop.svc.cluster.local`,
        'upstream_cluster.name': `outbound|8080||${up}.shop.svc.cluster.local;`,
        request_protocol: 'http',
        'http.route': path.split('?')[0]!,
        'source.workload': service,
        'destination.workload': up,
      },
    });
  };
  return Array.from({ length: RECORDS }, () => {
    const resourceSpans = Array.from({ length: 10 }, (_, i) => {
      const service = SERVICES[i]!;
      const resource = {
        'service.name': `${service}.shop`,
        'service.version': '1.14.2',
        'k8s.namespace.name': 'shop',
        'k8s.pod.name': `${service}-7d9c5b8f6d-${hex(5)}`,
        'k8s.cluster.name': 'prod-eu-1',
        'telemetry.sdk.language': 'cpp',
        'telemetry.sdk.name': 'envoy',
      };
      const spans = Array.from({ length: SPANS_PER_RECORD / 10 }, () => meshSpan(service));
      return { resource: { attributes: keyValues(resource) }, scopeSpans: [{ scope: { name: 'envoy', version: '1.30.1' }, spans }] };
    });
    return encode('TracesData', { resourceSpans });
  });
}

let input: Buffer[] | undefined;

export const benches: Bench[] = [
  {
    name: 'encode: spans to Native blocks',
    unit: 'span',
    prepare: () => {
      input ??= records();
    },
    run(scale: Scale) {
      input ??= records();
      const total = scale === 'smoke' ? RECORDS * 2 : 2000;
      const encoder = createEncoder('traces');
      const hash = createHash('sha256');
      let rows = 0;
      const flush = (): void =>
        encoder.finish((block) => {
          rows += block.rows;
          if (rows > block.rows) return;
          // The blocks are alike; one of them is checked and hashed.
          hash.update(block.native);
          if (scale === 'smoke' && nativeRows(block.native).some((row) => (row['SpanAttributes'] as unknown[]).length !== 25))
            throw new Error('a span has not all its attributes');
        });
      for (let i = 1; i <= total; i++) {
        encoder.add(input[i % input.length]!);
        if (i % RECORDS_PER_BLOCK === 0) flush();
      }
      flush();
      const items = total * SPANS_PER_RECORD;
      if (rows !== items || encoder.counters.out !== items) throw new Error(`${rows} rows of ${items} spans`);
      return { items, hash: hash.digest('hex').slice(0, 16) };
    },
  },
];
