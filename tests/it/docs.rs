//! What the documents beside the code say of the code.

mod compatibility;
mod migration;
mod programs;

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
fn http_errors_are_those_of_the_interface() {
    let page = fs::read_to_string("docs/error-codes.md").unwrap();
    let (_, table) = page.split_once("## HTTP errors").unwrap();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let listed: BTreeSet<u16> = cells.flat_map(|cell| cell.split(", ")).filter_map(|cell| cell.parse().ok()).collect();
    let interface = fs::read_to_string("openapi.yaml").unwrap();
    let keys = interface.lines().filter_map(|line| Some(line.trim().strip_prefix('\'')?.split_once("':")?.0));
    let answered: BTreeSet<u16> = keys.filter_map(|key| key.parse().ok()).filter(|status| *status >= 400).collect();
    assert!(answered.len() >= 10, "{answered:?}");
    assert_eq!(listed, answered);
}

#[test]
fn the_oldest_rust_is_named() {
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    let page = fs::read_to_string("docs/quick-start.md").unwrap();
    assert!(
        page.contains(&format!("Rust {oldest} or newer")),
        "docs/quick-start.md does not say: Rust {oldest} or newer"
    );
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
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let content = prose(&fs::read_to_string(&page).unwrap());
        for link in content.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (target, heading) = link.split_once('#').unwrap_or((link, ""));
            let file = if target.is_empty() { page.clone() } else { page.parent().unwrap().join(target) };
            let is_page = file.extension().is_some_and(|extension| extension == "md");
            let is_there = file.exists() && (heading.is_empty() || !is_page || has(&file, heading));
            if !target.contains(':') && !is_there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_front_page_of_the_book_leads_to_every_page() {
    let front = fs::read_to_string("docs/README.md").unwrap();
    let pages = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let missing: Vec<String> = pages
        .filter(|page| page.ends_with(".md") && page != "README.md" && !front.contains(&format!("]({page})")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Whether a page has a heading, as links name it.
fn has(page: &Path, heading: &str) -> bool {
    let slug = |title: &str| -> String {
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    let content = prose(&fs::read_to_string(page).unwrap());
    content.lines().any(|line| line.starts_with('#') && slug(line.trim_start_matches('#')) == heading)
}

/// A page without its programs.
pub(crate) fn prose(page: &str) -> String {
    page.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

/// What stands between backticks in prose.
pub(crate) fn code(prose: &str) -> Vec<String> {
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The programs, commands and files in a language that a page shows.
pub(crate) fn shown(page: &Path, language: &str) -> Vec<String> {
    let content = fs::read_to_string(page).unwrap();
    let shown = content.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    shown.filter(|(named, _)| *named == language).map(|(_, text)| text.to_owned()).collect()
}

#[test]
fn agents_in_the_book_are_the_examples() {
    let shown = [shown(Path::new("docs/agents.md"), "python"), shown(Path::new("docs/agents.md"), "js")].concat();
    let examples = fs::read_dir("examples/agents").unwrap().map(|entry| entry.unwrap().path());
    let programs =
        examples.filter(|path| path.extension().is_some_and(|extension| extension == "py" || extension == "mjs"));
    let programs: Vec<String> = programs.map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(!programs.is_empty());
    for program in &programs {
        assert!(shown.iter().any(|shown| shown.ends_with(program.trim())), "docs/agents.md does not show:\n{program}");
    }
    assert_eq!(shown.len(), programs.len(), "{shown:#?}");
}

/// Every page of this project.
pub(crate) fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(".").unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
        if entry.is_dir() && !name.starts_with("target") && !(name.starts_with('.') && name != ".") {
            pages.extend(files(&entry, "md"));
        } else if name.ends_with(".md") {
            pages.push(entry);
        }
    }
    assert!(pages.iter().any(|page| page.ends_with("README.md")));
    pages
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

/// Of a folder and those in it, without what is installed there.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| !path.ends_with("node_modules") && !path.ends_with("venv"))
        .flat_map(|path| if path.is_dir() { files(&path, extension) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}
