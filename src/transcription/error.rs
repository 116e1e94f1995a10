//! Why a transcription failed, and how that is told from a status or a text.

/// Why a transcription failed; each kind has its own answer (rest-sse.md chapter 9).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranscriptionError {
    /// The provider takes no more requests for now; trying again later may help.
    #[error("Rate limited. Please try again later.")]
    RateLimited,
    /// The provider does not accept the runtime's credentials.
    #[error("Authentication failed with transcription provider")]
    AuthFailed,
    /// The recording is longer or larger than the provider accepts.
    #[error("Audio file is too long")]
    AudioTooLong,
    /// The recording is too short to hold speech.
    #[error("Audio file is too short")]
    AudioTooShort,
    /// The provider could not be reached or did not answer in time.
    #[error("{0}")]
    Network(String),
    /// Anything else, in the provider's words.
    #[error("{0}")]
    Provider(String),
}

use TranscriptionError::{AudioTooLong, AudioTooShort, AuthFailed, Provider, RateLimited};

impl TranscriptionError {
    /// Sorts a failure by its text, for services that have nothing else: by whole words and status codes, so
    /// that `failed to generate` does not count as a rate.
    ///
    /// ```
    /// use copilotkit_runtime::transcription::TranscriptionError;
    ///
    /// assert_eq!(TranscriptionError::from_message("429 Too Many Requests"), TranscriptionError::RateLimited);
    /// let other = TranscriptionError::from_message("failed to generate text");
    /// assert_eq!(other, TranscriptionError::Provider("failed to generate text".into()));
    /// ```
    #[must_use]
    pub fn from_message(message: impl Into<String>) -> TranscriptionError {
        let message = message.into();
        let words = words(&message);
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| contains(&words, phrase));
        if says(&[
            "429",
            "too many requests",
            "rate limit",
            "rate limits",
            "rate limited",
            "rate limiting",
            "ratelimit",
        ]) {
            RateLimited
        } else if says(&["401", "unauthorized", "unauthenticated", "api key", "apikey", "authentication"]) {
            AuthFailed
        } else if too_long(&words) {
            AudioTooLong
        } else if too_short(&words) {
            AudioTooShort
        } else {
            Provider(message)
        }
    }

    /// Sorts a failed answer by its HTTP status; where the status leaves it open, by the provider's text.
    #[must_use]
    pub fn from_status(status: u16, message: impl Into<String>) -> TranscriptionError {
        let message = message.into();
        match status {
            429 => RateLimited,
            401 | 403 => AuthFailed,
            413 => AudioTooLong,
            400 | 422 if too_long(&words(&message)) => AudioTooLong,
            400 | 422 if too_short(&words(&message)) => AudioTooShort,
            _ => Provider(message),
        }
    }
}

fn too_long(words: &[String]) -> bool {
    // A provider that "took too long" says nothing about the recording.
    let about_time = ["took too long", "taking too long", "takes too long"].iter().any(|text| contains(words, text));
    contains(words, "duration") || (contains(words, "too long") && !about_time)
}

fn too_short(words: &[String]) -> bool {
    contains(words, "too short")
}

/// The words of a text: runs of letters and digits, in lower case.
fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric());
    parts.filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
}

/// Whether the words of a phrase stand in the text, side by side.
fn contains(words: &[String], phrase: &str) -> bool {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    words.windows(phrase.len()).any(|window| window.iter().eq(&phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_texts_keep_their_kind() {
        let kind = |text: &str| TranscriptionError::from_message(text);
        assert_eq!(kind("429 Too Many Requests"), RateLimited);
        assert_eq!(kind("Incorrect API key provided"), AuthFailed);
        assert_eq!(kind("maximum content size: duration exceeded"), AudioTooLong);
        assert_eq!(kind("model crashed"), Provider("model crashed".to_owned()));
    }

    #[test]
    fn parts_of_words_do_not_count() {
        for text in [
            "failed to generate",
            "separate channels",
            "model whisper-4290 gone",
            "worked for 1401 ms",
            "It took too long",
        ] {
            assert_eq!(TranscriptionError::from_message(text), Provider(text.to_owned()));
        }
    }

    #[test]
    fn words_count_however_written() {
        for text in ["Rate-limited", "rate_limit_exceeded", "HTTP 429", "status=429;", "Rate limit reached"] {
            assert_eq!(TranscriptionError::from_message(text), RateLimited, "{text}");
        }
        for text in ["invalid_api_key", "401 Unauthorized", "Authentication required"] {
            assert_eq!(TranscriptionError::from_message(text), AuthFailed, "{text}");
        }
        assert_eq!(TranscriptionError::from_message("Audio too long."), AudioTooLong);
        assert_eq!(TranscriptionError::from_message("Audio file is too short: 0.05 s"), AudioTooShort);
    }

    #[test]
    fn status_beats_text() {
        assert_eq!(TranscriptionError::from_status(429, "api key"), RateLimited);
        assert_eq!(TranscriptionError::from_status(403, ""), AuthFailed);
        assert_eq!(TranscriptionError::from_status(413, ""), AudioTooLong);
        assert_eq!(TranscriptionError::from_status(400, "audio_too_short: too short"), AudioTooShort);
        assert_eq!(TranscriptionError::from_status(500, "duration"), Provider("duration".to_owned()));
    }
}
