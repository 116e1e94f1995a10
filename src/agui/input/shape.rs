//! What the typed parts of an input look like, as tables, and the check against them. Nothing is copied
//! unless something has to go.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::de::DeserializeSeed;
use serde_json::value::RawValue;

use super::read::{Found, List, Members};

macro_rules! fields {
    ($($name:ident = $text:literal,)*) => {
        /// Every member name of the typed parts of an input.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Field { $($name,)* }

        impl Field {
            pub(super) const COUNT: usize = [$(Field::$name,)*].len();

            pub(super) fn from_text(text: &str) -> Option<Field> {
                match text {
                    $($text => Some(Field::$name),)*
                    _ => None,
                }
            }

            fn text(self) -> &'static str {
                match self {
                    $(Field::$name => $text,)*
                }
            }

            pub(super) fn bit(self) -> u64 {
                1 << self as u32
            }
        }
    };
}

fields! {
    ThreadId = "threadId",
    RunId = "runId",
    ParentRunId = "parentRunId",
    State = "state",
    Messages = "messages",
    Tools = "tools",
    Context = "context",
    ForwardedProps = "forwardedProps",
    Resume = "resume",
    Id = "id",
    Role = "role",
    Content = "content",
    Name = "name",
    EncryptedValue = "encryptedValue",
    Metadata = "metadata",
    SubagentRunId = "subagentRunId",
    ToolCalls = "toolCalls",
    ToolCallId = "toolCallId",
    Error = "error",
    ActivityType = "activityType",
    Type = "type",
    Text = "text",
    Source = "source",
    Value = "value",
    MimeType = "mimeType",
    Provider = "provider",
    Url = "url",
    Data = "data",
    Filename = "filename",
    Function = "function",
    Arguments = "arguments",
    Description = "description",
    Parameters = "parameters",
    InterruptId = "interruptId",
    Status = "status",
    Payload = "payload",
}

/// A typed object: its variants, told apart by the value of one member, or a single one.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) tag: Option<Field>,
    pub(super) variants: &'static [Variant],
}

/// One form of a [`Shape`].
#[derive(Debug)]
pub(super) struct Variant {
    /// The value of the tag; not looked at where the shape has none.
    pub(super) tag: &'static str,
    /// What it may hold, in the order in which it is written.
    pub(super) members: &'static [Member],
    /// At least one of these must be a string that is not empty, if there are any.
    pub(super) one_of: &'static [Field],
}

/// One member of a [`Variant`].
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Field,
    pub(super) kind: Kind,
    pub(super) required: bool,
}

/// What the value of a member must be.
#[derive(Debug)]
pub(super) enum Kind {
    /// A string.
    Text,
    /// One of some strings.
    OneOf(&'static [&'static str]),
    /// Any JSON. Null counts as absent, as only one generation of the protocol takes it.
    Any,
    /// An object whose content is nobody's business.
    Map,
    /// A typed object.
    Object(&'static Shape),
    /// An array of typed objects.
    List(&'static Shape),
    /// A string or content parts.
    TextOrParts(&'static Shape),
}

/// Where something is wrong, and what.
#[derive(Debug)]
pub(super) struct Problem {
    path: String,
    reason: String,
}

impl Problem {
    pub(super) fn new(reason: impl Into<String>) -> Problem {
        Problem { path: String::new(), reason: reason.into() }
    }

    pub(super) fn at(mut self, name: Field) -> Problem {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{}{dot}{}", name.text(), self.path);
        self
    }

    pub(super) fn at_index(mut self, index: usize) -> Problem {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.path = format!("[{index}]{dot}{}", self.path);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)
    }
}

/// An object that has the shape it should have.
#[derive(Debug)]
pub(super) struct Checked<'f, 'a> {
    /// Its text; owned if something had to be left out.
    pub(super) json: Cow<'a, str>,
    /// Which variant it is.
    pub(super) variant: usize,
    /// Its members.
    pub(super) found: &'f Found<'a>,
}

impl Checked<'_, '_> {
    /// Its text as raw JSON. It has been read once, so reading it again only fails at depths nobody reaches.
    pub(super) fn into_raw(self) -> Result<Box<RawValue>, Problem> {
        RawValue::from_string(self.json.into_owned()).map_err(|e| Problem::new(e.to_string()))
    }
}

impl Shape {
    /// Checks one object standing alone.
    pub(super) fn check_text<'a>(
        &self,
        source: &'a str,
        found: &mut Found<'a>,
    ) -> Result<(Cow<'a, str>, usize), Problem> {
        let mut deserializer = serde_json::Deserializer::from_str(source);
        Members { into: found }
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|e| Problem::new(e.to_string()))?;
        let checked = self.check(source, found)?;
        Ok((checked.json, checked.variant))
    }

    /// Checks what was found in one object of `source`.
    pub(super) fn check<'f, 'a>(&self, source: &'a str, found: &'f Found<'a>) -> Result<Checked<'f, 'a>, Problem> {
        if !found.is_object {
            return Err(Problem::new("expected an object"));
        }
        let variant = self.variant_of(found)?;
        let members = self.variants[variant].members;
        let mut known = 0;
        // Empty for nearly every object, and then without an allocation.
        let mut replaced: Vec<(Field, Option<String>)> = Vec::new();
        for member in members {
            known |= member.name.bit();
            match (found.get(member.name), member.required) {
                (Some(json), _) => match member.kind.check(json).map_err(|p| p.at(member.name))? {
                    Kept::AsIs => {}
                    Kept::As(text) => replaced.push((member.name, Some(text))),
                    Kept::Not => replaced.push((member.name, None)),
                },
                (None, true) => return Err(Problem::new("required").at(member.name)),
                (None, false) => {}
            }
        }
        self.variants[variant].check_one_of(found)?;
        let whole = if found.seen & !known == 0 && replaced.is_empty() { found.whole(source) } else { None };
        let json = whole.map_or_else(|| Cow::Owned(write(members, found, &replaced)), Cow::Borrowed);
        Ok(Checked { json, variant, found })
    }

    fn variant_of(&self, found: &Found<'_>) -> Result<usize, Problem> {
        let Some(tag) = self.tag else { return Ok(0) };
        let value = text(found.get(tag).ok_or_else(|| Problem::new("required").at(tag))?);
        let value = value.ok_or_else(|| Problem::new("expected a string").at(tag))?;
        self.variants.iter().position(|variant| variant.tag == value).ok_or_else(|| {
            let tags: Vec<&str> = self.variants.iter().map(|variant| variant.tag).collect();
            expected_one_of(&tags).at(tag)
        })
    }
}

