#!/usr/bin/env bash
# Build the image and try it: the demo, a read-only root file system, and the code server's health check.
# Uses docker, or podman and buildah. If the base image cannot be pulled, it is made from Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/../.."
image=${IMAGE:-samegoal-pipelines}
base=${BASE:-$(sed -n 's/^ARG BASE=//p' deploy/docker/Dockerfile)}

skip() { echo "image: skipped: $1"; exit 0; }

if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  build=(docker build)
  run=(docker)
elif command -v buildah >/dev/null && command -v podman >/dev/null; then
  build=(buildah bud --layers --format docker --isolation chroot)  # Docker's format keeps HEALTHCHECK
  run=(podman --cgroup-manager=cgroupfs)
  CONTAINERS_CONF=$(mktemp)  # in a sandbox, root may not raise its limits
  export CONTAINERS_CONF
  printf '[containers]\ndefault_ulimits = []\n' >"$CONTAINERS_CONF"
  ! command -v runc >/dev/null || run+=(--runtime "$(command -v runc)")
  if ! podman image exists "$base" && ! timeout 60 podman pull --quiet "$base" 2>/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v mmdebstrap >/dev/null; then
      skip "$base cannot be pulled, and there is no mmdebstrap (as root) to make a base"
    fi
    base=localhost/debian-python:bookworm
    if ! podman image exists "$base"; then
      echo "image: making a base of Debian's packages"
      mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates,tini bookworm - |
        podman --cgroup-manager=cgroupfs import --quiet - "$base"
    fi
  fi
else
  skip "neither docker nor podman with buildah is here"
fi

# pip in the build needs the certificates and the index of this machine, if it has its own.
for variable in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST; do
  [ -z "${!variable:-}" ] || build+=(--build-arg "$variable=${!variable}")
done
if [ -n "${SSL_CERT_FILE:-}" ] && [ "${build[0]}" = buildah ]; then
  build+=(--volume "$SSL_CERT_FILE:$SSL_CERT_FILE:ro" --env "PIP_CERT=$SSL_CERT_FILE")
fi
"${build[@]}" --build-arg "BASE=$base" --file deploy/docker/Dockerfile --tag "$image" .

echo "image: the demo, without a network"
"${run[@]}" run --rm --network none --read-only --tmpfs /tmp --no-healthcheck "$image" samegoal-pipelines demo

echo "image: the code server, with a read-only root file system"
container=$("${run[@]}" run --detach --network none --read-only --cap-drop ALL --tmpfs /tmp "$image")
trap '"${run[@]}" rm --force "$container" >/dev/null 2>&1' EXIT
for _ in $(seq 60); do
  if "${run[@]}" exec "$container" dagster api grpc-health-check --host 127.0.0.1 --port 4000 >/dev/null 2>&1; then
    echo "image: ready as $image"
    exit 0
  fi
  sleep 1
done
"${run[@]}" logs "$container" >&2
echo "image: the code server did not become healthy within a minute" >&2
exit 1
