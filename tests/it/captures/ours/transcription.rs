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
                Some(text) => Err(TranscriptionError::from_message(text)),
                None => Ok(self.says.text.clone().unwrap_or_default()),
            }
        })
    }
}
