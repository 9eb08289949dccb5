#!/usr/bin/env bash
# Linters and schemas for what is in deploy/. Nothing here needs a cluster, a container engine or a network.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin

skip() { echo "deploy-check: skipped: $1"; }

if [ -x $bin/hadolint ]; then
  $bin/hadolint deploy/docker/Dockerfile && echo "deploy-check: Dockerfile"
else
  skip "there is no hadolint for this platform"
fi
if [ -x $bin/shellcheck ]; then
  git ls-files -z '*.sh' .ci/run | xargs -0 $bin/shellcheck && echo "deploy-check: shell scripts"
else
  skip "there is no shellcheck for this platform"
fi
if compgen -G 'deploy/kubernetes/*.yaml' >/dev/null; then
  if [ -x $bin/kubernetes-validate ]; then
    find deploy/kubernetes -name '*.yaml' ! -name kustomization.yaml ! -name dagster.yaml ! -name workspace.yaml -print0 |
      xargs -0 $bin/kubernetes-validate --strict --version 1.33 && echo "deploy-check: Kubernetes manifests"
  else
    skip "kubernetes-validate is not installed"
  fi
fi
