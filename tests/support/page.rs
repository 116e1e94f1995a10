//! Parts of documents that are made from the code.

use std::env;
use std::fs;

/// Expects a part of a page to be what the code says; with `WRITE_DOCS` in the environment, makes it so.
///
/// A part stands between `<!-- made: NAME -->` and `<!-- end -->`.
pub(crate) fn expect(page: &str, name: &str, made: &str) {
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{page}: {error}"));
    let begin = format!("<!-- made: {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{page} has no {begin}"));
    let (found, after) = rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("{page}: {name} has no end"));
    let made = format!("\n{}\n\n", made.trim());
    if found == made {
        return;
    }
    if env::var_os("WRITE_DOCS").is_some() {
        let written = fs::write(page, format!("{before}{begin}{made}<!-- end -->{after}"));
        written.unwrap_or_else(|error| panic!("{page}: {error}"));
        return;
    }
    let mut lines = made.lines().zip(found.lines().chain(std::iter::repeat("")));
    let (made, found) = lines.find(|(made, found)| made != found).unwrap_or(("the end", "more"));
    panic!(
        "{page} is not what the code says; `WRITE_DOCS=1 cargo test -- docs:: reference` writes it anew:\n  {made}\n\
         instead of\n  {found}"
    );
}
