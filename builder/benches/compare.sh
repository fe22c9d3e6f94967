#!/usr/bin/env bash
# Builds one large book with d2l, mdBook and Jupyter Book in turn, and prints processor and clock seconds:
# from nothing, then after an edit of one sentence.
#
#   MDBOOK=mdbook JUPYTER_BOOK=jupyter-book builder/benches/compare.sh
#
# mdBook: cargo install mdbook. Jupyter Book: pip install "jupyter-book<2". What is missing is left out.
# Cells: d2l runs the 1,260 cells once before the clock starts, and then has their outputs at hand; the
# others show code without running it. mdBook leaves formulas to the reader's browser and has no references.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
book=$(mktemp -d)
trap 'rm -rf "$book"' EXIT
cargo build -q --bin d2l --example render
"$root/target/debug/examples/render" "$book"
TIMEFORMAT='%U %S %R'

# measure NAME COMMAND…
measure() {
    local name=$1 seconds
    shift
    seconds=$({ time "$@" >"$book/log" 2>&1 || { tail -5 "$book/log" >&2; exit 1; }; } 2>&1)
    awk -v name="$name" '{ printf "| %s | %.2f | %.2f |\n", name, $1 + $2, $3 }' <<<"$seconds"
}
edit() { sed -i "0,/be \*a vector\*/s//be *a vector* again/" "$1/c7/s3.md"; }

printf '| | processor s | clock s |\n|---|---|---|\n'
cd "$book/d2l"
d2l="$root/target/debug/d2l"
"$d2l" build --no-pdf >"$book/log" 2>&1
rm -rf _build/html _build/notebooks
measure "d2l, site and notebooks" "$d2l" build --no-pdf
edit book
measure "d2l, after an edit" "$d2l" build --no-pdf
measure "d2l check" "$d2l" check
sed -i '0,/Tensor::zeros/s//Tensor::ones/' book/c7/s3.md
measure "d2l check, after an edit" "$d2l" check
if command -v "${MDBOOK:-mdbook}" >/dev/null; then
    measure "mdBook" "${MDBOOK:-mdbook}" build "$book/mdbook"
    edit "$book/mdbook/src"
    measure "mdBook, after an edit" "${MDBOOK:-mdbook}" build "$book/mdbook"
fi
if command -v "${JUPYTER_BOOK:-jupyter-book}" >/dev/null; then
    measure "Jupyter Book" "${JUPYTER_BOOK:-jupyter-book}" build "$book/jupyter"
    edit "$book/jupyter"
    measure "Jupyter Book, after an edit" "${JUPYTER_BOOK:-jupyter-book}" build "$book/jupyter"
fi
