//! Reads settings by key from all sources: a flag wins over an environment variable, which wins over the
//! file. Collects every problem instead of ending at the first, and finds the keys nobody asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::file::{Entry, Node, Raw};
use super::problem::{Place, Problem, nearest};
use super::value::{Setting, kind};

/// Settings given outside the file, by dotted key.
pub(super) type Overrides = BTreeMap<&'static str, (String, Place)>;

/// All sources of a configuration.
#[derive(Debug)]
pub(super) struct Reader {
    path: Arc<Path>,
    root: RefCell<Vec<Entry>>,
    overrides: Overrides,
    found: RefCell<Found>,
}

#[derive(Debug, Default)]
struct Found {
    problems: Vec<Problem>,
    /// Sections and the keys that were asked for in each, with `*` for a name people choose.
    known: Vec<(String, &'static str)>,
    unknown: Vec<Unknown>,
}

/// A key nobody asked for.
#[derive(Debug)]
struct Unknown {
    /// Its section, with `*` for chosen names.
    pattern: String,
    /// The whole dotted key.
    path: String,
    key: String,
    place: Place,
}

/// A part of the configuration under one key.
#[derive(Debug)]
pub(super) struct Section<'r> {
    reader: &'r Reader,
    /// The dotted key, as in `agents.research`.
    path: String,
    /// The same with `*` for chosen names.
    pattern: String,
    place: Place,
    entries: Vec<Entry>,
}

impl Reader {
    pub(super) fn new(path: Arc<Path>, root: Vec<Entry>, overrides: Overrides) -> Reader {
        Reader { path, root: RefCell::new(root), overrides, found: RefCell::default() }
    }

    /// A section of the file; empty if it is not there.
    pub(super) fn section(&self, name: &'static str) -> Section<'_> {
        self.found.borrow_mut().known.push((String::new(), name));
        let entry = take(&mut self.root.borrow_mut(), name);
        let (entries, place) = self.table(entry, name);
        Section { reader: self, path: name.to_owned(), pattern: name.to_owned(), place, entries }
    }

    /// A setting given outside the file.
    pub(super) fn outside(&self, key: &str) -> Option<&(String, Place)> {
        self.overrides.get(key)
    }

    pub(super) fn report(&self, problem: Problem) {
        self.found.borrow_mut().problems.push(problem);
    }

    /// Everything that is wrong. Call it when all sections were read.
    pub(super) fn finish(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        for Entry { key, line, .. } in self.root.into_inner() {
            let place = Place::File(self.path.clone(), line);
            found.unknown.push(Unknown { pattern: String::new(), path: key.clone(), key, place });
        }
        let mut problems = found.problems;
        problems.extend(found.unknown.into_iter().map(|unknown| {
            let reason = unknown.reason(&found.known);
            Problem::new(unknown.place, unknown.path, reason)
        }));
        problems
    }

    /// What was found to be wrong with the keys that were asked for; the others are not minded.
    pub(super) fn reported(self) -> Vec<Problem> {
        self.found.into_inner().problems
    }

    /// Every key that was asked for, with `*` for chosen names.
    #[cfg(test)]
    pub(super) fn known(&self) -> Vec<String> {
        let found = self.found.borrow();
        let dotted = |(section, key): &(String, &str)| {
            if section.is_empty() { (*key).to_owned() } else { format!("{section}.{key}") }
        };
        found.known.iter().map(dotted).collect()
    }

    fn table(&self, entry: Option<Entry>, path: &str) -> (Vec<Entry>, Place) {
        match entry {
            None => (Vec::new(), Place::Nowhere),
            Some(Entry { line, node: Node::Table(entries), .. }) => (entries, Place::File(self.path.clone(), line)),
            Some(Entry { line, node: Node::Value(raw), .. }) => {
                let place = Place::File(self.path.clone(), line);
                self.report(Problem::new(place.clone(), path, format!("expected a table, found {}", kind(&raw))));
                (Vec::new(), place)
            }
        }
    }
}

impl<'r> Section<'r> {
    /// Reads a setting.
    pub(super) fn get<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        self.get_placed(key).map(|(value, _)| value)
    }

    /// Reads a setting, and says where it was found.
    pub(super) fn get_placed<T: Setting>(&mut self, key: &'static str) -> Option<(T, Place)> {
        let (raw, place) = self.raw(key)?;
        match T::read(raw) {
            Ok(value) => Some((value, place)),
            Err(reason) => {
                self.reader.report(Problem::new(place, self.dotted(key), reason));
                None
            }
        }
    }

