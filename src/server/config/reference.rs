//! `docs/configuration.md` shows every setting: what the example says of it, the default the reader takes without
//! it, and what sets it outside the file.

use std::fmt::Write as _;

use super::super::cli;
use super::tests::{EXAMPLE, is_setting, load, uncommented};

#[path = "../../../tests/support/page.rs"]
mod page;

/// A table of the file.
struct Table {
    /// As in `agents.*`.
    name: String,
    about: String,
    settings: Vec<Shown>,
}

/// A setting as the example shows it.
struct Shown {
    key: String,
    value: String,
    meaning: String,
    /// `key = value`.
    line: String,
}

/// What the reader makes of a setting that is not there.
enum Absence {
    TheSame,
    Another,
    Refused,
}

#[test]
fn the_reference_shows_every_setting() {
    let tables = tables();
    let mut made = String::new();
    for table in &tables {
        writeln!(made, "### `[{}]`\n\n{}\n", table.name.replace('*', "NAME"), table.about).expect("a string");
        made.push_str("| key | default | flag and variable | |\n|---|---|---|---|\n");
        for setting in &table.settings {
            let (default, example) = match absence(table, setting) {
                Absence::TheSame => (code(&setting.value), String::new()),
                Absence::Another => ("none".to_owned(), format!(" For example {}.", code(&setting.value))),
                Absence::Refused => ("required".to_owned(), format!(" For example {}.", code(&setting.value))),
            };
            let outside = outside(&format!("{}.{}", table.name, setting.key));
            let meaning = setting.meaning.replace('|', "\\|");
            writeln!(made, "| `{}` | {default} | {outside} | {meaning}{example} |", setting.key).expect("a string");
        }
        made.push('\n');
    }
    page::expect("docs/configuration.md", "settings", &made);
}

#[test]
fn the_reference_shows_what_is_set_outside_the_file_alone() {
    let tables = tables();
    let has_row = |key: &str| {
        tables.iter().any(|table| table.settings.iter().any(|shown| format!("{}.{}", table.name, shown.key) == key))
    };
    let mut made = "| flag | variable | |\n|---|---|---|\n".to_owned();
    for argument in cli::arguments().iter().filter(|argument| !argument.key.is_some_and(has_row) && !argument.hidden) {
        let help = argument.help.replace('|', "\\|");
        writeln!(made, "| `--{}` | `{}` | {help} |", argument.flag, argument.variable).expect("a string");
    }
    page::expect("docs/configuration.md", "outside", &made);
}

fn code(value: &str) -> String {
    format!("`{}`", value.replace('|', "\\|"))
}

fn outside(key: &str) -> String {
    let setting = cli::arguments().into_iter().filter(|argument| argument.key == Some(key));
    let shown = setting.map(|argument| match argument.hidden {
        false => format!("`--{}`, `{}`", argument.flag, argument.variable),
        true => format!("`{}`", argument.variable),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// What changes if the example does without a setting.
fn absence(table: &Table, setting: &Shown) -> Absence {
    let whole = match table.name.split('.').next() {
        Some("intelligence") => format!("[users]\nheader = \"x-user\"\n{}", table_of_platform()),
        _ => uncommented(),
    };
    let head = format!("[{}]\n", table.name.replace('*', "default"));
    let (before, rest) = whole.split_once(&head).unwrap_or_else(|| panic!("no {head}"));
    let without = format!("{before}{head}{}", rest.replacen(&format!("{}\n", setting.line), "", 1));
    let whole = load(&whole).unwrap_or_else(|problems| panic!("{problems:#?}"));
    match load(&without).map(|without| without.with_methods_named() == whole.with_methods_named()) {
        Ok(true) => Absence::TheSame,
        Ok(false) => Absence::Another,
        Err(_) => Absence::Refused,
    }
}

fn table_of_platform() -> String {
    let lines = EXAMPLE.lines().map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line));
    let lines = lines.skip_while(|line| *line != "[intelligence]").take_while(|line| *line != "[cors]");
    lines.map(|line| format!("{line}\n")).collect()
}

/// What the example says.
fn tables() -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    let mut are_used = false;
    for line in EXAMPLE.lines() {
        let Some(text) = line.strip_prefix('#').map(str::trim) else {
            words.clear();
            continue;
        };
        if let Some(name) = text.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            let name = if name.starts_with("agents.") { "agents.*" } else { name };
            if !tables.iter().any(|table| table.name == name) {
                tables.push(Table { name: name.to_owned(), about: words.join(" "), settings: Vec::new() });
            }
            words.clear();
        } else if let Some((key, value)) = text.split_once(" = ").filter(|_| is_setting(text)) {
            are_used = true;
            let table = tables.last_mut().expect("settings stand in tables");
            if !table.settings.iter().any(|setting| setting.key == key) {
                table.settings.push(Shown {
                    key: key.to_owned(),
                    value: value.to_owned(),
                    meaning: words.join(" "),
                    line: text.to_owned(),
                });
            }
        } else {
            if std::mem::take(&mut are_used) {
                words.clear();
            }
            words.extend((!text.is_empty()).then_some(text));
        }
    }
    tables
}
