# Marquee's images: one target a service, each with nothing in it but its program.
#
#   docker build --target catalog -t marquee-catalog .
#
# Behind a proxy that signs TLS itself, give the builder its certificates: --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt
# (BUILD_CA=/etc/ssl/certs/ca-certificates.crt for docker compose). OpenSSL, for Kafka, is built with perl.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev make perl \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Dependencies and what was built before stay in the builder's cache; only the programs leave it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca; fi \
 && cargo build --release --locked --workspace --bins --features bus/kafka-tls \
 && install -D --strip --target-directory=/out/bin \
      target/release/catalog target/release/web target/release/recommendations target/release/accounts target/release/bridge target/release/marquee \
 && install -d --mode=700 /out/data

FROM gcr.io/distroless/cc-debian12:nonroot AS base
COPY --from=build --chown=65532:65532 /out/data /data
ENV DATA_DIR=/data

FROM base AS catalog
COPY --from=build /out/bin/catalog /usr/local/bin/catalog
ENV HTTP_ADDR=0.0.0.0:5000 CATALOG_GRPC_ADDR=0.0.0.0:50052
EXPOSE 5000 50052
HEALTHCHECK --interval=5s --timeout=10s --start-period=30s CMD ["/usr/local/bin/catalog", "health"]
ENTRYPOINT ["/usr/local/bin/catalog"]

FROM base AS web
COPY --from=build /out/bin/web /usr/local/bin/web
ENV HTTP_ADDR=0.0.0.0:5000
EXPOSE 5000
HEALTHCHECK --interval=5s --timeout=10s --start-period=30s CMD ["/usr/local/bin/web", "health"]
ENTRYPOINT ["/usr/local/bin/web"]

FROM base AS recommendations
COPY --from=build /out/bin/recommendations /usr/local/bin/recommendations
ENV HTTP_ADDR=0.0.0.0:8051 GRPC_ADDR=0.0.0.0:50051
EXPOSE 8051 50051
HEALTHCHECK --interval=5s --timeout=10s --start-period=30s CMD ["/usr/local/bin/recommendations", "health"]
ENTRYPOINT ["/usr/local/bin/recommendations"]

FROM base AS accounts
COPY --from=build /out/bin/accounts /usr/local/bin/accounts
ENV HTTP_ADDR=0.0.0.0:8053 ACCOUNTS_GRPC_ADDR=0.0.0.0:50053
EXPOSE 8053 50053
HEALTHCHECK --interval=5s --timeout=10s --start-period=30s CMD ["/usr/local/bin/accounts", "health"]
ENTRYPOINT ["/usr/local/bin/accounts"]

FROM base AS bridge
COPY --from=build /out/bin/bridge /usr/local/bin/bridge
VOLUME /data
ENV HTTP_ADDR=0.0.0.0:8222 NATS_ADDR=0.0.0.0:4222
EXPOSE 8222 4222
HEALTHCHECK --interval=5s --timeout=10s --start-period=30s CMD ["/usr/local/bin/bridge", "health"]
ENTRYPOINT ["/usr/local/bin/bridge"]

FROM base AS marquee
COPY --from=build /out/bin/marquee /usr/local/bin/marquee
VOLUME /data
ENV HTTP_ADDR=0.0.0.0:5000 GRPC_ADDR=0.0.0.0:50051 CATALOG_GRPC_ADDR=0.0.0.0:50052 ACCOUNTS_GRPC_ADDR=0.0.0.0:50053
EXPOSE 5000 50051 50052 50053
HEALTHCHECK --interval=5s --timeout=10s --start-period=30s CMD ["/usr/local/bin/marquee", "health"]
ENTRYPOINT ["/usr/local/bin/marquee"]
