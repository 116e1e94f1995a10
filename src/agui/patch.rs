//! JSON Patch (RFC 6902), all or nothing.
//!
//! Written here rather than taken from a crate, because what agents send must never bring the runtime
//! down (rest-sse.md chapter 14 row 3) and a patch that fails half way must leave no trace: every change is
//! noted with its inverse. Nothing of the document is copied except what `copy` copies, so a small
//! patch costs little on a large document, and the order of keys is kept.

use serde::Deserialize;
use serde_json::Value;

/// How deeply a patched document may nest. Deeper text is refused by JSON readers, so the snapshot
/// made of it could not be read again.
const MAX_DEPTH: usize = 120;

/// How large a document may become by `copy`, in bytes of memory or so: an operation of a few bytes doubles
/// a document that is copied into itself.
const MAX_BY_COPYING: usize = 16 << 20;

/// How many values a patch may shift aside, in arrays and objects, to insert and remove others.
const MAX_SHIFTED: usize = 1 << 24;

/// How much a document may still grow by `copy`. One spans all patches of a document, so that many small ones
/// cannot do what a large one must not.
#[derive(Clone, Debug, Default)]
pub(super) struct Room(Option<usize>);

/// The patch does not apply; the document is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the JSON patch does not apply")]
pub(super) struct NotApplied;

/// Applies a patch, given as the text of a JSON array of operations.
pub(super) fn apply(document: &mut Value, patch: &str, room: &mut Room) -> Result<(), NotApplied> {
    let operations: Vec<Operation> = match serde_json::from_str(patch) {
        Ok(operations) => operations,
        // Half a surrogate pair somewhere in a value.
        Err(_) => super::raw::value(patch).and_then(|patch| serde_json::from_value(patch).ok()).ok_or(NotApplied)?,
    };
    let mut change = Change { document, inverses: Vec::new(), shifted: 0, room };
    for operation in operations {
        if let Err(failed) = change.step(operation) {
            change.revert();
            return Err(failed);
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Operation {
    Add { path: Pointer, value: Value },
    Remove { path: Pointer },
    Replace { path: Pointer, value: Value },
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test { path: Pointer, value: Value },
}

/// A JSON pointer (RFC 6901) as its unescaped steps.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
struct Pointer(Vec<String>);

impl TryFrom<String> for Pointer {
    type Error = NotApplied;

    fn try_from(text: String) -> Result<Pointer, NotApplied> {
        if text.is_empty() {
            return Ok(Pointer(Vec::new()));
        }
        let steps = text.strip_prefix('/').ok_or(NotApplied)?;
        Ok(Pointer(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect()))
    }
}

/// The inverse of one change. Applied in reverse order each finds the document as it left it.
enum Inverse {
    /// Puts back what was overwritten.
    Restore(Vec<String>, Value),
    /// Removes what was added.
    Forget(Vec<String>),
    /// Puts back what was removed, at its place among its neighbours.
    Insert(Vec<String>, usize, Value),
    /// Takes back what was moved: the place it came from, and what it became.
    Return(Vec<String>, usize, Added),
}

/// A value that has been added: where, and what it overwrote.
struct Added {
    path: Vec<String>,
    previous: Option<Value>,
}

struct Change<'a> {
    document: &'a mut Value,
    inverses: Vec<Inverse>,
    shifted: usize,
    room: &'a mut Room,
}

impl Change<'_> {
    fn step(&mut self, operation: Operation) -> Result<(), NotApplied> {
        match operation {
            Operation::Add { path, value } => self.add(path.0, value),
            Operation::Remove { path } => {
                self.shift(&path.0)?;
                let (place, value) = take(self.document, &path.0).ok_or(NotApplied)?;
                self.inverses.push(Inverse::Insert(path.0, place, value));
                Ok(())
            }
            Operation::Replace { path, value } => {
                if !fits(&path.0, &value) {
                    return Err(NotApplied);
                }
                let place = find_mut(self.document, &path.0).ok_or(NotApplied)?;
                let previous = std::mem::replace(place, value);
                self.inverses.push(Inverse::Restore(path.0, previous));
                Ok(())
            }
            Operation::Move { from, path } if from == path => find(self.document, &path.0).map(drop).ok_or(NotApplied),
            Operation::Move { from, path } => {
                // Into itself: it would be gone before it could arrive.
                if path.0.starts_with(&from.0) {
                    return Err(NotApplied);
                }
                self.shift(&from.0)?;
                self.shift(&path.0)?;
                let (place, value) = take(self.document, &from.0).ok_or(NotApplied)?;
                match put(self.document, path.0, value) {
                    Ok(added) => {
                        self.inverses.push(Inverse::Return(from.0, place, added));
                        Ok(())
                    }
                    Err(value) => {
                        insert(self.document, &from.0, place, value);
                        Err(NotApplied)
                    }
                }
            }
            Operation::Copy { from, path } => {
                let source = find(self.document, &from.0).ok_or(NotApplied)?;
                let room = self.room.0.get_or_insert_with(|| MAX_BY_COPYING - weigh(self.document, MAX_BY_COPYING));
                let weight = weigh(source, *room);
                *room -= weight;
                if *room == 0 {
                    return Err(NotApplied);
                }
                let value = source.clone();
                self.add(path.0, value)
            }
            Operation::Test { path, value } => {
                find(self.document, &path.0).filter(|found| same(found, &value)).map(drop).ok_or(NotApplied)
            }
        }
    }

    /// Counts what the change of a place costs its neighbours.
    fn shift(&mut self, path: &[String]) -> Result<(), NotApplied> {
        let parent = path.split_last().and_then(|(_, parent)| find(self.document, parent));
        self.shifted += match parent {
            Some(Value::Array(items)) => items.len(),
            Some(Value::Object(fields)) => fields.len(),
            _ => 0,
        };
        if self.shifted > MAX_SHIFTED { Err(NotApplied) } else { Ok(()) }
    }

    fn add(&mut self, path: Vec<String>, value: Value) -> Result<(), NotApplied> {
        // At the end of an array, or into an object, nothing is in the way.
        let shifts = path.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if shifts && matches!(find(self.document, &path[..path.len() - 1]), Some(Value::Array(_))) {
            self.shift(&path)?;
        }
        let Added { path, previous } = put(self.document, path, value).map_err(|_refused| NotApplied)?;
        self.inverses.push(match previous {
            Some(previous) => Inverse::Restore(path, previous),
            None => Inverse::Forget(path),
        });
        Ok(())
    }

    fn revert(self) {
        for inverse in self.inverses.into_iter().rev() {
            match inverse {
                Inverse::Restore(path, previous) => {
                    restore(self.document, &path, previous);
                }
                Inverse::Forget(path) => {
                    take(self.document, &path);
                }
                Inverse::Insert(path, place, value) => insert(self.document, &path, place, value),
                Inverse::Return(from, place, Added { path, previous }) => {
                    let moved = match previous {
                        Some(previous) => restore(self.document, &path, previous),
                        None => take(self.document, &path).map(|(_, value)| value),
                    };
                    if let Some(value) = moved {
                        insert(self.document, &from, place, value);
                    }
                }
            }
        }
    }
}

/// Adds a value as `add` does. Gives the value back if there is no such place.
fn put(document: &mut Value, mut path: Vec<String>, value: Value) -> Result<Added, Value> {
    if !fits(&path, &value) {
        return Err(value);
    }
    let Some((last, parent)) = path.split_last() else {
        let previous = Some(std::mem::replace(document, value));
        return Ok(Added { path, previous });
    };
    match find_mut(document, parent) {
        Some(Value::Object(fields)) => {
            let previous = fields.insert(last.clone(), value);
            Ok(Added { path, previous })
        }
        Some(Value::Array(items)) => {
            let at = match last.as_str() {
                "-" => Some(items.len()),
                index => index_of(index).filter(|at| *at <= items.len()),
            };
            let Some(at) = at else { return Err(value) };
            items.insert(at, value);
            path.pop();
            path.push(at.to_string());
            Ok(Added { path, previous: None })
        }
        _ => Err(value),
    }
}

/// Removes a value; with it comes its place among its neighbours.
fn take(document: &mut Value, path: &[String]) -> Option<(usize, Value)> {
    let (last, parent) = path.split_last()?;
    match find_mut(document, parent)? {
        Value::Object(fields) => {
            let place = fields.keys().position(|key| key == last)?;
            Some((place, fields.shift_remove(last)?))
        }
        Value::Array(items) => {
            let place = index_of(last).filter(|at| *at < items.len())?;
            Some((place, items.remove(place)))
        }
        _ => None,
    }
}

/// Undoes [`take`].
fn insert(document: &mut Value, path: &[String], place: usize, value: Value) {
    let Some((last, parent)) = path.split_last() else {
        return;
    };
    match find_mut(document, parent) {
        Some(Value::Object(fields)) => {
            fields.shift_insert(place.min(fields.len()), last.clone(), value);
        }
        Some(Value::Array(items)) => items.insert(place.min(items.len()), value),
        _ => {}
    }
}

/// Overwrites a value; gives what was there.
fn restore(document: &mut Value, path: &[String], previous: Value) -> Option<Value> {
    find_mut(document, path).map(|place| std::mem::replace(place, previous))
}

fn find<'a>(document: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(document, |at, step| match at {
        Value::Object(fields) => fields.get(step),
        Value::Array(items) => items.get(index_of(step)?),
        _ => None,
    })
}

