#!/usr/bin/env bash
# Installs the Debian packages that are missing on Debian 12 or Ubuntu 24.04.
#   tools/install_dependencies.sh build    what the library and the Python package need
#   tools/install_dependencies.sh test     and what the tests need
#   tools/install_dependencies.sh bench    what the library and the benchmarks need
set -euo pipefail

packages=(
  g++ cmake ninja-build git ca-certificates
  libssl-dev libxxhash-dev libboost-math-dev nlohmann-json3-dev libdlpack-dev
  pkg-config libsentencepiece-dev doctest-dev
  python3-dev python3-venv
)
if [[ "${1:-build}" == test ]]; then
  packages+=(clang clang-tidy libclang-rt-dev llvm)
elif [[ "${1:-build}" == bench ]]; then
  packages+=(libbenchmark-dev)
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [[ "$status" == "install ok installed" ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

echo "installing: ${missing[*]}"
as_root=()
if (($(id -u) != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "neither root nor sudo: install these packages, then run this again: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
