//! `docs/configuration.md` shows every setting: what the example says of it, the default the reader takes without
//! it, and what sets it outside the file.

use std::fmt::Write as _;

use super::super::cli;
use super::Config;
use super::tests::{EXAMPLE, is_setting, is_under, known, load};

#[path = "../../../tests/support/page.rs"]
mod page;

/// The least that has to be there for a table to be understood.
const AROUND: &[(&str, &str)] = &[
    ("agents.default", "[users]\nheader = \"x-user\"\n[agents.default]\nurl = \"http://localhost/\"\n"),
    ("agents.demo", "[users]\nheader = \"x-user\"\n[agents.demo]\nkind = \"demo\"\n"),
    ("intelligence", "[users]\nheader = \"x-user\"\n[intelligence]\napi_key = \"s3cret\"\n"),
    ("users", "[users]\nheader = \"x-user\"\n"),
    (
        "users.api_keys",
        "[users.api_keys.nightly]\nuser = \"nightly\"\n\
         hash = \"sha256:6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090\"\n",
    ),
    (
        "users.jwt.keys.next",
        "[users.jwt.keys.next]\nalgorithm = \"HS256\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n",
    ),
    (
        "users.jwt.keys.other",
        "[users.jwt.keys.other]\nalgorithm = \"HS256\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n",
    ),
    (
        "users.jwt",
        "[users.jwt]\njwks_url = \"https://id.example/keys\"\n[users.jwt.keys.main]\nalgorithm = \"HS256\"\n\
         secret = \"0123456789abcdef0123456789abcdef\"\n",
    ),
];

/// A table of the file.
struct Table {
    /// With `*` for a name people choose.
    pattern: String,
    about: String,
    settings: Vec<Shown>,
}

/// A setting as the example shows it.
struct Shown {
    /// Its table there.
    table: String,
    /// With `*` for a name people choose.
    pattern: String,
    key: String,
    value: String,
    meaning: String,
}

impl Shown {
    /// What the reader takes if the setting is not there, and what else there is to say of it.
    fn default(&self) -> (String, String) {
        let value = code(&self.value);
        match self.absence() {
            Absence::TheSame => (value, String::new()),
            Absence::Another => ("none".to_owned(), format!("For example {value}.")),
            Absence::Refused => ("required".to_owned(), format!("For example {value}.")),
        }
    }

    fn absence(&self) -> Absence {
        let begins = |name: &str| self.table == name || self.table.starts_with(&format!("{name}."));
        let around = AROUND.iter().filter(|(name, _)| begins(name)).max_by_key(|(name, _)| name.len());
        let around = around.map_or("", |(_, text)| *text);
        let head = format!("[{}]\n", self.table);
        let (before, rest) = around.split_once(&head).unwrap_or((around, ""));
        let (own, after) = rest.find('[').map_or((rest, ""), |end| rest.split_at(end));
        let others = own.lines().filter(|line| line.split(" = ").next() != Some(&self.key));
        let others: String = others.map(|line| format!("{line}\n")).collect();
        let read = |own: &str| load(&format!("{before}{head}{own}{after}")).map(Config::with_methods_named);
        match (read(&others), read(&format!("{others}{} = {}\n", self.key, self.value))) {
            (Ok(without), Ok(with)) if without == with => Absence::TheSame,
            (Ok(_), _) => Absence::Another,
            (Err(problems), _) if problems.iter().any(|problem| problem.reason.starts_with("missing")) => {
                Absence::Refused
            }
            // One of several is wanted.
            (Err(_), _) => Absence::Another,
        }
    }
}

/// What the reader makes of a setting that is not there.
enum Absence {
    TheSame,
    Another,
    Refused,
}

#[test]
fn the_reference_shows_every_setting() {
    let mut made = String::new();
    for table in tables() {
        writeln!(made, "### `[{}]`\n\n{}\n", table.pattern.replace('*', "NAME"), linked(&table.about))
            .expect("a string");
        made.push_str("| key | default | flag and variable | |\n|---|---|---|---|\n");
        for setting in &table.settings {
            let (default, more) = setting.default();
            let key = setting.pattern.rsplit('.').next().unwrap_or_default().replace('*', "NAME");
            let meaning = [linked(&setting.meaning).replace('|', "\\|"), more].join(" ");
            let outside = outside(&setting.pattern);
            writeln!(made, "| `{key}` | {default} | {outside} | {} |", meaning.trim()).expect("a string");
        }
        made.push('\n');
    }
    page::expect("docs/configuration.md", "settings", &made);
}

#[test]
fn the_reference_shows_what_is_set_outside_the_file_alone() {
    let tables = tables();
    let has_row = |key: &str| tables.iter().any(|table| table.settings.iter().any(|shown| shown.pattern == key));
    let mut made = "| flag | variable | |\n|---|---|---|\n".to_owned();
    for argument in cli::arguments().iter().filter(|argument| !argument.key.is_some_and(has_row) && !argument.hidden) {
        let help = argument.help.replace('|', "\\|");
        writeln!(made, "| `--{}` | `{}` | {help} |", argument.flag, argument.variable).expect("a string");
    }
    page::expect("docs/configuration.md", "outside", &made);
}

/// Pages of the book are named in the example as its readers find them.
fn linked(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.strip_prefix("docs/").and_then(|rest| rest.split_once(".md")) {
        Some((page, rest)) => format!("[{page}.md]({page}.md){rest}"),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
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

/// What the example says.
fn tables() -> Vec<Table> {
    let known = known();
    let pattern = |path: &str| {
        let fits = known.iter().find(|known| is_under(known, path));
        fits.unwrap_or_else(|| panic!("{path} is read by nobody")).clone()
    };
    let mut tables: Vec<Table> = Vec::new();
    let mut at = (0, String::new());
    let mut words: Vec<&str> = Vec::new();
    let mut are_used = false;
    for line in EXAMPLE.lines() {
        let Some(text) = line.strip_prefix('#').map(str::trim) else {
            words.clear();
            continue;
        };
        if let Some(name) = text.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            let pattern = pattern(name);
            let place = tables.iter().position(|table| table.pattern == pattern);
            at = (place.unwrap_or(tables.len()), name.to_owned());
            if place.is_none() {
                tables.push(Table { pattern, about: words.join(" "), settings: Vec::new() });
            }
            words.clear();
        } else if let Some((key, value)) = text.split_once(" = ").filter(|_| is_setting(text)) {
            are_used = true;
            let (table, pattern) = (&mut tables[at.0], pattern(&format!("{}.{key}", at.1)));
            if !table.settings.iter().any(|setting| setting.pattern == pattern) {
                table.settings.push(Shown {
                    table: at.1.clone(),
                    pattern,
                    key: key.to_owned(),
                    value: value.to_owned(),
                    meaning: words.join(" "),
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
