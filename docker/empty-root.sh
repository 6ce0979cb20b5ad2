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
env -i LIKENESS_DATA_DIR=/data LIKENESS_LISTEN=127.0.0.1:8095 \
  "$(command -v chroot)" --userspec=65532:65532 "$root" /likeness > "$root.out" 2> "$root.log" &
service=$!
trap 'kill $service; wait $service || true; rm -rf "$root" "$root.out" "$root.log"' EXIT
until grep -q ready "$root.out"; do
  kill -0 $service || { cat "$root.log" >&2; exit 1; }
  sleep 0.2
done
find "$root" -type f
tests/walk.py --url http://127.0.0.1:8095 --pid $service
