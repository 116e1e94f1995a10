//! What only a store on disk promises; the rest is in the suite of every store.

pub(super) mod files;

use std::sync::Arc;

use super::{SqliteOptions, SqliteStore};
use files::TempFile;

/// A store over a new file.
fn fresh() -> SqliteStore {
    let place = TempFile::new();
    let mut store = SqliteStore::open(place.path(), &SqliteOptions::default()).unwrap();
    store.place = Some(place);
    store
}

crate::store_suite!(suite, async || Arc::new(fresh()));
