//! The tokens and keys users may show: `[users.jwt]` and `[users.api_keys.NAME]`.

use std::fs;
use std::time::Duration;

use http::HeaderName;
use serde_json::{Map, Value};

use super::super::file::Raw;
use super::{Place, Secret, Section, Setting};
use crate::access::{Algorithm, JwtBuilder, Key, KeyError, KeyHash};
use crate::runtime::is_identifier;

#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) struct Credentials {
    pub(in crate::server) jwt: Option<Jwt>,
    pub(in crate::server) api_keys: Vec<ApiKey>,
}

/// What is asked of tokens.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) struct Jwt {
    pub(in crate::server) place: Place,
    pub(in crate::server) jwks_url: Option<Secret>,
    pub(in crate::server) algorithms: Option<Vec<Algorithm>>,
    pub(in crate::server) refresh_after: Duration,
    pub(in crate::server) refresh_interval: Duration,
    pub(in crate::server) keys: Vec<TokenKey>,
    pub(in crate::server) issuers: Vec<String>,
    pub(in crate::server) audiences: Vec<String>,
    pub(in crate::server) leeway: Duration,
    pub(in crate::server) required: Vec<(String, Vec<String>)>,
    pub(in crate::server) id_claim: String,
    pub(in crate::server) name_claim: String,
    pub(in crate::server) cookie: Option<String>,
}

/// A key that tokens are checked with.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) struct TokenKey {
    algorithm: Algorithm,
    kid: Option<String>,
    material: Material,
}

#[derive(Clone, Debug, PartialEq)]
enum Material {
    Secret(Secret),
    PublicPem(String),
}

/// A key of a user.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) struct ApiKey {
    pub(in crate::server) hash: KeyHash,
    pub(in crate::server) user: String,
    pub(in crate::server) name: Option<String>,
    pub(in crate::server) claims: Map<String, Value>,
}

/// One text or several. Numbers and switches are the texts JSON writes for them, as claims are compared.
pub(super) struct Texts(pub(super) Vec<String>);

/// Whether such are meant to be shown, and what they must be.
pub(super) fn read(users: &mut Section<'_>) -> (bool, Option<Credentials>) {
    let jwt = users.section("jwt");
    let mut keys = users.section("api_keys");
    let (wants_jwt, wants_keys) = (jwt.is_present(), keys.is_present());
    let jwt_read = self::jwt(jwt);
    let place = keys.place();
    let named = keys.named_sections();
    if wants_keys && named.is_empty() {
        keys.report(place, "", "no key; add one as `[users.api_keys.NAME]`");
    }
    keys.finish();
    let api_keys: Vec<ApiKey> = named.into_iter().filter_map(|(_, section)| api_key(section)).collect();
    let is_wanted = wants_jwt || wants_keys;
    (is_wanted, is_wanted.then(|| Credentials { jwt: wants_jwt.then_some(jwt_read), api_keys }))
}

fn jwt(mut section: Section<'_>) -> Jwt {
    let mut required = section.section("require");
    let mut keys = section.section("keys");
    let texts = |section: &mut Section<'_>, key| section.get::<Texts>(key).map_or_else(Vec::new, |texts| texts.0);
    let jwt = Jwt {
        place: section.place(),
        jwks_url: section.get("jwks_url"),
        algorithms: section.get::<Algorithms>("algorithms").map(|algorithms| algorithms.0),
        refresh_after: section.get("refresh_after").unwrap_or(JwtBuilder::REFRESH_AFTER),
        refresh_interval: section.get("refresh_interval").unwrap_or(JwtBuilder::REFRESH_INTERVAL),
        keys: keys.named_sections().into_iter().filter_map(|(_, section)| token_key(section)).collect(),
        issuers: texts(&mut section, "issuer"),
        audiences: texts(&mut section, "audience"),
        leeway: section.get("leeway").unwrap_or(JwtBuilder::LEEWAY),
        required: required.named_values::<Texts>().into_iter().map(|(name, texts, _)| (name, texts.0)).collect(),
        id_claim: section.get("id_claim").unwrap_or_else(|| JwtBuilder::ID_CLAIM.to_owned()),
        name_claim: section.get("name_claim").unwrap_or_else(|| JwtBuilder::NAME_CLAIM.to_owned()),
        cookie: section.get_if::<String>("cookie", |name| is_cookie_name(name)),
    };
    if section.is_present() && jwt.jwks_url.is_none() && !keys.is_present() {
        let reason = "missing; without the address of a key set or keys of your own (`[users.jwt.keys.NAME]`) no token \
                      can be checked";
        section.report(section.place(), "jwks_url", reason);
    }
    required.finish();
    keys.finish();
    section.finish();
    jwt
}

/// As headers name them (RFC 6265, 4.1.1).
fn is_cookie_name(name: &str) -> Result<(), String> {
    HeaderName::try_from(name).map(drop).map_err(|_| format!("`{name}` is no name of a cookie"))
}

