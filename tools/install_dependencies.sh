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
optional=()
if [[ "${1:-build}" == test ]]; then
  packages+=(clang clang-tidy libclang-rt-dev llvm)
  optional+=(chromium)  # looks at the pages; Ubuntu has it as a snap alone, and the tests skip
elif [[ "${1:-build}" == bench ]]; then
  packages+=(libbenchmark-dev)
fi

is_missing() {
  [[ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" != "install ok installed" ]]
}
can_be_had() { [[ "$(LC_ALL=C apt-cache policy "$1" 2>/dev/null)" == *"Candidate: "[^\(]* ]]; }
knows_packages() { compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null; }

missing=()
for package in "${packages[@]}"; do
  if is_missing "$package"; then missing+=("$package"); fi
done
extra=()
for package in "${optional[@]}"; do
  if is_missing "$package" && { can_be_had "$package" || ! knows_packages; }; then
    extra+=("$package")
  fi
done
((${#missing[@]} + ${#extra[@]})) || exit 0

as_root=()
if (($(id -u) != 0)); then
  if ! command -v sudo >/dev/null; then
    ((${#missing[@]})) || exit 0
    echo "neither root nor sudo: install these packages, then run this again: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
for package in "${extra[@]}"; do
  if can_be_had "$package"; then missing+=("$package"); fi
done
((${#missing[@]})) || exit 0
echo "installing: ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
