#!/usr/bin/env bash
# Every static check, each with its time; all of them run even when one fails.
set -uo pipefail
cd "$(dirname "$0")/.."

bin=.venv/bin
failed=()
check() {
  local name=$1 started=$SECONDS
  shift
  if "$@"; then
    echo "lint: $name ok ($((SECONDS - started)) s)"
  else
    echo "lint: $name FAILED ($((SECONDS - started)) s)"
    failed+=("$name")
  fi
}
python_dirs=(conftest.py)
for directory in server sdk-python golden-tests tests bench examples scripts stores deploy; do
  [ -n "$(find "$directory" -name '*.py' -not -path '*/memoir_golden_pb/*' -print -quit 2>/dev/null)" ] && python_dirs+=("$directory")
done

check "ruff check" $bin/ruff check --quiet "${python_dirs[@]}"
check "ruff format" $bin/ruff format --check --quiet "${python_dirs[@]}"
check "mypy" $bin/mypy --no-error-summary "${python_dirs[@]}"
check "import layers" env PYTHONPATH=server:sdk-python $bin/lint-imports --no-logo
check "buf lint" $bin/buf lint
check "README matrix" $bin/python scripts/readme_matrix.py --check
check "tsc" npm --prefix sdk-node run --silent typecheck

if [ ${#failed[@]} -gt 0 ]; then
  echo "lint: failed: ${failed[*]}" >&2
  exit 1
fi
