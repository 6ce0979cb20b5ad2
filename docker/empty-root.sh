#!/bin/sh
# Shows without Docker what the image promises: the binary, built as in the Dockerfile, serves from a root that holds
# nothing else, not even /dev, as a user without rights. Needs root (for chroot) and python3.
set -eu
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
folder=${CARGO_TARGET_DIR:-target/static}
CARGO_TARGET_DIR=$folder RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
  cargo build --release --locked --target "$target"

root=$(mktemp -d)
mkdir "$root/data"
cp "$folder/$target/release/likeness" "$root/likeness"
chown -R 65532:65532 "$root"
trap 'find "$root" -type f; rm -rf "$root"' EXIT
tests/walk.py -- env -i LIKENESS_LOG=warn LIKENESS_DATA_DIR=/data LIKENESS_LISTEN=127.0.0.1:0 \
  "$(command -v chroot)" --userspec=65532:65532 "$root" /likeness
