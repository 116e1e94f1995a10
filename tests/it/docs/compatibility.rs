//! `docs/compatibility.md` says what the tests say: with which clients they ran, what was recorded, and what differs.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use crate::captures::intended as rest;
use crate::intelligence::transcripts::intended as platform;
use crate::page;

const PAGE: &str = "docs/compatibility.md";

/// Where clients are installed, and what is done with them there.
const CLIENTS: &[(&str, &str)] = &[
    ("tests/client", "drives the binary in [tests/client](../tests/client/README.md)"),
    ("page", "is the page of the binary; driven in Chromium"),
    ("examples/react-chat", "is the [React example](../examples/react-chat/README.md); driven in Chromium"),
];

#[test]
fn the_clients_tried_are_those_of_the_tests() {
    let mut made = "| client | version | |\n|---|---|---|\n".to_owned();
    for (folder, use_of_it) in CLIENTS {
        let package = read(&format!("{folder}/package.json"));
        for (name, version) in package["dependencies"].as_object().unwrap() {
            // An alias is `npm:NAME@VERSION`.
            let wanted = version.as_str().unwrap();
            let (name, version) =
                wanted.strip_prefix("npm:").and_then(|alias| alias.rsplit_once('@')).unwrap_or((name, wanted));
            if name.starts_with("@copilotkit/") || name.starts_with("@ag-ui/") {
                writeln!(made, "| `{name}` | {version} | {use_of_it} |").unwrap();
            }
        }
    }
    page::expect(PAGE, "clients", &made);
}

#[test]
fn the_chapters_are_those_recorded() {
    let mut files: Vec<_> =
        fs::read_dir("tests/captures/rest-sse").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let reasons = rest::reasons();
    let mut made = "| chapter | recorded | of these answered otherwise, on purpose |\n|---|---:|---:|\n".to_owned();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let chapter = file.file_stem().unwrap().to_str().unwrap();
        let cases = read(file.to_str().unwrap());
        // What the recorded agents say is no chapter.
        let Some(cases) = cases.as_array().filter(|cases| cases.iter().all(|case| case["exchanges"].is_array())) else {
            continue;
        };
        let otherwise =
            |case: &&Value| reasons.iter().any(|(_, names)| names.iter().any(|name| case["name"] == **name));
        writeln!(made, "| {chapter} | {} | {} |", cases.len(), cases.iter().filter(otherwise).count()).unwrap();
    }
    let transcripts = fs::read_dir("tests/captures/intelligence").unwrap().map(|entry| entry.unwrap().path());
    let count = transcripts.filter(|file| file.extension().is_some_and(|extension| extension == "json")).count();
    writeln!(made, "| Intelligence mode | {count} | |").unwrap();
    page::expect(PAGE, "chapters", &made);
}

#[test]
fn the_differences_are_those_intended() {
    let mut made = "| what this runtime does | recorded cases it changes |\n|---|---|\n".to_owned();
    for (because, names) in rest::reasons() {
        // The number of a row in the contract says nothing to readers of the page.
        let because =
            because.strip_prefix("row ").and_then(|rest| rest.split_once(": ")).map_or(because, |(_, why)| why);
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let names = if names.is_empty() { "wherever it can be seen".to_owned() } else { names.join(", ") };
        writeln!(made, "| {because} | {names} |").unwrap();
    }
    for because in platform::reasons() {
        writeln!(made, "| {because} | Intelligence mode, wherever it can be seen |").unwrap();
    }
    page::expect(PAGE, "differences", &made);
}

fn read(path: &str) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}
