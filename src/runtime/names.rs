//! What a thread is called, as text: the name it gets at first, how an agent is asked for a title, and what of
//! its answer is one (intelligence.md 2.8). Pure.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::agui::{Message, Role};

const MAX_WORDS: usize = 8;
const MAX_CHARS: usize = 80;
/// How many lines of the conversation an agent is told.
const MAX_LINES: usize = 8;
/// How much is read of one message: the topic shows early, and somebody pays for each word.
const MAX_READ: usize = 2000;

/// The name where there is a conversation, but no word of the user's in it.
const UNTITLED: &str = "Untitled";

const INSTRUCTIONS: &str = "You name conversations. Answer with JSON of the form {\"title\":\"...\"} and nothing else. \
    The title tells in 2 to 5 words what the conversation is about, in its language and in sentence case, without \
    quotation marks, emoji, markdown or punctuation at the end. Call no tools, and do not answer the conversation.";

const REQUEST: &str = "Name this conversation: reply with the JSON title alone. Do not answer it.";

/// The name a thread has until something better is known: the first words of the first user message that has any.
/// `None` if nobody has said anything.
pub(super) fn fallback(messages: &[Message]) -> Option<Arc<str>> {
    let users = messages.iter().filter(|message| message.role() == Role::User);
    let named = users.filter_map(Message::text).find_map(|text| {
        let clean = clean(beginning(text.trim()));
        (!clean.is_empty()).then(|| cut(&first_words(&clean)))
    });
    match named {
        Some(name) => Some(name.into()),
        None => messages.iter().any(|message| line(message).is_some()).then(|| UNTITLED.into()),
    }
}

/// The messages that ask an agent for a title; `None` if there is nothing to go by.
pub(super) fn prompt(messages: &[Message]) -> Option<Vec<Message>> {
    let mut lines: Vec<String> = messages.iter().rev().filter_map(line).take(MAX_LINES).collect();
    if lines.is_empty() {
        return None;
    }
    lines.reverse();
    let request = format!("Conversation:\n\n{}\n\n{REQUEST}", lines.join("\n"));
    let instructions = json!({"id": "title-instructions", "role": "system", "content": INSTRUCTIONS}).to_string();
    Some(vec![Message::parse(&instructions).ok()?, Message::user("title-request", &request)])
}

/// The title in what an agent replied, if it is one.
pub(super) fn title(reply: &str) -> Option<String> {
    let reply = without_fence(reply.trim());
    let told = match serde_json::from_str::<Value>(reply) {
        Ok(Value::Object(mut fields)) => match fields.remove("title") {
            Some(Value::String(title)) => Some(title),
            _ => None,
        },
        _ => None,
    };
    let text = match &told {
        Some(title) => title,
        None if looks_like_json(reply) => return None,
        None => reply,
    };
    let clean = cut(&clean(text));
    (1..=MAX_WORDS).contains(&clean.split(' ').filter(|word| !word.is_empty()).count()).then_some(clean)
}

/// A message as a line of the conversation, if it says anything in words.
fn line(message: &Message) -> Option<String> {
    let role = match message.role() {
        role @ (Role::User | Role::Assistant | Role::System | Role::Developer) => role.name(),
        _ => return None,
    };
    let text = message.text()?;
    let said = text.trim();
    match beginning(said) {
        said if !said.is_empty() => Some(format!("{role}: {said}")),
        _ if has_attachments(message) => Some(format!("{role}: (attachment)")),
        _ => None,
    }
}

/// Whether the content has parts; without text they are pictures and the like, which go into no prompt.
fn has_attachments(message: &Message) -> bool {
    #[derive(Deserialize)]
    struct Parts {
        content: Vec<IgnoredAny>,
    }
    serde_json::from_str::<Parts>(message.json()).is_ok_and(|parts| !parts.content.is_empty())
}

fn beginning(text: &str) -> &str {
    match text.char_indices().nth(MAX_READ) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// A reply without the fence of a markdown code block around it.
fn without_fence(reply: &str) -> &str {
    let Some(inner) = reply.strip_prefix("```") else { return reply };
    let inner = inner.strip_prefix("json").unwrap_or(inner);
    inner.strip_suffix("```").unwrap_or(inner).trim()
}

fn looks_like_json(text: &str) -> bool {
    (text.starts_with('{') && text.ends_with('}')) || (text.starts_with('[') && text.ends_with(']'))
}

/// Text without quotes around it, markdown in it, punctuation at its end and white space beyond single spaces.
fn clean(text: &str) -> String {
    const QUOTES: &[char] = &['"', '\'', '`', '“', '”', '‘', '’'];
    const MARKS: &[char] = &['*', '_', '#', '[', ']', '(', ')', '!', '~', '>', '|'];
    const END: &[char] = &['.', '!', '?', ',', ';', ':'];
    let unquoted = text.trim().trim_matches(QUOTES);
    // Control characters that are no white space do no good in a list either.
    let is_kept = |c: &char| !MARKS.contains(c) && (!c.is_control() || c.is_whitespace());
    let plain: String = unquoted.chars().filter(is_kept).collect();
    let plain = plain.trim_end_matches(|c: char| END.contains(&c) || c.is_whitespace());
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn first_words(text: &str) -> String {
    text.split(' ').take(MAX_WORDS).collect::<Vec<_>>().join(" ")
}

fn cut(text: &str) -> String {
    let end = text.char_indices().nth(MAX_CHARS).map_or(text.len(), |(end, _)| end);
    text[..end].trim_end().to_owned()
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
