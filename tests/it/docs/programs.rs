//! Programs in Rust that documents show are compiled with the crate's own documentation.

use std::fs;

use super::{pages, shown};

#[test]
fn every_program_in_rust_is_compiled() {
    let front = fs::read_to_string("src/lib.rs").unwrap();
    let mut count = 0;
    for page in pages() {
        let name = page.strip_prefix(".").unwrap_or(&page).display().to_string();
        let text = fs::read_to_string(&page).unwrap();
        let unseen: Vec<&str> = text.lines().filter(|line| line.starts_with("```rust,ignore")).collect();
        assert!(unseen.is_empty(), "{name}: {unseen:?}");
        if shown(&page, "rust").is_empty() && shown(&page, "rust,no_run").is_empty() {
            continue;
        }
        count += 1;
        assert!(front.contains(&format!("include_str!(\"../{name}\")")), "{name} is not compiled: see src/lib.rs");
    }
    assert!(count >= 5, "{count}");
}
