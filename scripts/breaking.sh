#!/usr/bin/env bash
# Compares the contract with the one of the last release tag (v*): fails on a change that breaks existing clients.
set -euo pipefail
cd "$(dirname "$0")/.."

tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || true)
if [ -z "$tag" ]; then
  echo "breaking: there is no release tag (v*) yet, so there is no contract to stay compatible with; nothing was compared"
  exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# The released contract as an image: the modules of then need not have the shape of the modules of now.
git archive "$tag" proto third_party buf.yaml | tar -x -C "$scratch"
(cd "$scratch" && "$OLDPWD/.venv/bin/buf" build --path proto/memoir/v1 -o base.binpb)
.venv/bin/buf breaking proto --against "$scratch/base.binpb"
echo "breaking: compatible with $tag"
