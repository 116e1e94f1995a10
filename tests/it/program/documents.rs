//! What the documents show of the program, the program understands.

use std::path::PathBuf;

use super::place::Place;
use crate::docs::{pages, shown};

/// As long as a secret has to be.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What `next.pem` holds, which a document speaks of.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAQSPcKvNoljPFSySoDURyQinFK3h/+fp0bx6iA8+42/w=\n-----END PUBLIC KEY-----\n";

/// Configurations, each with its page.
fn configurations() -> Vec<(PathBuf, String)> {
    let all =
        pages().into_iter().flat_map(|page| shown(&page, "toml").into_iter().map(move |text| (page.clone(), text)));
    // The other kind of file in that language is a `Cargo.toml`, and not every program can send spans.
    let is_for_us =
        |text: &str| !text.contains("[dependencies]") && (cfg!(feature = "otlp") || !text.contains("[otlp]"));
    let configurations: Vec<_> = all.filter(|(_, text)| is_for_us(text)).collect();
    assert!(configurations.len() >= 10, "{configurations:#?}");
    configurations
}

#[test]
fn configurations_in_documents_are_accepted() {
    let mut refused = Vec::new();
    for (page, text) in configurations() {
        let place = Place::new();
        place.write("copilotkit.toml", &text);
        place.write("next.pem", PUBLIC_KEY);
        let mut check = place.command(&["check"]);
        check.envs(text.split("${").skip(1).filter_map(|rest| Some((rest.split_once('}')?.0, SECRET))));
        // Snippets show one table; what it needs besides is said outside.
        if text.contains("[intelligence") {
            check.env("COPILOTKIT_INTELLIGENCE_API_KEY", "cpk-1");
        }
        if !text.contains("[users") && (text.contains("[intelligence") || text.contains(".allow]")) {
            check.env("COPILOTKIT_USER_HEADER", "x-user");
        }
        let output = check.output().expect("the program runs");
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            refused.push(format!("{}:\n{text}{why}", page.display()));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n\n"));
}

#[test]
fn commands_in_documents_are_understood() {
    let place = Place::new();
    let mut count = 0;
    for page in pages() {
        for line in shown(&page, "sh").join("\n").replace("\\\n", " ").lines() {
            let Some((before, arguments)) = line.split_once("copilotkit-runtime ") else { continue };
            let is_command = before.split_whitespace().all(|word| word.contains('='));
            if !is_command || before.starts_with('#') {
                continue;
            }
            count += 1;
            let arguments = arguments.split('#').next().unwrap_or_default().split_whitespace();
            // Which is read after all others, and answered if they are understood.
            let arguments: Vec<&str> = arguments.chain(["--help"]).collect();
            let (code, said) = place.refused(&arguments);
            assert_eq!(code, Some(0), "{}: {line}\n{said}", page.display());
        }
    }
    assert!(count >= 20, "{count}");
}
