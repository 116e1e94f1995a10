//! The words of a search.

#[cfg(feature = "sqlite")]
use std::collections::BTreeSet;

/// The words a search asks for: runs of letters and digits, in lower case. Stores find the same threads for
/// the same text because they all ask with these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words(Vec<String>);

impl Words {
    pub(super) fn of(text: &str) -> Words {
        Words(split(text).collect())
    }

    /// A search for no words finds everything.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each word begins some word of these texts.
    pub(super) fn begin_words_of<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> bool {
        let mut missing: Vec<&str> = self.0.iter().map(String::as_str).collect();
        for word in texts.into_iter().flat_map(split) {
            missing.retain(|wanted| !word.starts_with(wanted));
            if missing.is_empty() {
                return true;
            }
        }
        missing.is_empty()
    }
}

/// How much of a word is kept and asked for where words are kept: what is longer was hardly written by a person.
#[cfg(feature = "sqlite")]
const KEPT: usize = 64;

#[cfg(feature = "sqlite")]
impl Words {
    /// Each word of these texts once, to be kept where [`Words::prefix_queries`] find them.
    pub(super) fn each_once<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
        let words: BTreeSet<String> = texts.into_iter().flat_map(split).map(cut).collect();
        Vec::from_iter(words).join(" ")
    }

    /// For each word, the FTS5 query for words that begin with it.
    pub(super) fn prefix_queries(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|word| format!("\"{}\"*", cut(word.clone())))
    }
}

#[cfg(feature = "sqlite")]
fn cut(mut word: String) -> String {
    word.truncate(word.floor_char_boundary(KEPT));
    word
}

fn split(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_must_begin_a_word_of_some_text() {
        let texts = ["Weather in Zürich", "It rains, 12°C."];
        for found in ["", "weather", "WEA rain", "zür", "12", "  in\n"] {
            assert!(Words::of(found).begin_words_of(texts), "{found}");
        }
        for missed in ["eather", "weather snow", "13"] {
            assert!(!Words::of(missed).begin_words_of(texts), "{missed}");
        }
        assert!(Words::of("¿?").is_empty());
    }
}
