#!/usr/bin/env bash
# Fails when `go generate` changes a file.
set -euo pipefail
cd "$(dirname "$0")/../.."
files=$(git ls-files --cached --others --exclude-standard 'zz_generated*' '*/zz_generated*')
[ -n "$files" ] || { echo "no generated file found: the pattern is wrong" >&2; exit 1; }
before=$(sha256sum $files)
go generate ./...
if ! diff <(echo "$before") <(sha256sum $files); then
  echo "generated files were not up to date: commit what 'make generate' wrote" >&2
  exit 1
fi
