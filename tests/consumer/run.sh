#!/usr/bin/env bash
# Installs the library as a stranger would, static and shared, builds tests/consumer against each,
# runs it, and looks at what the shared library exports.
#   tests/consumer/run.sh [build folder]
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
if [[ $# -gt 0 ]]; then
  work="$1"
  mkdir -p "$work"
else
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
fi

for kind in static shared; do
  shared=$([[ $kind == shared ]] && echo ON || echo OFF)
  prefix="$work/$kind/prefix"
  rm -rf "$prefix" "$work/$kind/consumer"
  cmake -S "$root" -B "$work/$kind/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=$shared \
    -DCOUNTERMARK_TESTS=OFF -DCOUNTERMARK_SAMPLES=OFF -DCOUNTERMARK_PYTHON=OFF \
    -DCOUNTERMARK_FUZZ=OFF >/dev/null
  cmake --build "$work/$kind/build" --parallel 2 >/dev/null
  cmake --install "$work/$kind/build" --prefix "$prefix" >/dev/null
  cmake -S "$here" -B "$work/$kind/consumer" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
  cmake --build "$work/$kind/consumer" >/dev/null
  echo "$kind: $("$work/$kind/consumer/consumer")"
done

# Only countermark's own names leave. Weak instantiations of the standard library's templates may,
# as every C++ library has them; xxHash, OpenSSL's and nlohmann's must not.
library="$(find "$work/shared/prefix" -name 'libcountermark.so' | head -1)"
exported="$(nm -D --defined-only --demangle "$library")"
ours="$(grep -c ' countermark::' <<<"$exported" || true)"
strange="$(grep -vE ' (countermark::|(vtable|typeinfo|typeinfo name|VTT|guard variable) for countermark::)' \
  <<<"$exported" | grep -vE '^[0-9a-f]* [VWu] .*\bstd::' || true)"
if [[ -n "$strange" ]]; then
  echo "the shared library exports what is not countermark's:"
  echo "$strange"
  exit 1
fi
if grep -qE 'XXH|nlohmann' <<<"$exported"; then
  echo "the shared library exports symbols of what it is built from:"
  grep -E 'XXH|nlohmann' <<<"$exported"
  exit 1
fi
(( ours > 40 )) || { echo "only $ours symbols of countermark are exported"; exit 1; }
echo "exports: $ours symbols of countermark, nothing strange"
