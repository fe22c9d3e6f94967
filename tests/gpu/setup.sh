#!/usr/bin/env bash
# Installs the compiler of kernels, NVRTC, which needs no GPU: setup.sh FOLDER. Its libraries are in
# FOLDER/libraries then.
set -euo pipefail
folder=${1:?usage: setup.sh FOLDER}
[ -e "$folder/libraries/libnvrtc.so.13" ] && exit
python3 -m venv "$folder"
"$folder/bin/pip" install -q 'nvidia-cuda-nvrtc==13.*'
found=$(find "$(realpath "$folder")" -name libnvrtc.so.13)
ln -sfn "$(dirname "$found")" "$folder/libraries"
