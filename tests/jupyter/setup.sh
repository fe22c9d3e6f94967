#!/usr/bin/env bash
# Makes a virtual environment with the Jupyter that the tests here use: setup.sh FOLDER.
set -euo pipefail
folder=${1:?usage: setup.sh FOLDER}
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check \
  jupyterlab==4.5.0 jupyter_client==8.6.3 nbformat==5.10.4 selenium==4.38.0 \
  jupyter_kernel_test==0.7.0 jupyter-console==6.6.3 ipykernel==7.1.0
