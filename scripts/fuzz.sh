#!/usr/bin/env bash
# Runs every fuzz target of every package, one after the other, each for the time given (10s): scripts/fuzz.sh [TIME [PACKAGE…]]
# A finding ends up in the package's testdata/fuzz; commit it with the fix, so that `go test` keeps trying it.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-10s}
shift || true

out=$(mktemp)
trap 'rm -f "$out"' EXIT

# `go test -list` prints a package's targets and then "ok PACKAGE TIME".
go test -list '^Fuzz' "${@:-./...}" >"$out"
targets=$(awk '/^Fuzz/ {name[++n] = $1} /^ok/ {for (i = 1; i <= n; i++) print $2, name[i]; n = 0}' "$out")
if [ -z "$targets" ]; then
  echo "no fuzz targets found" >&2
  exit 1
fi

fuzz() {
  go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 1s "$1" </dev/null >"$out" 2>&1
}

# When its time is over, a run sometimes ends with "context deadline exceeded" instead of a pass, with nothing found. That is Go's own
# race, so such a run, and only such a one, is tried again.
out_of_time() {
  grep -q 'context deadline exceeded' "$out" && ! grep -Eq 'Failing input written|panic:|fuzzing process' "$out"
}

failed=()
while read -r package name; do
  if fuzz "$package" "$name" || { out_of_time && fuzz "$package" "$name"; }; then
    printf '%-32s %-28s %s\n' "$package" "$name" "$(grep -o 'execs: [0-9]*' "$out" | tail -n 1)"
  else
    printf '%-32s %-28s FAILED\n' "$package" "$name"
    cat "$out"
    failed+=("$package.$name")
  fi
done <<<"$targets"

if [ "${#failed[@]}" -gt 0 ]; then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
