//! A transcription service that says what the case tells it.

use copilotkit_runtime::transcription::{Audio, TranscriptionError, TranscriptionService};
use futures_util::future::BoxFuture;
use serde_json::json;

use crate::captures::case::Transcription;
use crate::captures::observed::Recorder;

pub(super) struct Stub {
    says: Transcription,
    recorder: Recorder,
}

impl Stub {
    pub(super) fn new(says: &Transcription, recorder: &Recorder) -> Stub {
        Stub { says: says.clone(), recorder: recorder.clone() }
    }
}

impl TranscriptionService for Stub {
    fn transcribe(&self, audio: Audio) -> BoxFuture<'_, Result<String, TranscriptionError>> {
        self.recorder.add(json!({
            "transcribe": {"name": audio.filename, "mimeType": audio.mime_type, "size": audio.bytes.len()},
        }));
        Box::pin(async {
            match &self.says.error {
                Some(text) => Err(error(text)),
                None => Ok(self.says.text.clone().unwrap_or_default()),
            }
        })
    }
}

/// The error a service would report where the reference runtime only has its text to go by.
fn error(text: &str) -> TranscriptionError {
    let words = text.to_lowercase();
    let mentions = |any: &[&str]| any.iter().any(|word| words.contains(word));
    if mentions(&["429", "too many", "rate limit"]) {
        TranscriptionError::RateLimited
    } else if mentions(&["401", "api key", "unauthorized"]) {
        TranscriptionError::AuthFailed
    } else if mentions(&["too long", "duration", "length"]) {
        TranscriptionError::AudioTooLong
    } else {
        TranscriptionError::Provider(text.to_owned())
    }
}
