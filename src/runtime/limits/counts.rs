//! How much of something is held now, by key. As large as what is held.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

type Table<K> = Arc<Mutex<HashMap<K, usize>>>;

pub(super) struct Counts<K> {
    table: Table<K>,
}

impl<K> Default for Counts<K> {
    fn default() -> Counts<K> {
        Counts { table: Table::default() }
    }
}

/// One that counts. Dropping it frees its place.
pub(super) struct Held<K: Eq + Hash> {
    key: K,
    table: Table<K>,
}

impl<K: Eq + Hash + Clone> Counts<K> {
    /// Counts one more, unless `max` are held.
    pub(super) fn take(&self, key: K, max: usize) -> Option<Held<K>> {
        let mut table = self.table.lock();
        match table.entry(key.clone()) {
            Entry::Occupied(held) if *held.get() >= max => return None,
            Entry::Occupied(mut held) => *held.get_mut() += 1,
            Entry::Vacant(_) if max == 0 => return None,
            Entry::Vacant(free) => {
                free.insert(1);
            }
        }
        drop(table);
        Some(Held { key, table: self.table.clone() })
    }
}

impl<K: Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        if let Some(count) = table.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let counts = Counts::default();
        let (first, second) = (counts.take("a", 2), counts.take("a", 2));
        assert!(first.is_some() && second.is_some() && counts.take("a", 2).is_none());
        assert!(counts.take("b", 2).is_some(), "others have places of their own");
        drop(first);
        let third = counts.take("a", 2);
        assert!(third.is_some() && counts.take("a", 2).is_none());
        assert!(counts.take("c", 0).is_none());
    }

    #[test]
    fn nobody_who_holds_nothing_is_remembered() {
        let counts = Counts::default();
        drop((0..100).map(|key| counts.take(key, 1)).collect::<Vec<_>>());
        assert!(counts.table.lock().is_empty());
    }
}
