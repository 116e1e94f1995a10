#!/usr/bin/env bash
# All tests: Rust, then the real npm clients against the binary, then the page and the React example in a browser.
set -euo pipefail
cd "$(dirname "$0")"
install() { npm --prefix "$1" ci --ignore-scripts --no-audit --no-fund "${@:2}"; }

cargo test --workspace --all-features
cargo build --release
export COPILOTKIT_RUNTIME_BIN="$PWD/target/release/copilotkit-runtime"
cargo build --example conformance_driver --example platform

install tests/client --legacy-peer-deps
npm --prefix tests/client test

export CHROMIUM="${CHROMIUM:-$(command -v chromium || true)}"
if [ -n "$CHROMIUM" ]; then
  install examples/react-chat
  install tests/browser
  npm --prefix tests/browser test
elif [ -n "${REQUIRE_BROWSER:-}" ]; then
  echo "The browser tests are required and there is no Chromium: apt-get install chromium, or set CHROMIUM" >&2
  exit 1
else
  echo "SKIPPED: the browser tests. They need Chromium: apt-get install chromium, or set CHROMIUM to its path" >&2
fi