fn find_mut<'a>(document: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |at, step| match at {
        Value::Object(fields) => fields.get_mut(step),
        Value::Array(items) => items.get_mut(index_of(step)?),
        _ => None,
    })
}

/// An array index: digits without a leading zero.
fn index_of(step: &str) -> Option<usize> {
    let digits = step.bytes().all(|b| b.is_ascii_digit());
    (digits && (step == "0" || !step.starts_with('0'))).then(|| step.parse().ok()).flatten()
}

/// Whether the document stays within [`MAX_DEPTH`] with this value at this path.
fn fits(path: &[String], value: &Value) -> bool {
    path.len() + depth_of(value) <= MAX_DEPTH
}

fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

/// What a value takes in memory, roughly, counted no further than `limit`.
fn weigh(value: &Value, limit: usize) -> usize {
    let mut seen = size_of::<Value>();
    let mut add = |name: usize, inner: &Value| {
        if seen < limit {
            seen += name;
            seen += weigh(inner, limit.saturating_sub(seen));
        }
    };
    match value {
        Value::Array(items) => items.iter().for_each(|item| add(0, item)),
        Value::Object(fields) => fields.iter().for_each(|(name, field)| add(size_of::<String>() + name.len(), field)),
        Value::String(text) => seen += text.len(),
        _ => {}
    }
    seen.min(limit)
}

/// Equality of RFC 6902, section 4.6: numbers by their value, so 1 is 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
pub(super) mod tests;
