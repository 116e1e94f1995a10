//! The configuration file as a tree: keys with their lines, `${VARIABLE}` filled in. What the keys mean is
//! not known here.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};

/// A key and what stands under it, in the file's order.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) node: Node,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Table(Vec<Entry>),
    Value(Raw),
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Raw>),
    /// Something no setting is made of, by its name.
    Other(&'static str),
    /// A value that was reported already.
    Broken,
}

/// Looks up environment variables.
pub(super) type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Reads a file's text. With a syntax error there is no tree.
pub(super) fn parse(path: &Arc<Path>, text: &str, env: Env<'_>) -> (Vec<Entry>, Vec<Problem>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reading = Reading { path, text, env, problems: Vec::new() };
    if !errors.is_empty() {
        let problems = errors.iter().map(|error| {
            let line = error.span().map_or(0, |span| reading.line(span.start));
            // Without the line's text, which the error could show: it may hold a secret.
            Problem::new(Place::File(path.clone(), line), "", error.message())
        });
        return (Vec::new(), problems.collect());
    }
    let entries = reading.table(root.get_ref(), "");
    (entries, reading.problems)
}

struct Reading<'r> {
    path: &'r Arc<Path>,
    text: &'r str,
    env: Env<'r>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn table(&mut self, table: &DeTable<'_>, above: &str) -> Vec<Entry> {
        let mut sorted: Vec<_> = table.iter().collect();
        sorted.sort_by_key(|(key, _)| key.span().start);
        sorted.into_iter().map(|(key, value)| self.entry(key, value, above)).collect()
    }

    fn entry(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>, above: &str) -> Entry {
        let name = key.get_ref().to_string();
        let dotted = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let line = self.line(key.span().start);
        let node = match value.get_ref() {
            DeValue::Table(table) => Node::Table(self.table(table, &dotted)),
            value => Node::Value(self.value(value, &dotted, line)),
        };
        Entry { key: name, line, node }
    }

    fn value(&mut self, value: &DeValue<'_>, key: &str, line: usize) -> Raw {
        match value {
            DeValue::String(text) => match expand(text, self.env) {
                Ok(text) => Raw::Text(text),
                Err(reason) => {
                    self.problems.push(Problem::new(Place::File(self.path.clone(), line), key, reason));
                    Raw::Broken
                }
            },
            DeValue::Integer(digits) => match i64::from_str_radix(&digits.as_str().replace('_', ""), digits.radix()) {
                Ok(number) => Raw::Integer(number),
                Err(_) => Raw::Other("a number that is too large"),
            },
            DeValue::Float(digits) => {
                digits.as_str().replace('_', "").parse().map_or(Raw::Other("an odd number"), Raw::Float)
            }
            DeValue::Boolean(on) => Raw::Bool(*on),
            DeValue::Array(items) => {
                Raw::List(items.iter().map(|item| self.value(item.get_ref(), key, line)).collect())
            }
            DeValue::Datetime(_) => Raw::Other("a date or time"),
            DeValue::Table(_) => Raw::Other("a table"),
        }
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }
}

/// Fills in `${NAME}`; `$${` stands for `${`.
fn expand(text: &str, env: Env<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, found) = rest.split_at(at);
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = &found[2..];
            continue;
        }
        out.push_str(before);
        let Some((name, after)) = found[2..].split_once('}') else {
            return Err("`${` without a closing `}`; write `$${` for a literal one".to_owned());
        };
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            return Err(format!("`${{{name}}}` names no environment variable"));
        }
        match env(name) {
            Some(value) => out.push_str(&value),
            None => return Err(format!("the environment variable {name} is not set")),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "s3cret".to_owned())
    }

    #[test]
    fn variables_are_filled_in() {
        assert_eq!(expand("Bearer ${TOKEN}!", &env).as_deref(), Ok("Bearer s3cret!"));
        assert_eq!(expand("$${TOKEN} costs $5", &env).as_deref(), Ok("${TOKEN} costs $5"));
        assert_eq!(expand("${NONE}", &env), Err("the environment variable NONE is not set".to_owned()));
        assert!(expand("${TOKEN", &env).is_err());
        assert!(expand("${}", &env).is_err());
    }

    #[test]
    fn keys_keep_their_lines_and_order() {
        let path: Arc<Path> = Path::new("x.toml").into();
        let (entries, problems) = parse(&path, "[b]\nx = 1\n\n[a]\ny = \"${NONE}\"\n", &env);
        let keys: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.line)).collect();
        assert_eq!(keys, [("b", 1), ("a", 4)]);
        let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["x.toml:5: a.y: the environment variable NONE is not set"]);
    }

    #[test]
    fn syntax_errors_name_the_line_and_show_no_text() {
        let path: Arc<Path> = Path::new("x.toml").into();
        let (_, problems) = parse(&path, "a = 1\nkey = s3cret\n", &env);
        assert!(!problems.is_empty());
        for problem in problems {
            assert_eq!(problem.place, Place::File(path.clone(), 2));
            assert!(!problem.to_string().contains("s3cret"), "{problem}");
        }
    }
}
