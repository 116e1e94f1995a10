//! `users hash-key`: an API key, and the hash of it that the configuration holds.

use std::io::{self, Read as _};

use clap::Args;
use serde_json::json;

use super::Failure;
use super::console::Console;
use crate::access::{KeyHash, generate_key};

/// Shorter keys could be guessed from their hashes.
const SHORTEST: usize = 32;

/// The longest key that is read: more is no key.
const LONGEST: u64 = 4096;

#[derive(Debug, Args)]
pub(in crate::server) struct HashKey {
    /// Read a key from the standard input instead of making one
    #[arg(long)]
    stdin: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &HashKey, console: &mut Console<'_>) -> Result<(), Failure> {
    if args.stdin {
        let mut key = String::new();
        let read = io::stdin().lock().take(LONGEST).read_to_string(&mut key);
        read.map_err(|error| Failure::Failed(format!("the key cannot be read: {error}")))?;
        let hash = of(key.trim())?;
        return if args.json { line(console, &json!({ "hash": hash }).to_string()) } else { line(console, &hash) };
    }
    let key = generate_key();
    let hash = KeyHash::of(&key).to_string();
    if args.json {
        return line(console, &json!({ "key": key, "hash": hash }).to_string());
    }
    line(console, &format!("key   {key}\nhash  {hash}"))?;
    console
        .note("The key is for its owner, and kept nowhere. The hash is for the configuration: [users.api_keys.NAME]");
    Ok(())
}

fn of(key: &str) -> Result<String, Failure> {
    if key.len() < SHORTEST || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::Misuse(format!(
            "a key has at least {SHORTEST} letters, digits and signs, and nobody can guess it; without --stdin one is made"
        )));
    }
    Ok(KeyHash::of(key).to_string())
}

fn line(console: &mut Console<'_>, text: &str) -> Result<(), Failure> {
    Ok(writeln!(console.out, "{text}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_can_be_guessed_are_not_hashed() {
        for wrong in ["", "password", &"x".repeat(31), &format!("{} {}", "x".repeat(20), "x".repeat(20))] {
            assert!(matches!(of(wrong), Err(Failure::Misuse(_))), "{wrong}");
        }
        assert!(of(&"x".repeat(32)).is_ok_and(|hash| hash.starts_with("sha256:")));
    }
}
