#!/usr/bin/env bash
# Makes .venv (server, command line, Python SDK, tools) and sdk-node/node_modules from the lock files.
# A part is skipped when its inputs have not changed since it was last installed.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "setup: $*" >&2; exit 1; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null \
      && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  fail "Python 3.11 or newer is needed and none was found; set PYTHON=/path/to/python3.11"
}

# Prints one hash over the contents of the given files.
fingerprint() { cat "$@" | sha256sum | cut -d' ' -f1; }

# Runs step NAME when the fingerprint of its inputs differs from the one stamped in STAMP.
step() {
  local name=$1 stamp=$2 want=$3 started=$SECONDS
  shift 3
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
    return
  fi
  echo "setup: $name ..."
  "$@"
  echo "$want" >"$stamp"
  echo "setup: $name done in $((SECONDS - started)) s"
}

install_python() {
  [ -x .venv/bin/python ] || "$(find_python)" -m venv .venv
  local total
  total=$(cat requirements/*.txt | grep -oE '^[A-Za-z0-9._-]+==' | sort -u | wc -l)
  .venv/bin/python -m pip install --require-hashes --disable-pip-version-check --progress-bar=off \
    -r requirements/runtime.txt -r requirements/dev.txt | show_progress "$total"
}

# Turns pip's talk into a count, and keeps the lines a reader wants.
show_progress() {
  local total=$1 seen=0 line
  while IFS= read -r line; do
    case $line in
      Collecting* | "Requirement already satisfied"*)
        seen=$((seen + 1))
        if [ -t 1 ]; then printf '\r  %d of %d packages found' "$seen" "$total"; fi
        ;;
      Installing*) printf '\r  %d of %d packages found, installing ...\n' "$seen" "$total" ;;
      *[Ee][Rr][Rr][Oo][Rr]*) printf '\n%s\n' "$line" ;;
    esac
  done
}

install_editable() {
  local log
  log=$(mktemp)
  # The build's warnings are of no use to a reader unless it fails.
  if ! .venv/bin/python -m pip install --no-deps --no-build-isolation --disable-pip-version-check --quiet \
    -e sdk-python -e . >"$log" 2>&1; then
    cat "$log" >&2
    fail "the editable packages did not install (output above)"
  fi
  rm -f "$log"
  .venv/bin/python -m pip check --disable-pip-version-check
}

# Importing a file with compiled loops compiles what its cache does not hold.
compile_loops() { .venv/bin/python -c 'import memoir_server.app.composition'; }

# Path, size and time of the files that hold them: what the cache goes by.
compiled_sources() { grep -rl --include='*.py' '^@compiled' server | sort | xargs stat -c '%n %s %Y' | sha256sum | cut -d' ' -f1; }

install_node() {
  command -v npm >/dev/null || fail "Node 20 or newer with npm is needed and npm was not found"
  (cd sdk-node && npm ci --loglevel=error)
}

build_node() { npm --prefix sdk-node run --silent build; }

# Stamps live in what they describe: removing .venv or node_modules removes its stamp too.
step "Python packages" .venv/.memoir-locked "$(fingerprint requirements/runtime.txt requirements/dev.txt)" install_python
step "memoir-server and memoir-client (editable)" .venv/.memoir-editable \
  "$(fingerprint requirements/runtime.txt pyproject.toml sdk-python/pyproject.toml)" install_editable
step "compiled loops" .venv/.memoir-compiled "$(fingerprint requirements/runtime.txt)$(compiled_sources)" compile_loops
step "Node packages" sdk-node/node_modules/.memoir-locked "$(fingerprint sdk-node/package.json sdk-node/package-lock.json)" install_node
mkdir -p sdk-node/dist
step "Node SDK" sdk-node/dist/.memoir-built "$(find sdk-node/src sdk-node/tsconfig*.json -type f | sort | xargs cat | sha256sum | cut -d' ' -f1)" build_node
