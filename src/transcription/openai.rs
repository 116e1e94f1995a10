//! Transcription by OpenAI, or by any server that speaks its interface.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::header::HeaderValue;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, redirect};
use serde::Deserialize;
use url::Url;

use super::{Audio, TranscriptionError, TranscriptionService};

/// A service with OpenAI's interface: `POST {base}/audio/transcriptions`, multipart. `Debug` and errors do
/// not show the key.
///
/// ```
/// use copilotkit_runtime::transcription::OpenAiTranscription;
///
/// let service = OpenAiTranscription::new("https://api.openai.com/v1", "whisper-1", "sk-…")?;
/// # Ok::<(), copilotkit_runtime::transcription::InvalidTranscriptionSetting>(())
/// ```
#[derive(Clone)]
pub struct OpenAiTranscription {
    url: Url,
    model: String,
    authorization: HeaderValue,
    /// The key itself, to keep it out of the provider's words.
    key: String,
    timeout: Duration,
    client: Client,
}

/// A setting of [`OpenAiTranscription`] cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTranscriptionSetting {
    /// The address is no `http` or `https` URL.
    #[error("the transcription address is no http or https URL")]
    Url,
    /// The key holds characters that cannot be sent in a header.
    #[error("the transcription key cannot be sent in a header")]
    Key,
    /// The HTTP client cannot be set up, for want of certificates for example.
    #[error("the HTTP client for transcription cannot be set up")]
    Client,
}

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 4 << 20;

impl OpenAiTranscription {
    /// A service at a base address such as `https://api.openai.com/v1`, with a model and a key.
    ///
    /// # Errors
    /// [`InvalidTranscriptionSetting`].
    pub fn new(
        base_url: &str,
        model: impl Into<String>,
        api_key: &str,
    ) -> Result<OpenAiTranscription, InvalidTranscriptionSetting> {
        let url = format!("{}/audio/transcriptions", base_url.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|_| InvalidTranscriptionSetting::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidTranscriptionSetting::Url);
        }
        let bearer = HeaderValue::from_str(&format!("Bearer {api_key}"));
        let mut authorization = bearer.map_err(|_| InvalidTranscriptionSetting::Key)?;
        authorization.set_sensitive(true);
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|_| InvalidTranscriptionSetting::Client)?;
        let (model, key) = (model.into(), api_key.to_owned());
        Ok(OpenAiTranscription { url, model, authorization, key, timeout: Duration::from_secs(120), client })
    }

    /// How long one transcription may take: 2 minutes unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> OpenAiTranscription {
        self.timeout = timeout;
        self
    }

    async fn ask(&self, audio: Audio) -> Result<String, TranscriptionError> {
        let length = audio.bytes.len() as u64;
        let file = Part::stream_with_length(audio.bytes, length).file_name(audio.filename);
        let file = file
            .mime_str(&audio.mime_type)
            .map_err(|_| TranscriptionError::Provider("the media type of the audio cannot be sent".to_owned()))?;
        let form = Form::new().part("file", file).text("model", self.model.clone());
        let request = self.client.post(self.url.clone()).header("authorization", self.authorization.clone());
        let response = request.timeout(self.timeout).multipart(form).send().await.map_err(network)?;
        let status = response.status();
        let body = read(response).await?;
        if status.is_success() {
            #[derive(Deserialize)]
            struct Transcript {
                text: String,
            }
            return serde_json::from_slice::<Transcript>(&body).map(|transcript| transcript.text).map_err(|_| {
                TranscriptionError::Provider("the transcription provider's answer holds no text".to_owned())
            });
        }
        let text = self.without_key(&failure_text(&body).unwrap_or_else(|| format!("HTTP {}", status.as_u16())));
        Err(TranscriptionError::from_status(status.as_u16(), text))
    }

    fn without_key(&self, text: &str) -> String {
        if self.key.is_empty() { text.to_owned() } else { text.replace(&self.key, "…") }
    }
}

