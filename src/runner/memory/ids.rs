//! A set of ids that costs one buffer, however many there are: every run of a chat posts every message again.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// Ids a thread has heard of. Clients choose them, so the hash is keyed.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// All ids, one behind the other.
    text: String,
    /// Where each begins and ends.
    places: HashTable<(u32, u32)>,
    hasher: RandomState,
}

impl Ids {
    pub(super) fn contains(&self, id: &str) -> bool {
        !self.places.is_empty()
            && self.places.find(self.hasher.hash_one(id), |place| slice(&self.text, *place) == id).is_some()
    }

    /// Adds an id, unless there are 4 GiB of them already; then it stays unknown.
    pub(super) fn insert(&mut self, id: &str) {
        let hash = self.hasher.hash_one(id);
        if self.places.find(hash, |place| slice(&self.text, *place) == id).is_some() {
            return;
        }
        let ends = (u32::try_from(self.text.len()), u32::try_from(self.text.len() + id.len()));
        let (Ok(start), Ok(end)) = ends else { return };
        self.text.push_str(id);
        let (text, hasher) = (&self.text, &self.hasher);
        self.places.insert_unique(hash, (start, end), |place| hasher.hash_one(slice(text, *place)));
    }

    /// Makes room for some ids at once.
    pub(super) fn reserve(&mut self, count: usize, bytes: usize) {
        let (text, hasher) = (&self.text, &self.hasher);
        self.places.reserve(count, |place| hasher.hash_one(slice(text, *place)));
        self.text.reserve(bytes);
    }

    /// Bytes of text held.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }
}

fn slice(text: &str, (start, end): (u32, u32)) -> &str {
    text.get(start as usize..end as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_again_and_kept_once() {
        let mut ids = Ids::default();
        assert!(!ids.contains("a") && !ids.contains(""));
        for _ in 0..2 {
            (0..1000).for_each(|n| ids.insert(&format!("id-{n}")));
            ids.insert("");
        }
        assert!((0..1000).all(|n| ids.contains(&format!("id-{n}"))) && ids.contains(""));
        assert!(!ids.contains("id-1000") && !ids.contains("id-"));
        let once: usize = (0..1000).map(|n| format!("id-{n}").len()).sum();
        assert_eq!(ids.bytes(), once);
    }
}
