//! What the documents beside the code say of the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The codes of `RUN_ERROR` events that `docs/error-codes.md` lists.
pub(crate) fn listed_codes() -> BTreeSet<String> {
    let page = fs::read_to_string("docs/error-codes.md").unwrap();
    let codes = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    codes.filter(|code| is_code(code)).map(str::to_owned).collect()
}

#[test]
fn error_codes_are_those_of_the_source() {
    let mut in_source = BTreeSet::new();
    for file in files(Path::new("src"), "rs") {
        let source = fs::read_to_string(&file).unwrap();
        let constants = source.lines().filter_map(|line| line.split_once(": &str = \"")?.1.strip_suffix("\";"));
        in_source.extend(constants.filter(|text| is_code(text)).map(str::to_owned));
    }
    assert!(in_source.len() >= 10, "{in_source:?}");
    assert_eq!(listed_codes(), in_source);
}

#[test]
fn error_codes_are_those_of_the_api() {
    use copilotkit_runtime::runner::codes::{
        AGENT_PANICKED, INCOMPLETE_STREAM, QUEUE_FULL, QUEUE_TIMEOUT, RUN_INTERRUPTED, RUN_TOO_LARGE, RUN_TOO_LONG,
        RUNNER_FAILED, RUNTIME_SHUTDOWN, STORE_FAILED, THREAD_BUSY, THREAD_DELETED,
    };
    let of_runner = [
        AGENT_PANICKED,
        INCOMPLETE_STREAM,
        QUEUE_FULL,
        QUEUE_TIMEOUT,
        RUN_INTERRUPTED,
        RUN_TOO_LARGE,
        RUN_TOO_LONG,
        RUNNER_FAILED,
        RUNTIME_SHUTDOWN,
        STORE_FAILED,
        THREAD_BUSY,
        THREAD_DELETED,
    ];
    let of_http_agents = [
        "AGENT_CONNECT_TIMEOUT",
        "AGENT_FIRST_EVENT_TIMEOUT",
        "AGENT_IDLE_TIMEOUT",
        "AGENT_TOTAL_TIMEOUT",
        "AGENT_EVENT_TOO_LARGE",
    ];
    let of_limits = ["RATE_LIMITED", "TOO_MANY_RUNS", "TOO_MANY_WATCHERS"];
    let all: BTreeSet<String> =
        of_runner.into_iter().chain(of_http_agents).chain(of_limits).map(str::to_owned).collect();
    assert_eq!(listed_codes(), all);
}

#[test]
fn the_threat_model_names_every_route() {
    let page = fs::read_to_string("SECURITY.md").unwrap();
    for (name, path, methods) in copilotkit_runtime::http::Route::table() {
        for method in methods {
            assert!(page.contains(&format!("`{method} {path}`")), "{name}: {method} {path}");
        }
    }
}

#[test]
fn links_lead_to_files() {
    let mut pages = files(Path::new("docs"), "md");
    let top = fs::read_dir(".").unwrap().map(|entry| entry.unwrap().path());
    pages.extend(top.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    assert!(pages.iter().any(|page| page.ends_with("README.md")));
    let mut broken = Vec::new();
    for page in pages {
        let content = fs::read_to_string(&page).unwrap();
        for link in content.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            let elsewhere = target.is_empty() || target.contains(':');
            if !elsewhere && !page.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn the_change_log_knows_this_version() {
    let log = fs::read_to_string("CHANGELOG.md").unwrap();
    let heads: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let is_known = |head: &&str| {
        let head = head.trim_start_matches('[');
        head.starts_with("Unreleased") || head.starts_with(env!("CARGO_PKG_VERSION"))
    };
    assert!(heads.first().is_some_and(is_known), "the newest entry is {:?}", heads.first());
}

/// `WORDS_LIKE_THIS`.
fn is_code(text: &str) -> bool {
    text.contains('_') && text.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path, extension) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}
