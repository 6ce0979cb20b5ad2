#!/bin/sh
# Builds the static binary, for the image and for wherever there is no libc, and prints its path.
set -eu
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
folder=${CARGO_TARGET_DIR:-target/static}
# Random numbers come from the system call: an empty root has no /dev/urandom to fall back on.
flags='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"'
# LLD, which links for x86-64, lays functions of the same code together and packs the list of what moves with the
# program: 3 MB.
case $target in
    x86_64-*) flags="$flags -C link-arg=-Wl,--icf=all -C link-arg=-Wl,-z,pack-relative-relocs" ;;
esac
# Naming the target keeps the flags from the build's own tools, which cannot be static.
CARGO_TARGET_DIR=$folder RUSTFLAGS=$flags cargo build --profile image --locked --bin likeness --target "$target" >&2
echo "$folder/$target/image/likeness"
