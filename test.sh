#!/usr/bin/env bash
# All tests: Rust, then the real npm clients against the binary.
set -euo pipefail
cd "$(dirname "$0")"
cargo test --workspace --all-features
cargo build --release
npm --prefix tests/client ci --legacy-peer-deps --ignore-scripts --no-audit --no-fund
COPILOTKIT_RUNTIME_BIN="$PWD/target/release/copilotkit-runtime" npm --prefix tests/client test
