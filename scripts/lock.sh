#!/usr/bin/env bash
# Resolves requirements/*.in and sdk-node/package.json again and rewrites the lock files: exact versions with hashes, no addresses.
set -euo pipefail
cd "$(dirname "$0")/../requirements"

compile() {
  # Settings of this machine's pip (extra links, an index of its own) must not reach a committed file.
  env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make lock" ../.venv/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host "$@"
}
echo "lock: requirements/runtime.txt"
compile --output-file=runtime.txt runtime.in
echo "lock: requirements/dev.txt"
compile --output-file=dev.txt dev.in
echo "lock: sdk-node/package-lock.json"
(cd ../sdk-node && npm install --package-lock-only --loglevel=error)

cd ..
if grep -nE 'https?://|find-links|index-url' requirements/*.txt sdk-node/package-lock.json; then
  echo "lock: an address reached a lock file (lines above)" >&2
  exit 1
fi
