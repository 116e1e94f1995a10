//! Where the platform is: the managed defaults, and what is derived from a URL (intelligence.md chapter 1). Pure.

use url::Url;

use super::IntelligenceError;

const MANAGED_API: &str = "https://api.intelligence.copilotkit.ai";
const MANAGED_WS: &str = "wss://realtime.intelligence.copilotkit.ai";

/// The last segment a WebSocket URL may come with: it is replaced by the one that is wanted.
const PLANES: [&str; 3] = ["/runner", "/client", "/channels"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Urls {
    /// Without the slash at its end.
    pub(super) api: String,
    pub(super) runner: String,
    pub(super) client: String,
    /// The MCP server, directly under `api`.
    #[cfg(feature = "mcp")]
    pub(super) mcp: Url,
}

impl Urls {
    /// What blank settings leave at the managed platform.
    pub(super) fn of(api: Option<&str>, ws: Option<&str>) -> Result<Urls, IntelligenceError> {
        let (api, ws) = (given(api).unwrap_or(MANAGED_API), given(ws).unwrap_or(MANAGED_WS));
        check("api_url", api, &["https", "http"])?;
        check("ws_url", ws, &["wss", "ws"])?;
        let (api, ws) = (without_slash(api), without_slash(ws));
        let base = PLANES.iter().find_map(|plane| ws.strip_suffix(plane)).unwrap_or(ws);
        Ok(Urls {
            api: api.to_owned(),
            runner: format!("{base}/runner"),
            client: format!("{base}/client"),
            #[cfg(feature = "mcp")]
            mcp: Url::parse(&format!("{api}/mcp"))
                .map_err(|_| IntelligenceError::Url { setting: "api_url", problem: "is no URL" })?,
        })
    }
}

/// What is wrong when just one of the two is set: the other stays at the managed platform.
pub(super) fn partial_override(api: Option<&str>, ws: Option<&str>) -> Option<String> {
    let (set, value, unset, default) = match (given(api), given(ws)) {
        (Some(api), None) => ("api_url", api, "ws_url", MANAGED_WS),
        (None, Some(ws)) => ("ws_url", ws, "api_url", MANAGED_API),
        _ => return None,
    };
    Some(format!(
        "Intelligence: {set} is \"{value}\" but {unset} is not set, so it stays at the managed \"{default}\". \
         They are two hosts: set both for a platform of your own."
    ))
}

fn given(url: Option<&str>) -> Option<&str> {
    url.map(str::trim).filter(|url| !url.is_empty())
}

fn without_slash(url: &str) -> &str {
    url.strip_suffix('/').unwrap_or(url)
}

/// Paths are appended to the URL, and it is shown in `/info` and logs.
fn check(setting: &'static str, url: &str, schemes: &'static [&'static str]) -> Result<(), IntelligenceError> {
    let wrong = |problem| Err(IntelligenceError::Url { setting, problem });
    let Ok(parsed) = Url::parse(url) else {
        return wrong("is no URL");
    };
    if !schemes.contains(&parsed.scheme()) {
        return wrong(if schemes.contains(&"https") {
            "has to start with https:// or http://"
        } else {
            "has to start with wss:// or ws://"
        });
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return wrong("holds a user name or password, which would be shown to browsers");
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return wrong("has a query or a fragment, and paths are appended to it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(api: &str, ws: &str) -> (String, String, String) {
        let urls = Urls::of(Some(api), Some(ws)).unwrap();
        (urls.api, urls.runner, urls.client)
    }

    fn owned(urls: [&str; 3]) -> (String, String, String) {
        (urls[0].to_owned(), urls[1].to_owned(), urls[2].to_owned())
    }

    #[test]
    fn blank_settings_are_the_managed_platform() {
        let managed =
            [MANAGED_API, &format!("{MANAGED_WS}/runner"), &format!("{MANAGED_WS}/client")].map(str::to_owned);
        let managed: [&str; 3] = [&managed[0], &managed[1], &managed[2]];
        assert_eq!(urls("", " \n"), owned(managed));
        let unset = Urls::of(None, None).unwrap();
        assert_eq!((unset.api, unset.runner, unset.client), owned(managed));
    }

    #[test]
    fn one_slash_is_removed_and_a_plane_is_replaced() {
        let expected = ["http://p:1/base", "ws://p:2/runner", "ws://p:2/client"];
        for ws in ["ws://p:2", "ws://p:2/", "ws://p:2/runner", "ws://p:2/client/", "ws://p:2/channels"] {
            assert_eq!(urls(" http://p:1/base/ ", ws), owned(expected), "{ws}");
        }
        #[cfg(feature = "mcp")]
        assert_eq!(Urls::of(Some("http://p:1/base/"), None).unwrap().mcp.as_str(), "http://p:1/base/mcp");
        assert_eq!(urls("http://p//", "ws://p//"), owned(["http://p/", "ws://p//runner", "ws://p//client"]));
        assert_eq!(urls("http://p", "ws://p/x").1, "ws://p/x/runner");
    }

    #[test]
    fn url_that_cannot_work_is_refused() {
        let refused = |api, ws| Urls::of(api, ws).unwrap_err().to_string();
        assert_eq!(refused(Some("nowhere"), None), "the Intelligence api_url is no URL");
        let scheme = "the Intelligence api_url has to start with https:// or http://";
        assert_eq!(refused(Some("ws://p"), None), scheme);
        let scheme = "the Intelligence ws_url has to start with wss:// or ws://";
        assert_eq!(refused(None, Some("https://p")), scheme);
        for api in ["http://p/?a=1", "http://p/#f"] {
            assert!(refused(Some(api), None).contains("query or a fragment"));
        }
        let refused = refused(Some("http://me:secret@p"), None);
        assert!(refused.contains("user name or password") && !refused.contains("secret"), "{refused}");
    }

    #[test]
    fn one_url_without_the_other_is_worth_a_warning() {
        let warning = partial_override(Some("http://p"), Some(" ")).unwrap();
        assert!(warning.contains("ws_url is not set") && warning.contains(MANAGED_WS), "{warning}");
        let warning = partial_override(None, Some("ws://p")).unwrap();
        assert!(warning.contains("api_url is not set") && warning.contains(MANAGED_API), "{warning}");
        assert_eq!(partial_override(Some("http://p"), Some("ws://p")), None);
        assert_eq!(partial_override(None, None), None);
    }
}
