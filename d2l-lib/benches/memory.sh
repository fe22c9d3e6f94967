#!/usr/bin/env bash
# The memory that a training step needs for each further 128 examples, in d2l and in PyTorch: the
# peak with 1280 examples less that with 256, divided by 8. So what each program needs anyway does
# not count.
#
#   PYTHON=/path/to/venv/bin/python d2l-lib/benches/memory.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build -q -p d2l --example memory
printf '| model | d2l, MB | PyTorch, MB |\n|---|---|---|\n'
each() { # COMMAND…: megabytes for each further 128 examples
    local few many
    few=$("$@" 256)
    many=$("$@" 1280)
    awk -v a="$few" -v b="$many" 'BEGIN { printf "%.1f", (b - a) / 8 / 1024 }'
}
for model in lenet transformer; do
    ours=$(each target/debug/examples/memory "$model")
    torch=$(each "${PYTHON:-python3}" d2l-lib/benches/torch_memory.py "$model")
    printf '| %s | %s | %s |\n' "$model" "$ours" "$torch"
done
