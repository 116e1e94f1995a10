//! Speech to text: what `POST /transcribe` needs, and one service that provides it.
//!
//! This room knows neither routes nor agents. Any service can be plugged in:
//!
//! ```
//! use copilotkit_runtime::transcription::{Audio, TranscriptionError, TranscriptionService};
//! use futures_util::future::BoxFuture;
//!
//! struct Fixed;
//!
//! impl TranscriptionService for Fixed {
//!     fn transcribe(&self, audio: Audio) -> BoxFuture<'_, Result<String, TranscriptionError>> {
//!         Box::pin(async move { Ok(format!("{} bytes of {}", audio.bytes.len(), audio.mime_type)) })
//!     }
//! }
//! ```

mod error;
mod openai;

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use error::TranscriptionError;
pub use openai::{InvalidTranscriptionSetting, OpenAiTranscription};

/// Turns speech into text (rest-sse.md chapter 9, `POST /transcribe`).
pub trait TranscriptionService: Send + Sync + 'static {
    /// The words of a recording. Dropping the future cancels the work.
    fn transcribe(&self, audio: Audio) -> BoxFuture<'_, Result<String, TranscriptionError>>;
}

/// A recording as a client sent it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audio {
    /// The decoded bytes.
    pub bytes: Bytes,
    /// The file name, such as `recording.webm`.
    pub filename: String,
    /// The media type with its parameters, such as `audio/webm; codecs=opus`.
    pub mime_type: String,
}

impl Audio {
    /// A recording.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>, filename: impl Into<String>, mime_type: impl Into<String>) -> Audio {
        Audio { bytes: bytes.into(), filename: filename.into(), mime_type: mime_type.into() }
    }
}

impl fmt::Debug for Audio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What somebody said belongs in no log.
        f.debug_struct("Audio")
            .field("bytes", &self.bytes.len())
            .field("filename", &self.filename)
            .field("mime_type", &self.mime_type)
            .finish()
    }
}