impl TranscriptionService for OpenAiTranscription {
    fn transcribe(&self, audio: Audio) -> BoxFuture<'_, Result<String, TranscriptionError>> {
        Box::pin(self.ask(audio))
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, TranscriptionError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(network)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(TranscriptionError::Provider("the transcription provider's answer is too large".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The `error.message` of an answer.
fn failure_text(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Failure {
        error: Reason,
    }
    #[derive(Deserialize)]
    struct Reason {
        message: String,
    }
    serde_json::from_slice::<Failure>(body).ok().map(|failure| failure.error.message)
}

fn network(error: reqwest::Error) -> TranscriptionError {
    if error.is_timeout() {
        return TranscriptionError::Network("The transcription provider did not answer in time".to_owned());
    }
    let error = error.without_url();
    let mut root: &dyn Error = &error;
    while let Some(source) = root.source() {
        root = source;
    }
    TranscriptionError::Network(format!("The transcription provider could not be reached: {root}"))
}

impl fmt::Debug for OpenAiTranscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiTranscription")
            .field("url", &format_args!("{}{}", self.url.origin().ascii_serialization(), self.url.path()))
            .field("model", &self.model)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "its tasks end with the test's runtime")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;

    /// A provider that answers one request; the task gives the request back.
    async fn provider(status: u16, body: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1/", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            // The last boundary ends with two dashes.
            while !request.ends_with(b"--\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        (base, task)
    }

    async fn answered(status: u16, body: &'static str) -> Result<String, TranscriptionError> {
        let (base, _task) = provider(status, body).await;
        let service = OpenAiTranscription::new(&base, "whisper-1", "sk-secret").unwrap();
        service.transcribe(Audio::new("audio", "a.webm", "audio/webm")).await
    }

    #[tokio::test]
    async fn text_comes_back() {
        let (base, task) = provider(200, r#"{"text":"hello there","usage":{}}"#).await;
        let service = OpenAiTranscription::new(&base, "whisper-1", "sk-secret").unwrap();
        let audio = Audio::new("AUDIO", "rec.webm", "audio/webm; codecs=opus");
        assert_eq!(service.transcribe(audio).await.as_deref(), Ok("hello there"));
        let request = task.await.unwrap();
        assert!(request.starts_with("POST /v1/audio/transcriptions HTTP/1.1\r\n"));
        assert!(request.contains("authorization: Bearer sk-secret\r\n"));
        let file = "Content-Disposition: form-data; name=\"file\"; filename=\"rec.webm\"\r\n\
                    Content-Type: audio/webm; codecs=opus\r\n\r\nAUDIO\r\n";
        assert!(request.contains(file), "{request}");
        assert!(request.contains("name=\"model\"\r\n\r\nwhisper-1\r\n"), "{request}");
        assert!(request.contains("content-length: "), "{request}");
    }

    #[tokio::test]
    async fn failures_are_sorted() {
        assert_eq!(answered(429, "{}").await, Err(TranscriptionError::RateLimited));
        assert_eq!(answered(401, "{}").await, Err(TranscriptionError::AuthFailed));
        assert_eq!(answered(413, "").await, Err(TranscriptionError::AudioTooLong));
        let too_long = r#"{"error":{"message":"audio duration 1500 s is longer than 1400 s"}}"#;
        assert_eq!(answered(400, too_long).await, Err(TranscriptionError::AudioTooLong));
        let leaked = r#"{"error":{"message":"cannot generate for sk-secret"}}"#;
        let provider = |text: &str| Err(TranscriptionError::Provider(text.to_owned()));
        assert_eq!(answered(500, leaked).await, provider("cannot generate for …"));
        assert_eq!(answered(503, "<html>").await, provider("HTTP 503"));
        assert_eq!(answered(302, "").await, provider("HTTP 302"));
        assert_eq!(answered(200, "{}").await, provider("the transcription provider's answer holds no text"));
    }

    #[tokio::test]
    async fn silence_and_absence_are_network_errors() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let service = OpenAiTranscription::new(&base, "m", "k").unwrap().timeout(Duration::from_millis(50));
        let audio = Audio::new("a", "a", "audio/webm");
        let error = service.transcribe(audio.clone()).await.unwrap_err();
        assert_eq!(error.to_string(), "The transcription provider did not answer in time");
        drop(listener);
        let error = service.transcribe(audio).await.unwrap_err();
        assert!(error.to_string().starts_with("The transcription provider could not be reached"), "{error}");
    }

    #[test]
    fn key_stays_out_of_debug() {
        let service = OpenAiTranscription::new("https://u:secret@host/v1?k=secret", "m", "secret").unwrap();
        assert!(!format!("{service:?}").contains("secret"));
        let settings = |base, key| OpenAiTranscription::new(base, "m", key).unwrap_err();
        assert_eq!(settings("nowhere", "k"), InvalidTranscriptionSetting::Url);
        assert_eq!(settings("https://host", "a\nb"), InvalidTranscriptionSetting::Key);
    }
}
