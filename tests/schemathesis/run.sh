#!/usr/bin/env bash
# Holds the running binary against openapi.yaml: schemathesis sends what the document allows and what it forbids, and
# wants documented answers, none of them a failure of the server. Needs Python 3.11 and the binary:
#   cargo build --release && tests/schemathesis/run.sh [SECONDS FOR EACH PASS]
# Further arguments go to schemathesis, such as `--seed 7`.
set -euo pipefail
cd "$(dirname "$0")/../.."

here="$PWD/tests/schemathesis"
seconds="${1:-40}"
[ $# -eq 0 ] || shift
runtime="${COPILOTKIT_RUNTIME_BIN:-$PWD/target/release/copilotkit-runtime}"
venv="${CARGO_TARGET_DIR:-$PWD/target}/schemathesis"
[ -x "$runtime" ] || { echo "no binary at $runtime: cargo build --release" >&2; exit 1; }

if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/installed.txt"
fi

work="$(mktemp -d)"
server=
stop() { if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" || true; server=; fi; }
trap 'stop; rm -rf "$work"' EXIT

# pass NAME PATH CONFIGURATION [ARGUMENTS]: a fresh server, and the tool against what it serves at PATH.
pass() {
  local name="$1" path="$2" log="$work/$1.log" url=
  printf '\n-- %s\n' "$name"
  printf '%s\n[runner]\npath = "%s/%s.db"\n' "$3" "$work" "$name" > "$work/$name.toml"
  "$runtime" --config "$work/$name.toml" --bind 127.0.0.1:0 > "$log" 2>&1 &
  server=$!
  for _ in $(seq 300); do
    url="$(sed -n 's/.* listens on \(http[^ ]*\).*/\1/p' "$log" | head -n 1)"
    [ -z "$url" ] && kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  [ -n "$url" ] || { cat "$log" >&2; exit 1; }
  (cd "$work" && SCHEMATHESIS_HOOKS="$here/hooks.py" "$venv/bin/schemathesis" --config-file "$here/schemathesis.toml" \
    run "$here/../../openapi.yaml" --url "$url$path" --max-time "$seconds" --no-color "${@:4}") || { cat "$log" >&2; exit 1; }
  # It survived, and says so.
  stop
  ! grep -i panick "$log" || exit 1
}

memories=$'[runtime]\nexpose_memory_routes = true\n'
pass everybody /api/copilotkit "$memories" --exclude-path / "$@"
pass users /api/copilotkit "$memories"$'[users]\nheader = "x-user"\n' --exclude-path / --header "x-user: alice" "$@"
# Strangers are refused before the method is looked at.
pass strangers /api/copilotkit "$memories"$'[users]\nheader = "x-user"\n' --exclude-path / \
  --exclude-checks unsupported_method "$@"
pass single /single $'[server]\nsingle_route_path = "/single"\n' --include-path / "$@"
