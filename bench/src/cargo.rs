//! Builds the servers that are Rust programs, so that one command measures what the sources say.

use crate::failure::{Failure, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds one program of a package in release mode and tells where it is.
/// `kind` is `--bin` or `--example`.
///
/// # Errors
/// When cargo fails.
pub fn build(package: &Path, kind: &str, name: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--message-format=json-render-diagnostics", kind, name, "--manifest-path"])
        .arg(package.join("Cargo.toml"))
        .stderr(Stdio::inherit())
        .output()?;
    if !built.status.success() {
        return Err(Failure::said(format!("cargo could not build {name}")));
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    let program = messages.lines().filter_map(|line| executable(line, name)).next_back();
    program.ok_or_else(|| Failure::said(format!("cargo did not tell where {name} is")))
}

fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_ours = message["target"]["name"] == name;
    message["executable"].as_str().filter(|_| is_ours).map(PathBuf::from)
}
