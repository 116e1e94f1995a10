//! How the program knows who sends a request: what `[users]` describes, as `identify_user` wants it.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::config::{self, Cors, Credentials, KnownBy, Origins, Proxy, Users};
use super::problem::Problem;
use super::wire::is_local;
use crate::access::{Access, ApiKeys, Jwt};
use crate::{IdentifyError, User};

/// Finds out who sends a request.
#[derive(Clone, Debug)]
pub(super) enum Identify {
    Proxy(Arc<Proxy>),
    Access(Box<Access>),
}

impl Identify {
    /// # Errors
    /// What only the parts themselves can know to be wrong.
    pub(super) fn of(users: &Users, cors: &Cors) -> Result<Identify, Problem> {
        Ok(match &users.known_by {
            KnownBy::Proxy(proxy) => Identify::Proxy(Arc::new(proxy.clone())),
            KnownBy::Credentials(credentials) => Identify::Access(Box::new(access(credentials, cors)?)),
        })
    }

    pub(super) fn user(&self, head: &Parts) -> BoxFuture<'static, Result<User, IdentifyError>> {
        match self {
            Identify::Proxy(proxy) => ready(told(proxy, &head.headers)).boxed(),
            Identify::Access(access) => access.identify(head).boxed(),
        }
    }
}

/// Who a proxy says the user is. Two of a header are none: one of them may be the client's.
fn told(proxy: &Proxy, headers: &HeaderMap) -> Result<User, IdentifyError> {
    let only = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?.trim();
        (values.next().is_none() && !value.is_empty()).then(|| value.to_owned())
    };
    let id = only(&proxy.header).ok_or(IdentifyError::Unauthenticated)?;
    let user = User::new(id);
    Ok(match proxy.name_header.as_ref().and_then(only) {
        Some(name) => user.named(name),
        None => user,
    })
}

fn access(credentials: &Credentials, cors: &Cors) -> Result<Access, Problem> {
    let mut access = Access::new();
    if let Some(settings) = &credentials.jwt {
        access = access.jwt(jwt(settings)?);
        if let Some(name) = &settings.cookie {
            access = access.cookie(name.as_str(), trusts(cors));
        }
    }
    if credentials.api_keys.is_empty() {
        return Ok(access);
    }
    let keys = credentials.api_keys.iter().fold(ApiKeys::new(), |keys, key| {
        let user = User::new(key.user.as_str()).with_claims(key.claims.clone());
        keys.with(key.hash, User { name: key.name.clone(), ..user })
    });
    Ok(access.api_keys(keys))
}

fn jwt(settings: &config::Jwt) -> Result<Jwt, Problem> {
    let wrong = |reason: String| Problem::new(settings.place.clone(), "users.jwt", reason);
    let mut builder = Jwt::builder();
    for key in &settings.keys {
        builder = builder.key(key.open().map_err(|error| wrong(error.to_string()))?);
    }
    if let Some(url) = &settings.jwks_url {
        builder = builder.jwks_url(url.0.as_str());
    }
    if let Some(algorithms) = &settings.algorithms {
        builder = builder.algorithms(algorithms.iter().copied());
    }
    builder = builder
        .refresh_after(settings.refresh_after)
        .refresh_interval(settings.refresh_interval)
        .leeway(settings.leeway)
        .id_claim(&settings.id_claim)
        .name_claim(&settings.name_claim);
    builder = settings.issuers.iter().fold(builder, |builder, issuer| builder.issuer(issuer));
    builder = settings.audiences.iter().fold(builder, |builder, audience| builder.audience(audience));
    builder = settings.required.iter().fold(builder, |builder, (claim, texts)| builder.require(claim, texts));
    builder.build().map_err(|error| wrong(error.to_string()))
}

/// The origins whose pages may use a cookie: those CORS lets have credentials.
fn trusts(cors: &Cors) -> impl Fn(&str) -> bool + Send + Sync + 'static {
    let listed = match &cors.origins {
        Origins::List(listed) => listed.clone(),
        Origins::Off | Origins::Any | Origins::Local => Vec::new(),
    };
    let (has_credentials, is_any) = (cors.credentials, cors.is_forced && cors.origins == Origins::Any);
    let has_local = cors.origins == Origins::Local;
    move |origin| {
        has_credentials && (is_any || (has_local && is_local(origin)) || listed.iter().any(|one| one == origin))
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::{Config, FileText};
    use super::*;

    fn config(text: &str) -> Config {
        let file = FileText { path: std::path::Path::new("x.toml"), text };
        Config::load(Some(file), Default::default(), &|_| None).expect("a good configuration")
    }

    #[test]
    fn the_user_is_who_the_proxy_says_and_nobody_if_it_says_nothing_or_two_things() {
        let users = config("[users]\nheader = \"x-user\"\nname_header = \"x-name\"\n").users.expect("users");
        let KnownBy::Proxy(proxy) = users.known_by else { panic!("a proxy") };
        let asked = |given: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(*name, value.parse().expect("a header"));
            }
            told(&proxy, &headers).ok()
        };
        assert_eq!(asked(&[("x-user", " ada "), ("x-name", "Ada")]), Some(User::new("ada").named("Ada")));
        assert_eq!(asked(&[("x-user", "ada"), ("x-name", "")]), Some(User::new("ada")));
        for nobody in [&[][..], &[("x-user", "")], &[("x-user", "ada"), ("x-user", "eve")], &[("x-name", "Ada")]] {
            assert_eq!(asked(nobody), None, "{nobody:?}");
        }
    }

    #[test]
    fn a_cookie_is_for_pages_that_may_have_credentials() {
        let trusted = |cors: &str, origin: &str| trusts(&config(&format!("[cors]\n{cors}")).cors)(origin);
        let listed = "origins = [\"https://app.example.com\"]\n";
        assert!(!trusted(listed, "https://app.example.com"), "without credentials nobody");
        let listed = &format!("{listed}credentials = true\n");
        assert!(trusted(listed, "https://app.example.com") && !trusted(listed, "http://localhost:3000"));
        let local = "credentials = true\n";
        assert!(trusted(local, "http://localhost:3000") && !trusted(local, "https://app.example.com"));
        assert!(!trusted("origins = false\ncredentials = true\n", "http://localhost:3000"));
        let any = "origins = true\ncredentials = true\ndangerously_allow_credentials_from_any_origin = true\n";
        assert!(trusted(any, "https://evil.test"));
    }

    #[test]
    fn settings_only_the_checks_understand_are_problems() {
        for (line, reason) in [
            ("jwks_url = \"http://id.example/keys\"", "must be an https URL"),
            ("jwks_url = \"nowhere\"", "must be an https URL"),
            ("jwks_url = \"https://id.example/\"\nalgorithms = [\"HS256\"]", "HS256 wants a secret"),
            ("jwks_url = \"https://id.example/\"\nalgorithms = []", "no algorithm"),
        ] {
            let config = config(&format!("\n[users.jwt]\n{line}\n"));
            let problem = Identify::of(&config.users.expect("users"), &config.cors).expect_err("a problem").to_string();
            assert!(problem.starts_with("x.toml:2: users.jwt: ") && problem.contains(reason), "{problem}");
        }
    }
}
