#!/usr/bin/env bash
# Builds the wasm of the browser's SDK from web/wasm into web/static/sdk and notes which sources it is of. It needs Go and node (for brotli).
#
#   web/build.sh          builds
#   web/build.sh --check  builds beside and compares: the committed file is what these sources and this Go version give
set -euo pipefail
cd "$(dirname "$0")/.."
out=web/static/sdk

# What is not on the way of a datagram is built without inlining: it is some 50 KB of brotli less.
cold=(fmt reflect time os strconv net/netip internal/poll internal/fmtsort internal/reflectlite math/big io/fs syscall flag crypto/rand
  runtime/... github.com/klauspost/cpuid/v2 golang.org/x/crypto/... github.com/flynn/noise github.com/pion/...
  crypto/internal/fips140/nistec/... crypto/internal/fips140/edwards25519/... crypto/internal/fips140/drbg)
flags=()
for p in "${cold[@]}"; do flags+=("-gcflags=$p=-l"); done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
GOOS=js GOARCH=wasm GOWASM= GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false "${flags[@]}" -ldflags="-s -w -buildid=" -o "$work/duet.wasm" ./web/wasm

if [ "${1:-}" = --check ]; then
  node -e '
    const fs = require("fs"), zlib = require("zlib");
    if (!zlib.brotliDecompressSync(fs.readFileSync(process.argv[1])).equals(fs.readFileSync(process.argv[2]))) process.exit(1);
  ' "$out/duet.wasm.br" "$work/duet.wasm" || {
    echo "web: $out/duet.wasm.br is not what $(go version) makes of the sources: run web/build.sh" >&2
    exit 1
  }
  cmp -s "$(go env GOROOT)/lib/wasm/wasm_exec.js" "$out/wasm_exec.js" || { echo "web: $out/wasm_exec.js is of another Go version: run web/build.sh" >&2; exit 1; }
  exit 0
fi

node -e '
  const fs = require("fs"), zlib = require("zlib"), c = zlib.constants, b = fs.readFileSync(process.argv[1]);
  fs.writeFileSync(process.argv[2], zlib.brotliCompressSync(b, {
    params: {[c.BROTLI_PARAM_QUALITY]: 11, [c.BROTLI_PARAM_LGWIN]: 24, [c.BROTLI_PARAM_SIZE_HINT]: b.length},
  }));
' "$work/duet.wasm" "$out/duet.wasm.br"
cp "$(go env GOROOT)/lib/wasm/wasm_exec.js" "$out/wasm_exec.js"
chmod 644 "$out/wasm_exec.js"
go test -count=1 -run TestStamp ./web -args -stamp
ls -l "$out/duet.wasm.br"
