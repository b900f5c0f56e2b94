# Dockerfile -- the server as one static binary in an otherwise empty image, under 1 MB.
#
#   docker build -t sponson .
#   docker run --rm -p 7171:7171 sponson                     all defaults; maxmemory follows --memory
#   docker run --rm -p 7171:7171 sponson --maxmemory 64mb    arguments go to the server
#   docker run --rm -p 7171:7171 -e SPONSON_REQUIREPASS=secret sponson
#
# It needs no capability, no writable file system and no entry in /etc/passwd, so --read-only, --cap-drop ALL,
# --security-opt no-new-privileges and any --user work. tests/container.sh holds all of this.

FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Makefile *.c *.h ./
RUN make -j"$(nproc)" STATIC=1 CFLAGS=-O2

FROM scratch
# The version stands in config.h; whoever builds a release passes it on: --build-arg VERSION=1.2.3
ARG VERSION=unknown
LABEL org.opencontainers.image.title="sponson" \
      org.opencontainers.image.description="A cache server that speaks the Redis protocol" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /src/sponson /sponson

# A number, so that orchestrators can see that it is not root.
USER 65532:65532

# Every address of the container, IPv6 where there is any: without it a published port would lead nowhere.
ENV SPONSON_BIND="* -::*" SPONSON_PROTECTED_MODE=no
# /metrics, /healthz and /readyz: SPONSON_ADMIN_PORT=0 for none.
ENV SPONSON_ADMIN_PORT=9171 SPONSON_ADMIN_BIND="* -::*"
EXPOSE 7171 9171

# No shell, so nothing is left unreaped. The probe gives up after 2 s by itself, sees the same environment, and takes
# the server's arguments from process 1.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/sponson", "--ping"]

STOPSIGNAL SIGTERM
ENTRYPOINT ["/sponson"]