fn token_key(mut section: Section<'_>) -> Option<TokenKey> {
    let algorithm = section.get_placed::<Algorithms>("algorithm");
    let kid = section.get("kid");
    let secret = section.get_placed::<Secret>("secret");
    let pem = section.get_placed::<String>("public_key");
    let file = section.get_placed::<String>("public_key_file");
    let place = section.place();
    let algorithm = match algorithm {
        Some((Algorithms(named), place)) => match named.as_slice() {
            [one] => Some(*one),
            _ => {
                section.report(place, "algorithm", "a key is for one algorithm");
                None
            }
        },
        None => {
            section.report(place.clone(), "algorithm", "missing; a key is pinned to the algorithm it is for");
            None
        }
    };
    let from_file = |(path, place): (String, Place)| match fs::read_to_string(&path) {
        Ok(pem) => Some((Material::PublicPem(pem), "public_key_file", place)),
        Err(error) => {
            section.report(place, "public_key_file", format!("the file cannot be read: {error}"));
            None
        }
    };
    let given = match (secret, pem, file) {
        (Some((secret, place)), None, None) => Some((Material::Secret(secret), "secret", place)),
        (None, Some((pem, place)), None) => Some((Material::PublicPem(pem), "public_key", place)),
        (None, None, Some(file)) => from_file(file),
        _ => {
            section.report(place, "", "expected one of `secret`, `public_key` and `public_key_file`");
            None
        }
    };
    let key = algorithm.zip(given).and_then(|(algorithm, (material, named, place))| {
        let key = TokenKey { algorithm, kid, material };
        match key.open() {
            Ok(_) => Some(key),
            Err(error) => {
                section.report(place, named, error.to_string());
                None
            }
        }
    });
    section.finish();
    key
}

impl TokenKey {
    /// The key itself.
    ///
    /// # Errors
    /// Why it is none.
    pub(in crate::server) fn open(&self) -> Result<Key, KeyError> {
        let key = match &self.material {
            Material::Secret(secret) => Key::secret(self.algorithm, secret.0.as_bytes()),
            Material::PublicPem(pem) => Key::public_pem(self.algorithm, pem),
        }?;
        Ok(match &self.kid {
            Some(kid) => key.with_id(kid),
            None => key,
        })
    }
}

fn api_key(mut section: Section<'_>) -> Option<ApiKey> {
    let hash = given(&mut section, "hash", "missing; `copilotkit-runtime users hash-key` makes one");
    let hash = hash.and_then(|(text, place): (String, Place)| {
        let read = text.parse::<KeyHash>();
        read.map_err(|error| section.report(place, "hash", error.to_string())).ok()
    });
    let user = given(&mut section, "user", "missing; it is the id of the key's owner");
    let user = user.and_then(|(id, place): (String, Place)| {
        let checked = is_user_id(&id);
        checked.map_err(|reason| section.report(place, "user", reason)).ok().map(|()| id)
    });
    let name = section.get("name");
    let mut claims_section = section.section("claims");
    let claims = claims_section.named_values::<Texts>().into_iter().map(|(name, Texts(texts), _)| (name, texts.into()));
    let claims = claims.collect();
    claims_section.finish();
    section.finish();
    Some(ApiKey { hash: hash?, user: user?, name, claims })
}

/// A setting there must be.
fn given(section: &mut Section<'_>, key: &'static str, missing: &str) -> Option<(String, Place)> {
    let is_there = section.holds(key);
    let read = section.get_placed(key);
    if !is_there {
        section.report(section.place(), key, missing);
    }
    read
}

/// Whether the runtime can take an id.
pub(super) fn is_user_id(id: &str) -> Result<(), String> {
    if is_identifier(id) {
        return Ok(());
    }
    Err(match crate::access::user_id(id) {
        Some(meant) => {
            format!("ids of users hold letters, digits and `_.@:=-`; tokens of `{id}` are taken as `{meant}`")
        }
        None => "an id of a user has 1 to 128 letters, digits and `_.@:=-`".to_owned(),
    })
}

impl Setting for Texts {
    fn read(raw: Raw) -> Result<Texts, String> {
        let text = |raw: &Raw| match raw {
            Raw::Text(text) => Some(text.clone()),
            Raw::Integer(number) => Some(number.to_string()),
            Raw::Bool(on) => Some(on.to_string()),
            _ => None,
        };
        let texts: Option<Vec<String>> = match &raw {
            Raw::List(items) => items.iter().map(text).collect(),
            one => text(one).map(|text| vec![text]),
        };
        texts.map(Texts).ok_or_else(|| "expected a text or a list of texts".to_owned())
    }
}

struct Algorithms(Vec<Algorithm>);

impl Setting for Algorithms {
    fn read(raw: Raw) -> Result<Algorithms, String> {
        let Texts(names) = Texts::read(raw)?;
        let read: Result<_, _> = names.iter().map(|name| name.parse::<Algorithm>()).collect();
        read.map(Algorithms).map_err(|unknown| unknown.to_string())
    }
}
