import type { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { Random } from './generate-random.ts';

/** What the serializer takes: @opentelemetry/sdk-trace's ReadableSpan. Plain objects do; no SDK runs here. */
type ReadableSpan = Parameters<typeof ProtobufTraceSerializer.serializeRequest>[0][number];
type Resource = ReadableSpan['resource'];

export interface MeshSettings {
  /** 1 and more. */
  readonly services: number;
  readonly traceSpans: { readonly min: number; readonly max: number };
}

/**
 * One trace as a service mesh's sidecars report it: a request enters at the gateway and goes from service to service,
 * each hop as two spans, the caller's sidecar (client) and the callee's (server). Ids hold numbers, to be replaced when the
 * trace is sent: the trace id the trace's number, span ids the spans' numbers from `firstSpan` on. Times are
 * offsets from the trace's start.
 */
export interface MeshTrace {
  readonly spans: readonly ReadableSpan[];
  readonly duration_ns: number;
}

const SLOW_MS_MIN = 1000;
const FAST_MS_MAX = 400;

// Members of @opentelemetry/api's enums, by number: that package is the serializer's, not ours. Kinds count from 0 (INTERNAL); the serializer adds one.
/* oxlint-disable typescript/no-unsafe-enum-assignment */
const SERVER = 1 as ReadableSpan['kind'];
const CLIENT = 2 as ReadableSpan['kind'];
const UNSET = 0 as ReadableSpan['status']['code'];
const ERROR = 2 as ReadableSpan['status']['code'];
/* oxlint-enable typescript/no-unsafe-enum-assignment */
const MS_NS = 1_000_000;

const NAMES = [
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
  'recommendation',
  'user-profile',
  'search',
  'currency',
  'email',
];
const ROUTES = ['/api/v1/products', '/api/v1/cart', '/api/v1/cart/items', '/api/v2/checkout', '/api/v1/users/me', '/reviews', '/ratings'];
const QUERIES = ['', '', '?page=2', '?user=42', '?q=lamp&page=2', '?from=EUR&to=USD'];
const METHODS = ['GET', 'GET', 'GET', 'GET', 'POST', 'PUT'];
const AGENTS = ['Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0', 'Go-http-client/1.1', 'okhttp/4.12.0'];
const SCOPE = { name: 'envoy', version: '1.30.1' };

interface Workload {
  readonly name: string;
  readonly pod: string;
  readonly address: string;
  readonly version: string;
  readonly resource: Resource;
}

export class Mesh {
  private readonly random: Random;
  private readonly workloads: readonly Workload[];
  private readonly settings: MeshSettings;

  constructor(settings: MeshSettings, random: Random) {
    this.settings = settings;
    this.random = random;
    this.workloads = Array.from({ length: settings.services }, (_, i) => this.workload(i));
  }

  /** The next trace. At most `spans_max` spans. */
  trace(number: number, firstSpan: number, spans_max: number, error: boolean, slow: boolean): MeshTrace {
    const { random } = this;
    const { min, max } = this.settings.traceSpans;
    const count = Math.min(spans_max, min + random.below(max - min + 1));
    const duration_ns = Math.round((slow ? SLOW_MS_MIN * (1 + 1.5 * random.next()) : 5 + (FAST_MS_MAX - 5) * random.next() ** 3) * MS_NS);
    const hops: Hop[] = [{ caller: undefined, callee: this.workloads[0]!, parent: 0, start_ns: 0, duration_ns }];
    for (let i = 1; i < count; i++) hops.push(this.hop(hops, i));
    const request = {
      id: `${random.hex(8)}-${random.hex(4)}-4${random.hex(3)}-a${random.hex(3)}-${random.hex(12)}`,
      method: random.pick(METHODS),
      agent: random.pick(AGENTS),
    };
    const traceId = number.toString(16).padStart(32, '0');
    const spans = hops.map((hop, i): ReadableSpan => {
      const route = random.pick(ROUTES);
      // The innermost hop fails, where one does.
      const failed = error && i === count - 1;
      const to = hop.callee.name;
      const self = hop.caller ?? hop.callee;
      const upstream = hop.caller === undefined ? 'inbound|8080||' : `outbound|8080||${to}.shop.svc.cluster.local`;
      const context = { traceId, spanId: (firstSpan + i).toString(16).padStart(16, '0'), traceFlags: 1 };
      return {
        name: `${to}.shop.svc.cluster.local:8080${route}`,
        kind: hop.caller === undefined ? SERVER : CLIENT,
        spanContext: () => context,
        ...(i === 0 ? {} : { parentSpanContext: { ...context, spanId: (firstSpan + hop.parent).toString(16).padStart(16, '0') } }),
        startTime: hrTime(hop.start_ns),
        endTime: hrTime(hop.start_ns + hop.duration_ns),
        duration: hrTime(hop.duration_ns),
        ended: true,
        status: { code: failed ? ERROR : UNSET },
        attributes: {
          component: 'proxy',
          node_id: `sidecar~${self.address}~${self.pod}.shop~shop.svc.cluster.local`,
          zone: 'eu-west-1b',
          'guid:x-request-id': request.id,
          'http.url': `http://${to}.shop.svc.cluster.local:8080${route}${random.pick(QUERIES)}`,
          'http.method': request.method,
          'http.protocol': 'HTTP/1.1',
          'http.status_code': failed ? '503' : '200',
          'http.route': route,
          downstream_cluster: '-',
          upstream_cluster: upstream,
          'upstream_cluster.name': `${upstream};`,
          'peer.address': hop.callee.address,
          user_agent: request.agent,
          request_size: String(random.below(4096)),
          response_size: String(random.below(65_536)),
          response_flags: failed ? 'UF,URX' : '-',
          'istio.mesh_id': 'cluster.local',
          'istio.cluster_id': 'Kubernetes',
          'istio.namespace': 'shop',
          'istio.canonical_service': self.name,
          'istio.canonical_revision': self.version,
          'source.workload': self.name,
          'destination.workload': to,
        },
        links: [],
        events: [],
        resource: self.resource,
        instrumentationScope: SCOPE,
        droppedAttributesCount: 0,
        droppedEventsCount: 0,
        droppedLinksCount: 0,
      };
    });
    return { spans, duration_ns };
  }

  /** Every second hop is a call out of the service that the parent span entered; the one after it is the call's arrival. */
  private hop(hops: readonly Hop[], index: number): Hop {
    const { random } = this;
    const arrives = index % 2 === 0;
    const parentIndex = arrives ? index - 1 : random.below((index + 1) >> 1) * 2;
    const parent = hops[parentIndex]!;
    const lead_ns = Math.floor(parent.duration_ns * (0.02 + 0.2 * random.next()));
    const rest_ns = Math.floor((parent.duration_ns - lead_ns) * (0.5 + 0.45 * random.next()));
    const time = { parent: parentIndex, start_ns: parent.start_ns + lead_ns, duration_ns: rest_ns };
    if (arrives) return { ...time, caller: undefined, callee: parent.callee };
    return { ...time, caller: parent.callee, callee: random.pick(this.workloads) };
  }

  private workload(index: number): Workload {
    const { random } = this;
    const round = Math.floor(index / NAMES.length);
    const name = `${NAMES[index % NAMES.length]}${round === 0 ? '' : `-${round + 1}`}`;
    const pod = `${name}-${random.hex(9)}-${random.hex(5)}`;
    const version = `v${1 + random.below(3)}`;
    const attributes = {
      'service.name': `${name}.shop`,
      'service.version': version,
      'k8s.namespace.name': 'shop',
      'k8s.pod.name': pod,
      'k8s.cluster.name': 'demo',
      'telemetry.sdk.language': 'cpp',
      'telemetry.sdk.name': 'envoy',
    };
    const resource: Resource = { attributes, getRawAttributes: () => Object.entries(attributes), merge: () => resource };
    return { name, pod, version, address: `10.44.${random.below(256)}.${random.below(256)}`, resource };
  }
}

interface Hop {
  /** Undefined: the span is the callee's sidecar, which took the request in. */
  readonly caller: Workload | undefined;
  readonly callee: Workload;
  readonly parent: number;
  readonly start_ns: number;
  readonly duration_ns: number;
}

function hrTime(ns: number): [number, number] {
  return [Math.floor(ns / 1e9), ns % 1e9];
}