impl Variant {
    fn check_one_of(&self, found: &Found<'_>) -> Result<(), Problem> {
        if self.one_of.is_empty() || self.one_of.iter().any(|name| found.get(*name).is_some_and(|json| json.len() > 2))
        {
            return Ok(());
        }
        let names: Vec<&str> = self.one_of.iter().map(|name| name.text()).collect();
        Err(Problem::new(format!("at least one of {} is required", names.join(", "))))
    }
}

/// What becomes of a member's value.
enum Kept {
    AsIs,
    As(String),
    Not,
}

impl Kind {
    fn check(&self, json: &str) -> Result<Kept, Problem> {
        let first = json.as_bytes().first();
        match self {
            Kind::Text if first == Some(&b'"') => Ok(Kept::AsIs),
            Kind::Text => Err(Problem::new("expected a string")),
            Kind::OneOf(values) if text(json).is_some_and(|value| values.contains(&value.as_ref())) => Ok(Kept::AsIs),
            Kind::OneOf(values) => Err(expected_one_of(values)),
            Kind::Any if json == "null" => Ok(Kept::Not),
            Kind::Any => Ok(Kept::AsIs),
            Kind::Map if first == Some(&b'{') => Ok(Kept::AsIs),
            Kind::Map => Err(Problem::new("expected an object")),
            Kind::Object(shape) => match shape.check_text(json, &mut Found::new())?.0 {
                Cow::Borrowed(_) => Ok(Kept::AsIs),
                Cow::Owned(text) => Ok(Kept::As(text)),
            },
            Kind::TextOrParts(_) if first == Some(&b'"') => Ok(Kept::AsIs),
            Kind::TextOrParts(_) if first != Some(&b'[') => {
                Err(Problem::new("expected a string or an array of content parts"))
            }
            Kind::TextOrParts(shape) | Kind::List(shape) => check_list(json, shape),
        }
    }
}

fn check_list(json: &str, shape: &'static Shape) -> Result<Kept, Problem> {
    fn text_of<'a>(checked: Checked<'_, 'a>) -> Result<Cow<'a, str>, Problem> {
        Ok(checked.json)
    }
    let list = List { source: json, shape, keep: text_of };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let items = list.deserialize(&mut deserializer).map_err(|e| Problem::new(e.to_string()))??;
    if items.iter().all(|item| matches!(item, Cow::Borrowed(_))) {
        return Ok(Kept::AsIs);
    }
    Ok(Kept::As(format!("[{}]", items.join(","))))
}

/// The object with its known members only, in the order of the table.
fn write(members: &[Member], found: &Found<'_>, replaced: &[(Field, Option<String>)]) -> String {
    let mut out = String::from("{");
    for member in members {
        let Some(json) = found.get(member.name) else { continue };
        let json = match replaced.iter().find(|(name, _)| *name == member.name) {
            Some((_, None)) => continue,
            Some((_, Some(text))) => text,
            None => json,
        };
        let comma = if out.len() > 1 { "," } else { "" };
        // Writing into a string cannot fail.
        let _ = write!(out, "{comma}\"{}\":{json}", member.name.text());
    }
    out.push('}');
    out
}

fn expected_one_of(values: &[&str]) -> Problem {
    Problem::new(format!("expected \"{}\"", values.join("\" or \"")))
}

/// The text of a JSON string; `None` if `json` is something else, or half a surrogate pair.
pub(super) fn text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}
