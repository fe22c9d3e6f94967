#!/usr/bin/env bash
# Times d2l, PyTorch, candle and burn in turn, at 1 and 2 threads, and prints their microseconds
# and how many times d2l's they are: above 1, d2l is faster; "-" where a library lacks the means.
#
#   d2l-lib/benches/compare.sh [PART OF A NAME]
#
# The least of ROUNDS rounds (3) counts. THREADS="1 2" and PEERS="torch candle burn" leave some out.
# Everything is made below target/: torch with PyTorch from PyPI (5 GB, for its package brings
# CUDA), unless PYTHON has it; peers with the other two, compiled for this processor.
set -euo pipefail
cd "$(dirname "$0")/../.."
benches=d2l-lib/benches
peers=${PEERS:-torch candle burn}
python=${PYTHON:-target/torch/bin/python}
part=${1:-}

if [[ $peers = *torch* ]] && ! "$python" -c 'import torch' 2>/dev/null; then
    if [ -n "${PYTHON:-}" ]; then
        echo "$PYTHON has no PyTorch" >&2
        exit 1
    fi
    python3 -m venv target/torch
    "$python" -m pip install -q torch==2.15.0 numpy
fi
# d2l and its dependencies are optimised in the dev profile too.
cargo build -q -p d2l --example bench
if [[ $peers = *candle* || $peers = *burn* ]]; then
    RUSTFLAGS="-C target-cpu=native" cargo build -q --release --locked \
        --manifest-path $benches/peers/Cargo.toml --target-dir target/peers
fi

# LIBRARY THREADS
rows() {
    case $1 in
    d2l) D2L_NUM_THREADS=$2 target/debug/examples/bench "$part" ;;
    torch) "$python" $benches/torch_bench.py "$2" "$part" ;;
    *) RAYON_NUM_THREADS=$2 target/peers/release/"$1"_rows "$part" ;;
    esac
}

times=$(mktemp -d)
trap 'rm -rf "$times"' EXIT
for threads in ${THREADS:-1 2}; do
    rm -f "$times"/*
    for _ in $(seq "${ROUNDS:-3}"); do
        for library in d2l $peers; do
            rows "$library" "$threads" >>"$times/$library"
        done
    done
    (cd "$times" && awk -F '\t' -v threads="$threads" -v peers="$peers" '
        function short(x) { return sprintf(x < 10 ? "%.2f" : "%.0f", x) }
        function line(cells) { print "|" cells }
        function mean(what, models,    row, p, i, m, logs) {
            row = " " what " | |"
            for (p = 1; p <= count; p++) row = row " |"
            for (p = 1; p <= count; p++) {
                m = logs = 0
                for (i = 1; i <= n; i++)
                    if ((peer[p], name[i]) in best && (!models || is_model(name[i]))) {
                        logs += log(best[peer[p], name[i]] / best["d2l", name[i]]); m++
                    }
                row = row (m ? sprintf(" %.2f of %d |", exp(logs / m), m) : " - |")
            }
            line(row)
        }
        function is_model(name) { return name ~ /step|epochs/ && name !~ /^(conv|attention)/ }
        FILENAME == "d2l" && !(("d2l", $1) in best) { name[++n] = $1 }
        !((FILENAME, $1) in best) || $2 < best[FILENAME, $1] { best[FILENAME, $1] = $2 }
        END {
            count = split(peers, peer, " ")
            row = " " threads " thread" (threads == 1 ? "" : "s") ", us | d2l |"; rule = "---|---|"
            for (p = 1; p <= count; p++) { row = row " " peer[p] " |"; rule = rule "---|---|" }
            for (p = 1; p <= count; p++) row = row " " peer[p] " / d2l |"
            print ""; line(row); line(rule)
            for (i = 1; i <= n; i++) {
                ours = best["d2l", name[i]]
                row = " " name[i] " | " short(ours) " |"; ratios = ""
                for (p = 1; p <= count; p++)
                    if ((peer[p], name[i]) in best) {
                        other = best[peer[p], name[i]]
                        row = row " " short(other) " |"; ratios = ratios sprintf(" %.2f |", other / ours)
                    } else { row = row " - |"; ratios = ratios " - |" }
                line(row ratios)
            }
            mean("geometric mean of all", 0); mean("of the models", 1)
        }' d2l $peers)
done
