#!/usr/bin/env bash
# Times `ckscope flows`, tshark with a Lua Ck dissector, and `wc -l` on the same capture, in turn, and prints medians
# and ratios. Needs tshark and python3. Usage: benches/compare/compare.sh [MESSAGES [ROUNDS]]
set -euo pipefail
cd "$(dirname "$0")/../.."
messages=${1:-1000000}
rounds=${2:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo build --release --quiet
ckscope=$PWD/target/release/ckscope
for connections in 64 100000; do
  "$ckscope" lab --write "$work/$connections.pcapng" --messages "$messages" --connections "$connections" >/dev/null
done

exec python3 benches/compare/measure.py "$ckscope" "$work" "$messages" "$rounds"
