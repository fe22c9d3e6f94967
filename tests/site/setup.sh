#!/usr/bin/env bash
# Fetches the accessibility checker that the walk through the site uses: setup.sh FOLDER.
set -euo pipefail
folder=${1:?usage: setup.sh FOLDER}
mkdir -p "$folder"
npm install --silent --no-audit --no-fund --prefix "$folder" axe-core@4.11.0
