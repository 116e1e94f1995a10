//! The headers an agent sends with its own requests.

use std::fmt;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Headers configured on an agent: in order, with the casing they were given, one value per name
/// (rest-sse.md chapter 7). `Debug` shows names only.
///
/// ```
/// use copilotkit_runtime::agent::AgentHeaders;
///
/// let mut own = AgentHeaders::new();
/// own.push("Authorization", "Bearer service")?;
/// own.push("authorization", "lost: the first one counts")?;
///
/// let mut inbound = http::HeaderMap::new();
/// inbound.insert("authorization", "Bearer user".parse().unwrap());
/// inbound.insert("x-tenant", "acme".parse().unwrap());
/// let merged = own.merged_over(&inbound);
/// assert_eq!(merged[0], ("Authorization".to_owned(), "Bearer service".to_owned()));
/// assert_eq!(merged[1], ("x-tenant".to_owned(), "acme".to_owned()));
/// # Ok::<(), copilotkit_runtime::agent::InvalidHeader>(())
/// ```
#[derive(Clone, Default)]
pub struct AgentHeaders {
    entries: Vec<(String, HeaderName, HeaderValue)>,
}

/// The name or value of a header cannot be sent. The value is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header `{name}` has a name or value that cannot be sent")]
pub struct InvalidHeader {
    /// The name as it was given.
    pub name: String,
}

/// They describe one connection or the framing of one message, so they can be neither configured nor
/// passed on; and compressed answers are not understood.
static NEVER_SENT: [HeaderName; 10] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

impl AgentHeaders {
    /// No headers.
    #[must_use]
    pub fn new() -> AgentHeaders {
        AgentHeaders::default()
    }

    /// Adds a header. A name that is already there, however cased, keeps its first value.
    ///
    /// # Errors
    /// [`InvalidHeader`] when it could not be sent.
    pub fn push(&mut self, name: impl Into<String>, value: impl AsRef<str>) -> Result<(), InvalidHeader> {
        let name = name.into();
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value.as_ref()).ok());
        let Some((key, mut value)) = parsed else {
            return Err(InvalidHeader { name });
        };
        if !self.contains(&key) {
            value.set_sensitive(true);
            self.entries.push((name, key, value));
        }
        Ok(())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The headers of a request to the agent: its own, then those of the client that none of its own
    /// replaces. Own names keep their casing, inbound ones are lower-case; values that are no text are read
    /// byte for byte, several of one name are joined by a comma.
    #[must_use]
    pub fn merged_over(&self, inbound: &HeaderMap) -> Vec<(String, String)> {
        let own = self.entries.iter().map(|(name, _, value)| (name.clone(), text(value)));
        let inbound = inbound.keys().filter(|key| !self.contains(key)).map(|key| {
            let values: Vec<String> = inbound.get_all(key).iter().map(text).collect();
            (key.as_str().to_owned(), values.join(", "))
        });
        own.chain(inbound).collect()
    }

    /// The same for sending, without what belongs to the connection the client used.
    pub(crate) fn request_headers(&self, inbound: &HeaderMap) -> HeaderMap {
        let mut merged = HeaderMap::with_capacity(self.entries.len() + inbound.len() + 2);
        for (_, key, value) in &self.entries {
            merged.insert(key, value.clone());
        }
        for (key, value) in inbound {
            if *key != header::HOST && !self.contains(key) {
                merged.append(key, value.clone());
            }
        }
        for name in &NEVER_SENT {
            merged.remove(name);
        }
        merged
    }

    fn contains(&self, key: &HeaderName) -> bool {
        self.entries.iter().any(|(_, own, _)| own == key)
    }
}

fn text(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    }
}

impl fmt::Debug for AgentHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|(name, ..)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbound(entries: &[(&'static str, &str)]) -> HeaderMap {
        entries.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn own_headers_win_however_cased() {
        let mut own = AgentHeaders::new();
        own.push("X-Tenant", "own").unwrap();
        own.push("x-tenant", "second").unwrap();
        own.push("Authorization", "a").unwrap();
        let merged = own.merged_over(&inbound(&[("x-tenant", "in"), ("x-other", "1"), ("authorization", "b")]));
        let merged: Vec<(&str, &str)> = merged.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(merged, [("X-Tenant", "own"), ("Authorization", "a"), ("x-other", "1")]);
    }

    #[test]
    fn connection_headers_are_not_sent() {
        let mut own = AgentHeaders::new();
        own.push("Content-Length", "3").unwrap();
        own.push("Host", "elsewhere").unwrap();
        let sent = own.request_headers(&inbound(&[
            ("transfer-encoding", "chunked"),
            ("content-length", "9"),
            ("accept-encoding", "gzip"),
            ("x-a", "1"),
        ]));
        assert_eq!(sent, inbound(&[("host", "elsewhere"), ("x-a", "1")]));
        let sent = AgentHeaders::new().request_headers(&inbound(&[("host", "the-runtime")]));
        assert!(sent.is_empty());
    }

    #[test]
    fn secrets_stay_out_of_debug_and_errors() {
        let mut own = AgentHeaders::new();
        own.push("Authorization", "Bearer secret").unwrap();
        assert_eq!(format!("{own:?}"), r#"["Authorization"]"#);
        assert!(!format!("{:?}", own.request_headers(&HeaderMap::new())).contains("secret"));
        let error = own.push("X-Key", "secret\n").unwrap_err();
        assert_eq!(error.to_string(), "the header `X-Key` has a name or value that cannot be sent");
        assert!(own.push("sp ace", "").is_err());
    }
}
