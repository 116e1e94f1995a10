//! Join tokens and join codes: who may listen to what.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::World;

/// What becomes of a token that was used.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    /// It is worth nothing any more.
    SingleUse,
    /// It opens further sockets, which go on where the one before ended.
    #[default]
    Reusable,
}

/// What a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Thread(String),
    /// Anything else, by its name.
    Named(String),
}

impl Topic {
    pub(crate) fn name(&self) -> String {
        match self {
            Topic::Thread(id) => format!("thread:{id}"),
            Topic::Named(name) => name.clone(),
        }
    }
}

#[derive(Clone, Debug)]
struct Token {
    user: String,
    topic: Topic,
    is_spent: bool,
    /// The events of the thread that were delivered by it.
    delivered: Option<usize>,
}

/// Every token there is, and the codes of users.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    policy: Policy,
    issued: BTreeMap<String, Token>,
    codes: BTreeMap<(&'static str, String), String>,
}

impl Tokens {
    pub(super) fn new(policy: Policy) -> Tokens {
        Tokens { policy, issued: BTreeMap::new(), codes: BTreeMap::new() }
    }
}

impl World {
    /// A new token; `kind` is the beginning of its text.
    pub(super) fn issue(&mut self, kind: &str, user: &str, topic: Topic) -> String {
        let text = format!("{kind}-token-{}", self.tokens.issued.len() + 1);
        let token = Token { user: user.to_owned(), topic, is_spent: false, delivered: None };
        self.tokens.issued.insert(text.clone(), token);
        text
    }

    /// The code of a user for a kind of topic, the same each time.
    pub(super) fn code(&mut self, kind: &'static str, user: &str) -> String {
        let next = self.tokens.codes.keys().filter(|(of, _)| *of == kind).count() + 1;
        self.tokens.codes.entry((kind, user.to_owned())).or_insert_with(|| format!("{kind}-{next}")).clone()
    }

    /// Uses a token for a socket: whose it is and what it opens, if it is good.
    pub(crate) fn redeem(&mut self, text: &str) -> Option<(String, Topic)> {
        let policy = self.tokens.policy;
        let token = self.tokens.issued.get_mut(text)?;
        if token.is_spent && policy == Policy::SingleUse {
            return None;
        }
        token.is_spent = true;
        Some((token.user.clone(), token.topic.clone()))
    }

    /// How many events of its thread the token has delivered, if it has been used before.
    pub(crate) fn delivered(&self, text: &str) -> Option<usize> {
        self.tokens.issued.get(text)?.delivered
    }

    pub(crate) fn set_delivered(&mut self, text: &str, count: usize) {
        if let Some(token) = self.tokens.issued.get_mut(text) {
            token.delivered = Some(count);
        }
    }
}
