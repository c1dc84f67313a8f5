#!/usr/bin/env bash
# Everything that a change must pass, cheap to dear; `make test` and the server call it. A line for
# each step with the time it took; what a step printed is shown where it fails, and kept in
# build/test-logs/.
set -euo pipefail
cd "$(dirname "$0")/.."
logs=build/test-logs
mkdir -p "$logs"
bin=.venv/bin

step() {
  local name=$1 start=$SECONDS
  shift
  if "$@" >"$logs/$name.log" 2>&1; then
    echo "ok      $name ($((SECONDS - start)) s)"
    # What the test runners counted.
    grep -hE '^(=+ .*(passed|failed).*=+|100% tests passed.*|[0-9]+% tests passed.*)$' \
      "$logs/$name.log" | sed 's/^/        /' || true
  else
    echo "FAILED  $name ($((SECONDS - start)) s)"
    tail -n 200 "$logs/$name.log"
    exit 1
  fi
}

sources() { git ls-files --cached --others --exclude-standard -- "$@" | sort -u; }

# Chained: bash does not end a function at a failure whose outcome is asked for.
format() {
  sources '*.h' '*.cc' | xargs "$bin/clang-format" --dry-run --Werror &&
    "$bin/ruff" format --check bindings tests tools samples bench &&
    "$bin/ruff" check bindings tests tools samples bench
}

# The stubs say what the extension module has, no more and no less.
types() {
  "$bin/mypy" bindings/python/countermark tests/python tests/reference tools bench \
    samples/python &&
    "$bin/python" -m mypy.stubtest --allowlist tests/python/stubtest.allow countermark._core \
      countermark._story
}

preset() {
  cmake --preset "$1" && cmake --build --preset "$1" && ctest --preset "$1" -j "$(nproc)"
}

tidy() {
  sources 'sdk/*.cc' 'samples/*.cc' | grep -v '^samples/readme' |
    xargs -P "$(nproc)" -n 4 clang-tidy -p build/release --quiet
}

step dependencies tools/install_dependencies.sh test
step python-package make python
step developer-tools make .venv/developed
step format format
step types types
step release preset release
if clang-tidy --version | grep -q 'version 14\.'; then
  step clang-tidy tidy
else  # another version has other opinions
  echo "skipped clang-tidy: .clang-tidy is for version 14"
fi
step asan preset asan
step tsan preset tsan
step fuzz preset fuzz
step selftest "$bin/countermark" selftest
step pytest "$bin/python" -m pytest -n "$(nproc)"
echo "all passed"
