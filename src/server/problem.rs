//! What is wrong with a configuration: where it stands, which key, and why.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a setting was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A line of the configuration file.
    File(Arc<Path>, usize),
    /// A command line flag.
    Flag(String),
    /// An environment variable.
    Env(String),
    /// Nowhere: it is about the configuration as a whole.
    Nowhere,
}

/// One thing that is wrong. It never shows a value that may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) place: Place,
    /// The dotted key, as in `server.bind`; may be empty.
    pub(super) key: String,
    pub(super) reason: String,
}

impl Problem {
    pub(super) fn new(place: Place, key: impl Into<String>, reason: impl Into<String>) -> Problem {
        Problem { place, key: key.into(), reason: reason.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path, 0) => write!(f, "{}", path.display()),
            Place::File(path, line) => write!(f, "{}:{line}", path.display()),
            Place::Flag(name) => write!(f, "--{name}"),
            Place::Env(name) => f.write_str(name),
            Place::Nowhere => Ok(()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place != Place::Nowhere {
            write!(f, "{}: ", self.place)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)
    }
}

/// The name most like a misspelt one, if any is like it at all.
pub(super) fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '_'], "");
    let wrong = plain(wrong);
    let tolerated = 1 + wrong.len() / 4;
    names
        .into_iter()
        .map(|name| (distance(&wrong, &plain(name)), name))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters must be typed, dropped, changed or swapped with their neighbour to get from one to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    for (row, letter) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let changed = above[column] + usize::from(letter != *other);
            let mut best = changed.min(above[column + 1] + 1).min(current[column] + 1);
            let swapped = column > 0 && last == Some(*other) && to[column - 1] == letter;
            if let Some(two_back) = before.get(column.wrapping_sub(1)).filter(|_| swapped) {
                best = best.min(two_back + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
        last = Some(letter);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_find_the_nearest() {
        let names = ["bind", "base_path", "body_limit", "single_route_path"];
        assert_eq!(nearest("bnid", names), Some("bind"));
        assert_eq!(nearest("basePath", names), Some("base_path"));
        assert_eq!(nearest("body-limits", names), Some("body_limit"));
        assert_eq!(nearest("colour", names), None);
    }

    #[test]
    fn distance_counts_a_swap_once() {
        assert_eq!(distance("bnid", "bind"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
