#!/usr/bin/env bash
# Times d2l and PyTorch in turn, at 1 and 2 threads, and prints both and their ratio.
#
#   PYTHON=/path/to/venv/bin/python d2l-lib/benches/compare.sh [PART OF A NAME]
#
# PYTHON must have PyTorch (pip install torch). The least of ROUNDS rounds counts.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
rounds=${ROUNDS:-3}
# d2l and its dependencies are optimised in the dev profile too.
cargo build -q -p d2l --example bench
times=$(mktemp -d)
trap 'rm -rf "$times"' EXIT
for threads in ${THREADS:-1 2}; do
    for _ in $(seq "$rounds"); do
        D2L_NUM_THREADS=$threads target/debug/examples/bench "${1:-}" >>"$times/ours"
        "$python" d2l-lib/benches/torch_bench.py "$threads" "${1:-}" >>"$times/torch"
    done
    printf '\n| %s thread(s) | d2l, us | PyTorch, us | PyTorch / d2l |\n|---|---|---|---|\n' "$threads"
    awk -F '\t' '
        NR == FNR { if (!($1 in ours)) name[++n] = $1; if (!($1 in ours) || $2 < ours[$1]) ours[$1] = $2; next }
        { if (!($1 in torch) || $2 < torch[$1]) torch[$1] = $2 }
        END { for (i = 1; i <= n; i++) { k = name[i]; if (k in torch) { r = torch[k] / ours[k]; logs += log(r); m++
              printf "| %s | %.2f | %.2f | %.2f |\n", k, ours[k], torch[k], r } }
              if (m) printf "| geometric mean | | | %.2f |\n", exp(logs / m) }' "$times/ours" "$times/torch"
    : >"$times/ours"; : >"$times/torch"
done
