//! API keys, of which only hashes are known here.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use uuid::Uuid;

use crate::runtime::User;

/// What the text of a hash begins with.
const SHA256_PREFIX: &str = "sha256:";

/// What a generated key begins with, so that people and scanners know it for one.
const KEY_PREFIX: &str = "ckr_";

/// The SHA-256 of an API key, written `sha256:` and 64 hexadecimal digits.
///
/// A fast hash is enough for keys nobody can guess, and for no others: take them from [`generate_key`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

/// A text is no hash of an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `sha256:` and 64 hexadecimal digits, as `copilotkit-runtime users hash-key` prints them")]
pub struct NotAKeyHash;

impl KeyHash {
    /// The hash of a key.
    #[must_use]
    pub fn of(key: &str) -> KeyHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
        KeyHash(hash)
    }
}

/// A new key with 244 bits nobody can guess.
#[must_use]
pub fn generate_key() -> String {
    format!("{KEY_PREFIX}{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Users by the hashes of their API keys.
#[derive(Clone, Default)]
pub struct ApiKeys {
    users: Vec<(KeyHash, User)>,
}

impl ApiKeys {
    /// No keys.
    #[must_use]
    pub fn new() -> ApiKeys {
        ApiKeys::default()
    }

    /// And this one, whose owner is this user.
    #[must_use]
    pub fn with(mut self, hash: KeyHash, user: User) -> ApiKeys {
        self.users.push((hash, user));
        self
    }

    /// The owner of a key. Every hash is looked at, and each in the same time.
    pub(super) fn user_of(&self, key: &str) -> Option<User> {
        let KeyHash(given) = KeyHash::of(key);
        let fits = |hash: &KeyHash| verify_slices_are_equal(&hash.0, &given).is_ok();
        let found = self.users.iter().fold(None, |found, (hash, user)| if fits(hash) { Some(user) } else { found });
        found.cloned()
    }
}

impl FromStr for KeyHash {
    type Err = NotAKeyHash;

    fn from_str(text: &str) -> Result<KeyHash, NotAKeyHash> {
        let digits = text.strip_prefix(SHA256_PREFIX).ok_or(NotAKeyHash)?.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(NotAKeyHash);
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotAKeyHash)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotAKeyHash)?;
        }
        Ok(KeyHash(hash))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHA256_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.users.iter().map(|(_, user)| &user.id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_what_it_is_written_as() {
        let hash = KeyHash::of("abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        for wrong in ["", "abc", &text[7..], &text[..70], &text.replace("sha256", "md5"), &text.replace("ba", "+a")] {
            assert_eq!(wrong.parse::<KeyHash>(), Err(NotAKeyHash), "{wrong}");
        }
    }

    #[test]
    fn only_the_very_key_is_its_owners() {
        let (ada, bob) = (generate_key(), generate_key());
        assert_eq!((ada.len(), ada == bob), (68, false));
        let keys = ApiKeys::new().with(KeyHash::of(&ada), User::new("ada")).with(KeyHash::of(&bob), User::new("bob"));
        assert_eq!(keys.user_of(&ada), Some(User::new("ada")));
        assert_eq!(keys.user_of(&bob), Some(User::new("bob")));
        for wrong in ["", &ada[1..], &ada[..67], &ada.to_uppercase(), &KeyHash::of(&ada).to_string()] {
            assert_eq!(keys.user_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn debug_shows_owners_and_no_hashes() {
        let keys = ApiKeys::new().with(KeyHash::of("abc"), User::new("ada"));
        assert_eq!(format!("{keys:?} {:?}", KeyHash::of("abc")), r#"["ada"] KeyHash(…)"#);
    }
}
