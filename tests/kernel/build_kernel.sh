#!/usr/bin/env bash
# Build the Linux that tests/kernel runs: User Mode Linux with USB, vhci-hcd, cdc-acm, i2c-tiny-usb and i2c-dev.
# Debian or Ubuntu, as root, about ten minutes on two cores; leaves .venv/kernel/linux (5 MB).
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
needed=(gcc make flex bison bc xz-utils)
missing=()
for package in "${needed[@]}"; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
apt-get update -qq
[ "${#missing[@]}" -eq 0 ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
source=$(apt-cache depends linux-source | awk '/Depends: linux-source-/ {print $2; exit}')
apt-get download -qq "$source"
dpkg-deb -x "$source"_*.deb .
tar -xf "usr/src/$source.tar.xz"
cd "$source"
make -s ARCH=um defconfig
scripts/kconfig/merge_config.sh -m .config "$root/tests/kernel/uml.config" >/dev/null
make -s ARCH=um olddefconfig
make -s ARCH=um -j"$(nproc)" linux
mkdir -p "$root/.venv/kernel"
strip -o "$root/.venv/kernel/linux" linux
echo "$root/.venv/kernel/linux"
