//! What holds whatever bytes come: one module for each fuzz target, with a function `holds` that panics where it does
//! not. The targets in `fuzz_targets/` call them; so does a test with every file of `corpus/`, without a fuzzer.

#![forbid(unsafe_code)]

pub mod bodies;
pub mod event;
pub mod phoenix;
pub mod proto;
pub mod routes;
pub mod run;
pub mod sse;

/// The bytes in pieces: the first byte tells how long each is, the rest is what is cut.
fn cut(bytes: &[u8]) -> (&[u8], impl Iterator<Item = &[u8]>) {
    let (size, rest) = bytes.split_first().map_or((1, bytes), |(size, rest)| (usize::from(*size).max(1), rest));
    (rest, rest.chunks(size))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// A target's name, and what it tries.
    type Target = (&'static str, fn(&[u8]));

    #[test]
    fn what_was_found_once_holds() {
        let targets: [Target; 7] = [
            ("bodies", super::bodies::holds),
            ("event", super::event::holds),
            ("phoenix", super::phoenix::holds),
            ("proto", super::proto::holds),
            ("routes", super::routes::holds),
            ("run", super::run::holds),
            ("sse", super::sse::holds),
        ];
        for (name, holds) in targets {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
            let mut files = 0;
            for file in fs::read_dir(&folder).expect("every target has a corpus") {
                holds(&fs::read(file.expect("a file").path()).expect("readable"));
                files += 1;
            }
            assert!(files > 0, "{}", folder.display());
        }
    }
}
