#!/usr/bin/env bash
# Runs govulncheck against the Go vulnerability database (GOVULNDB, default https://vuln.go.dev).
# A machine that cannot reach the database says so loudly and goes on: that is a fact about the machine, not about the code.
set -euo pipefail
cd "$(dirname "$0")/../.."
database=${GOVULNDB:-https://vuln.go.dev}
check() { go tool -modfile=hack/tools/govulncheck/go.mod govulncheck -db "$database" ./...; }
case $database in
  file://*) check ;;
  *) if curl -sSf --max-time 20 -o /dev/null "$database/index/db.json"; then
       check
     else
       echo "NOT CHECKED FOR VULNERABILITIES: $database cannot be reached from here; set GOVULNDB to a mirror or to file:///path of a copy" >&2
     fi ;;
esac
