#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time (default 30s), one after the other.
# `go test -fuzz` takes one target of one package at a time.
set -euo pipefail
cd "$(dirname "$0")/../.."
time=${1:-30s}
found=0
while read -r dir; do
  package=./${dir#"$PWD"/}
  for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go 2>/dev/null | awk '{print $2}'); do
    found=1
    echo "fuzzing $target in $package for $time"
    go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" "$package"
  done
done < <(go list -f '{{.Dir}}' ./...)
[ "$found" = 1 ] || { echo "no fuzz target found: the list of packages is wrong" >&2; exit 1; }
