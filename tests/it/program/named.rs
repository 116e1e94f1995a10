//! What the documents name of the program, it has: settings, flags, variables.

use std::collections::BTreeSet;
use std::fs;

use super::place::Place;
use crate::docs::{code, pages, prose};

/// Made from the code, and held against it by a test of its own.
const REFERENCE: &str = "docs/configuration.md";

/// Whose tables begin with what the Node runtime has.
const MIGRATION: &str = "docs/migration.md";

/// Flags of other programs that the documents speak of.
const FLAGS_OF_OTHERS: &[&str] = &["--legacy-peer-deps", "--seed"];

/// Variables beside those of the program: of the Node runtime, which are not read, and of the tests and examples.
const VARIABLES_OF_OTHERS: &[&str] = &["COPILOTKIT_LICENSE_TOKEN", "COPILOTKIT_RUNTIME", "COPILOTKIT_RUNTIME_BIN"];

/// What is in the configuration: `[table]` and `table.key`.
fn settings() -> BTreeSet<String> {
    let mut settings = BTreeSet::new();
    let mut table = String::new();
    for line in fs::read_to_string(REFERENCE).expect("the reference").lines() {
        if let Some(name) = line.strip_prefix("### `[").and_then(|rest| rest.strip_suffix("]`")) {
            name.clone_into(&mut table);
            settings.insert(format!("[{name}]"));
        } else if let Some(key) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next())
            && !table.is_empty()
        {
            settings.insert(format!("{table}.{key}"));
        }
    }
    assert!(settings.len() >= 100, "{settings:?}");
    settings
}

/// The pages for people who use the program. Those of the tests speak of other things too.
fn book() -> impl Iterator<Item = (String, String)> {
    let names = pages().into_iter().filter_map(|page| Some(page.strip_prefix(".").ok()?.to_str()?.to_owned()));
    let is_for_users = |name: &String| !["tests/", "bench/", "fuzz/"].iter().any(|folder| name.starts_with(folder));
    names.filter(is_for_users).map(|name| {
        let text = fs::read_to_string(&name).expect("a page");
        (name, text)
    })
}

/// Every code in prose, with the page it is on.
fn codes() -> Vec<(String, String)> {
    let of_page = |(name, text): (String, String)| {
        let mut text = prose(&text);
        if name == MIGRATION {
            // What stands first in a row is an option of the Node runtime.
            text =
                text.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).map(|row| row.1).collect();
        }
        code(&text).into_iter().map(move |code| (name.clone(), code)).collect::<Vec<_>>()
    };
    book().flat_map(of_page).collect()
}

/// A setting, if that is what a code is: with its value or without.
fn setting<'c>(code: &'c str, settings: &BTreeSet<String>) -> Option<&'c str> {
    let named = code.split(" = ").next()?;
    if named.starts_with('[') {
        let is_table = |c: char| c.is_ascii_alphanumeric() || matches!(c, '[' | ']' | '.' | '_');
        return (named.ends_with(']') && named.len() > 2 && named.chars().all(is_table)).then_some(named);
    }
    let (table, key) = named.split_once('.')?;
    let is_key = key.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '.' | '_'));
    let is_file = ["md", "rs", "yaml", "toml", "sh"].iter().any(|extension| key.ends_with(extension));
    let is_ours = settings.contains(&format!("[{table}]")) || table == "agents";
    (is_key && !is_file && is_ours).then_some(named)
}

#[test]
fn settings_in_documents_exist() {
    let settings = settings();
    let codes = codes();
    let named: Vec<_> = codes.iter().filter_map(|(page, code)| Some((page, setting(code, &settings)?))).collect();
    assert!(named.len() >= 50, "{named:?}");
    let wrong = named.iter().filter(|(_, name)| !settings.contains(*name) && !settings.contains(&format!("[{name}]")));
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every flag of every command.
fn flags() -> BTreeSet<String> {
    let place = Place::new();
    let mut flags = BTreeSet::new();
    let mut commands = vec![String::new()];
    while let Some(command) = commands.pop() {
        let help = place.said(&command.split_whitespace().chain(["--help"]).collect::<Vec<_>>());
        let words = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        flags.extend(words.filter(|word| word.starts_with("--")).map(str::to_owned));
        let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
        let listed = listed.lines().take_while(|line| !line.is_empty());
        let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        commands
            .extend(names.filter(|name| !name.is_empty() && *name != "help").map(|name| format!("{command} {name}")));
    }
    assert!(flags.len() >= 30, "{flags:?}");
    flags
}

#[test]
fn flags_in_documents_exist() {
    let flags = flags();
    let mut wrong = Vec::new();
    for (page, code) in codes() {
        // In a command of another program it is that program's.
        let words: Vec<&str> = code.split_whitespace().collect();
        let is_ours = words.first().is_some_and(|word| word.starts_with("--") || *word == "copilotkit-runtime");
        let named = words.into_iter().filter(|word| word.starts_with("--"));
        for flag in named.filter_map(|word| word.split('=').next()) {
            if is_ours && !flags.contains(flag) && !FLAGS_OF_OTHERS.contains(&flag) {
                wrong.push(format!("{page}: {flag}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn variables_in_documents_exist() {
    let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
    let reference = fs::read_to_string(REFERENCE).expect("the reference");
    let mut wrong = Vec::new();
    for (page, text) in book() {
        let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("COPILOTKIT_"));
        for word in words.filter(|word| !VARIABLES_OF_OTHERS.contains(word)) {
            if !reference.contains(&format!("`{word}`")) {
                wrong.push(format!("{page}: {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
