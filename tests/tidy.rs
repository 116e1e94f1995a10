//! Keeps the map of the house true: rooms look down only, and some libraries have one room.

use std::fs;
use std::path::{Path, PathBuf};

/// A room and the rooms it may name.
const ROOMS: &[(&str, &[&str])] = &[
    ("agui", &[]),
    // Counters that others touch; what they mean, those know.
    ("meter", &[]),
    // W3C Trace Context, and the spans it continues.
    ("trace", &[]),
    ("agent", &["agui", "trace"]),
    ("transcription", &[]),
    ("phoenix", &[]),
    ("intelligence", &[]),
    ("runner", &["agui", "agent", "intelligence", "meter", "phoenix"]),
    ("runtime", &["agui", "agent", "intelligence", "meter", "runner", "transcription"]),
    // Makes users of what requests show; it sees their heads alone.
    ("access", &["runtime"]),
    ("http", &["agui", "agent", "intelligence", "runner", "runtime", "trace", "transcription"]),
];

/// A name and the only paths under `src/` where it may stand.
const HOMES: &[(&str, &[&str])] = &[
    ("axum::", &["server"]),
    (
        "reqwest::",
        &[
            "access/jwt/fetch",
            "agent/http",
            "agent/mcp/server",
            "agent/mcp/session",
            "intelligence",
            "phoenix/socket",
            "server/commands/status",
            "transcription",
        ],
    ),
    ("tokio_tungstenite::", &["phoenix/socket"]),
    ("env::var", &["server"]),
    ("clap::", &["server"]),
    ("indicatif::", &["server"]),
    ("rusqlite::", &["runner/sqlite"]),
    ("thread_priority::", &["runner/sqlite/patience"]),
    // Whose thread it is, a `Caller` tells: transport cannot make one up.
    ("ThreadKey", &["runner", "runtime", "server"]),
    ("Owner::", &["runner", "runtime/users", "server"]),
    ("sha2::", &["runner/sqlite"]),
    ("opentelemetry", &["server/otlp", "trace"]),
    // What is counted is counted without it: it only writes down what was counted.
    ("prometheus_client::", &["runtime/metrics"]),
    ("jsonwebtoken::", &["access/jwt"]),
    // Hashes and compares keys, and looks at public ones before a token comes.
    ("aws_lc_rs::", &["access"]),
];

/// Paths without clock, chance or async runtime.
const PURE: &[&str] = &[
    "access/cross_site",
    "access/jwt/claims",
    "access/jwt/jwks",
    "access/jwt/refresh.rs",
    "access/jwt/token",
    "access/presented",
    "agent/mcp/toolbox",
    "agent/mcp/turns",
    "agui/",
    "intelligence/entitlements/schema",
    "intelligence/inspector/learning",
    "intelligence/inspector/metadata",
    "intelligence/urls",
    "phoenix/client",
    "phoenix/frame",
    "runner/intelligence/delivery",
];
const IMPURE: &[&str] = &["tokio::", "Instant::now", "SystemTime::now", "Uuid::new_v4"];

#[test]
fn the_house_follows_its_map() {
    let mut broken = Vec::new();
    for file in rust_files(Path::new("src")) {
        let path = file.strip_prefix("src").unwrap().to_string_lossy().replace('\\', "/");
        let room = path.split(['/', '.']).next().unwrap();
        let below = ROOMS.iter().find(|(name, _)| *name == room).map(|(_, below)| *below);
        let pure = PURE.iter().any(|at| path.starts_with(at));
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap();
            let mut say = |why: &str| broken.push(format!("src/{path}:{}: {why}: {}", number + 1, line.trim()));
            for (at, _) in code.match_indices("crate::") {
                let rest = &code[at + "crate::".len()..];
                let named = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                if named.is_empty() && below.is_some() {
                    say("write one `use crate::room` per line");
                }
                let is_room = ROOMS.iter().any(|(name, _)| *name == named);
                if is_room && named != room && below.is_some_and(|below| !below.contains(&named)) {
                    say("looks up");
                }
            }
            for (name, homes) in HOMES {
                if code.contains(name) && !homes.iter().any(|home| path.starts_with(home)) {
                    say("is not at home here");
                }
            }
            if pure && IMPURE.iter().any(|name| code.contains(name)) {
                say("must be pure");
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn unsafe_code_is_forbidden_in_every_crate_of_ours() {
    // By `forbid`, which no `allow` below it can lift. Libraries, programs, tests and examples of a package share its lints.
    for manifest in ["Cargo.toml", "bench/Cargo.toml"] {
        let text = fs::read_to_string(manifest).unwrap();
        assert!(text.contains("[lints.rust]\nunsafe_code = \"forbid\"\n"), "{manifest}");
    }
    // A fuzz target is one line, a macro that has to be unsafe; what it calls is not.
    assert!(fs::read_to_string("fuzz/src/lib.rs").unwrap().contains("#![forbid(unsafe_code)]"));
    for target in rust_files(Path::new("fuzz/fuzz_targets")) {
        let text = fs::read_to_string(&target).unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with("//!")).collect();
        assert!(
            matches!(code[..], ["#![no_main]", call] if call.starts_with("libfuzzer_sys::fuzz_target!(")),
            "{target:?}"
        );
    }
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
