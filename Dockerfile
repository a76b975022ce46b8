# syntax=docker/dockerfile:1.7
#
#   docker build -t tailrace .                            everything, with the embedded ClickHouse (0.5 GB of it): for standalone
#   docker build -t tailrace:cluster --target cluster .   the roles over Kafka and a ClickHouse server
#
# The pinned Node comes with the packages (npm package `node`), so the final stages need Debian's C and C++ libraries only.

FROM node:24.11.1-trixie-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# Scripts must run: the package `node` fetches the binary of this platform in its own.
# What it leaves below itself is headers and npm, 68 MB that nothing reads.
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --no-audit --no-fund \
 && rm -rf node_modules/node/node_modules

FROM dependencies AS dependencies-cluster
RUN rm -rf node_modules/chdb node_modules/@chdb

FROM debian:13.3-slim AS base
LABEL org.opencontainers.image.title="Tailrace" \
      org.opencontainers.image.description="OpenTelemetry pipeline: OTLP in, whole traces sampled by their tail, metrics from spans, everything in ClickHouse" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libatomic1 libgcc-s1 libstdc++6 \
 && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 tailrace \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin tailrace \
 && install -d -o 10001 -g 10001 -m 0750 /data
WORKDIR /app
# Root owns the code: the process cannot change it. What is written goes to /data and /tmp, so the root file system can be read-only.
COPY LICENSE package.json ./
COPY config ./config
COPY pipelines ./pipelines
COPY services ./services
ENV NODE_ENV=production \
    NODE_COMPILE_CACHE=/tmp/node-compile-cache \
    PATH=/app/node_modules/node/bin:/usr/local/bin:/usr/bin:/bin \
    TAILRACE_DATA=/data \
    TAILRACE_GRPC=0.0.0.0:4317 \
    TAILRACE_HTTP=0.0.0.0:4318 \
    TAILRACE_METRICS=0.0.0.0:8888
# TAILRACE_SQL stays on 127.0.0.1: the embedded ClickHouse asks for no password.
USER 10001:10001
EXPOSE 4317 4318 8123 8888
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["/app/node_modules/node/bin/node", "-e", "fetch('http://127.0.0.1:8888/healthz', { signal: AbortSignal.timeout(4000) }).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/node_modules/node/bin/node", "/app/services/launch.js"]

FROM base AS cluster
COPY --from=dependencies-cluster /app/node_modules ./node_modules
CMD ["--help"]

# The last stage is what a build without --target makes.
FROM base AS standalone
COPY --from=dependencies /app/node_modules ./node_modules
VOLUME ["/data"]
CMD ["standalone", "--config", "/app/config/tailrace.yaml"]
