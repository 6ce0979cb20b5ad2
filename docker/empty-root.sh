#!/bin/sh
# Shows without Docker what the image promises: the static binary serves from a root that holds nothing else, not even
# /dev, as a user without rights, and is no larger than said. Needs root (for chroot) and python3.
set -eu
cd "$(dirname "$0")/.."

binary=$(docker/static.sh)
size=$(wc -c < "$binary")
echo "$size bytes"
[ "$size" -le 45000000 ]

root=$(mktemp -d)
mkdir "$root/data"
cp "$binary" "$root/likeness"
chown -R 65532:65532 "$root"
trap 'find "$root" -type f; rm -rf "$root"' EXIT
tools/walk.py --data-dir "$root/data" -- env -i LIKENESS_LOG=warn LIKENESS_DATA_DIR=/data LIKENESS_LISTEN=127.0.0.1:0 \
  "$(command -v chroot)" --userspec=65532:65532 "$root" /likeness
