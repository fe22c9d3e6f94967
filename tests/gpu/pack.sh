#!/usr/bin/env bash
# Packs tests and measurements for a machine with a GPU and without Rust: FILE (at most 64 MB)
# unpacks to a folder in which `python3 report.py` runs them and writes report.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-target/gpu.tar.xz}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tests=(cuda tensors layouts gradients torch networks training)
cargo test --locked -p d2l --no-run --message-format=json "${tests[@]/#/--test=}" |
  python3 -c '
import json, shutil, sys
for line in sys.stdin:
    made = json.loads(line)
    if made.get("executable") and made["target"]["kind"] == ["test"]:
        shutil.copy(made["executable"], sys.argv[1] + "/test-" + made["target"]["name"])
' "$folder"
cargo build --locked -p d2l --example gpu
cp target/debug/examples/gpu "$folder/measure"
cp tests/gpu/report.py d2l-lib/benches/torch_models.py "$folder"
strip "$folder"/test-* "$folder/measure"
tar -C "$folder" -cJf "$out" .
test "$(stat -c %s "$out")" -le $((64 << 20))
du -h "$out"
