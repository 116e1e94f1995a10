//! A path leads to the same route below any mount, by itself and in an envelope; no envelope leaves its mount.

use bytes::Bytes;
use copilotkit_runtime::fuzzing::{Opened, open_envelope, route_at};
use http::Uri;

const MOUNT: &str = "/api/copilotkit";

/// Takes the bytes for a path, for the path in an envelope, and for an envelope.
pub fn holds(bytes: &[u8]) {
    envelope(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let asked = serde_json::json!({"method": "resource/request", "params": {"path": text, "httpMethod": "GET"}});
    let inside = envelope(asked.to_string().as_bytes());

    let path = format!("/{}", text.trim_start_matches('/'));
    let bare = route_at("", &path);
    // Dots lead out of a mount.
    if !text.split('/').any(|segment| segment.to_ascii_lowercase().replace("%2e", ".").starts_with('.')) {
        assert_eq!(route_at(MOUNT, &format!("{MOUNT}{path}")), bare);
        assert_eq!(route_at(&format!("{MOUNT}/"), &format!("{MOUNT}{path}")), bare);
    }
    assert_eq!(route_at(MOUNT, &format!("/elsewhere{MOUNT}{path}")), None);
    // What a URL parser leaves as it is.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~%:@!$&()*+,;=".contains(byte);
    if path == text && bytes.iter().all(plain) {
        let Some(Opened::Resource(inside, None)) = inside else { panic!("an envelope refused {path}") };
        assert_eq!(route_at("", &inside), bare);
    }
}

fn envelope(bytes: &[u8]) -> Option<Opened> {
    let (opened, taken_for_one) = open_envelope(&Bytes::copy_from_slice(bytes));
    assert!(opened.is_none() || taken_for_one, "opened, but not taken for an envelope");
    if let Some(Opened::Resource(path, query)) = &opened {
        let query = query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{MOUNT}{path}{query}");
        // Longer ones are refused by the type itself.
        if target.len() < usize::from(u16::MAX) {
            let uri: Uri = target.parse().expect("what an envelope asks for is a URI");
            assert!(uri.authority().is_none());
            assert_eq!(route_at(MOUNT, uri.path()), route_at("", path), "out of its mount");
        }
    }
    opened
}