    /// Reads a setting that must pass a check; the check says what is wrong.
    pub(super) fn get_if<T: Setting>(
        &mut self,
        key: &'static str,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Option<T> {
        let (value, place) = self.get_placed::<T>(key)?;
        match check(&value) {
            Ok(()) => Some(value),
            Err(reason) => {
                self.reader.report(Problem::new(place, self.dotted(key), reason));
                None
            }
        }
    }

    /// A section inside this one.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'r> {
        self.ask(key);
        let entry = take(&mut self.entries, key);
        let path = self.dotted(key);
        let (entries, place) = self.reader.table(entry, &path);
        Section { reader: self.reader, path, pattern: format!("{}.{key}", self.pattern), place, entries }
    }

    /// The sections inside this one, under names people choose.
    pub(super) fn named_sections(&mut self) -> Vec<(String, Section<'r>)> {
        self.ask("*");
        let named = std::mem::take(&mut self.entries).into_iter().map(|entry| {
            let name = entry.key.clone();
            let path = self.dotted(&name);
            let (entries, place) = self.reader.table(Some(entry), &path);
            let pattern = format!("{}.*", self.pattern);
            (name, Section { reader: self.reader, path, pattern, place, entries })
        });
        named.collect()
    }

    /// The settings inside this one, under names people choose.
    pub(super) fn named_values<T: Setting>(&mut self) -> Vec<(String, T, Place)> {
        self.ask("*");
        let mut values = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            let place = Place::File(self.reader.path.clone(), entry.line);
            let read = match entry.node {
                Node::Value(Raw::Broken) => continue,
                Node::Value(raw) => T::read(raw),
                Node::Table(_) => T::read(Raw::Other("a table")),
            };
            match read {
                Ok(value) => values.push((entry.key, value, place)),
                Err(reason) => self.reader.report(Problem::new(place, self.dotted(&entry.key), reason)),
            }
        }
        values
    }

    /// Whether the file has a key. To be asked before it is read.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Whether a key holds a table. To be asked before it is read.
    pub(super) fn holds_table(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key && matches!(entry.node, Node::Table(_)))
    }

    /// Reports a problem with a key of this section.
    pub(super) fn report(&self, place: Place, key: &str, reason: impl Into<String>) {
        self.reader.report(Problem::new(place, self.dotted(key), reason));
    }

    /// Where the section begins.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Whether the file has the section.
    pub(super) fn is_present(&self) -> bool {
        self.place != Place::Nowhere
    }

    /// Ends the reading: keys nobody asked for are unknown.
    pub(super) fn finish(self) {
        let mut found = self.reader.found.borrow_mut();
        for Entry { key, line, .. } in self.entries {
            let place = Place::File(self.reader.path.clone(), line);
            let path = format!("{}.{key}", self.path);
            found.unknown.push(Unknown { pattern: self.pattern.clone(), path, key, place });
        }
    }

    fn raw(&mut self, key: &'static str) -> Option<(Raw, Place)> {
        self.ask(key);
        let entry = take(&mut self.entries, key);
        if let Some((text, place)) = self.reader.outside(&self.dotted(key)) {
            return Some((Raw::Text(text.clone()), place.clone()));
        }
        let entry = entry?;
        let place = Place::File(self.reader.path.clone(), entry.line);
        match entry.node {
            Node::Value(Raw::Broken) => None,
            Node::Value(raw) => Some((raw, place)),
            Node::Table(_) => Some((Raw::Other("a table"), place)),
        }
    }

    fn ask(&self, key: &'static str) {
        self.reader.found.borrow_mut().known.push((self.pattern.clone(), key));
    }

    fn dotted(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }
}

fn take(entries: &mut Vec<Entry>, key: &str) -> Option<Entry> {
    let at = entries.iter().position(|entry| entry.key == key)?;
    Some(entries.remove(at))
}

impl Unknown {
    /// Names the nearest key here, or where such a key belongs.
    fn reason(&self, known: &[(String, &'static str)]) -> String {
        let here = known.iter().filter(|(at, _)| *at == self.pattern).map(|(_, name)| *name);
        if let Some(near) = nearest(&self.key, here.filter(|name| *name != "*")) {
            return format!("unknown key; did you mean `{near}`?");
        }
        match known.iter().find(|(_, name)| *name == self.key) {
            Some((at, name)) if at.is_empty() => format!("unknown key; `[{name}]` is a table of its own"),
            Some((at, name)) => format!("unknown key; `{name}` belongs into `[{}]`", at.replace('*', "NAME")),
            None => "unknown key".to_owned(),
        }
    }
}
