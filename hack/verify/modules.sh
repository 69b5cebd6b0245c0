#!/usr/bin/env bash
# Fails when `go mod tidy` would change a go.mod or go.sum: that of the project and those of its tools.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
for module in $(git ls-files --cached --others --exclude-standard 'go.mod' '*/go.mod'); do
  (cd "$(dirname "$module")" && go mod tidy -diff 2>/dev/null | head -n 20; exit "${PIPESTATUS[0]}") || { echo "$module is not tidy: run 'go mod tidy' in its folder" >&2; status=1; }
done
exit $status
