//! What the typed parts of an input look like, as tables, and the check against them: one pass over
//! the text, nothing copied unless something has to go.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

macro_rules! names {
    ($($name:ident = $text:literal,)*) => {
        /// Every member name of the typed parts of an input.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Name { $($name,)* }

        impl Name {
            const COUNT: usize = [$(Name::$name,)*].len();

            fn from_text(text: &str) -> Option<Name> {
                match text {
                    $($text => Some(Name::$name),)*
                    _ => None,
                }
            }

            fn text(self) -> &'static str {
                match self {
                    $(Name::$name => $text,)*
                }
            }

            fn bit(self) -> u64 {
                1 << self as u32
            }
        }
    };
}

names! {
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
    pub(super) tag: Option<Name>,
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
    pub(super) one_of: &'static [Name],
}

/// One member of a [`Variant`].
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Name,
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

    pub(super) fn at(mut self, name: Name) -> Problem {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{}{dot}{}", name.text(), self.path);
        self
    }

    fn at_index(mut self, index: usize) -> Problem {
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

/// The members found in one object, each as its JSON text.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// Only slots whose bit is in `seen` count; the others may hold leftovers of an earlier object.
    slots: [&'a str; Name::COUNT],
    seen: u64,
    is_object: bool,
    /// Whether the text could be kept as it stands: no unknown, repeated or escaped name.
    tidy: bool,
    first_name: &'a str,
    last_value: &'a str,
}

impl<'a> Found<'a> {
    pub(super) fn new() -> Found<'a> {
        Found { slots: [""; Name::COUNT], seen: 0, is_object: false, tidy: true, first_name: "", last_value: "" }
    }

    /// The JSON text of a member.
    pub(super) fn get(&self, name: Name) -> Option<&'a str> {
        (self.seen & name.bit() != 0).then(|| self.slots[name as usize])
    }

    /// The text of the whole object, if it is tidy: from the brace before its first name to the one
    /// after its last value. Both are inside `source`, which has been read as JSON already.
    fn whole(&self, source: &'a str) -> Option<&'a str> {
        if !self.tidy || self.seen == 0 {
            return None;
        }
        let offset = |part: &str| (part.as_ptr() as usize).checked_sub(source.as_ptr() as usize);
        let before = source.get(..offset(self.first_name)?.checked_sub(1)?)?;
        let start = before.trim_ascii_end().strip_suffix('{')?.len();
        let after = source.get(offset(self.last_value)? + self.last_value.len()..)?;
        let end = source.len() - after.trim_ascii_start().strip_prefix('}')?.len();
        source.get(start..end)
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
    pub(super) fn check_text<'a>(&self, source: &'a str, found: &mut Found<'a>) -> Result<(Cow<'a, str>, usize), Problem> {
        let mut deserializer = serde_json::Deserializer::from_str(source);
        Members { into: found }
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|e| Problem::new(e.to_string()))?;
        let checked = self.check(source, found)?;
        Ok((checked.json, checked.variant))
    }

    /// Checks what was found in one object of `source`.
    fn check<'f, 'a>(&self, source: &'a str, found: &'f Found<'a>) -> Result<Checked<'f, 'a>, Problem> {
        if !found.is_object {
            return Err(Problem::new("expected an object"));
        }
        let variant = self.variant_of(found)?;
        let members = self.variants[variant].members;
        let mut known = 0;
        // Empty for nearly every object, and then without an allocation.
        let mut replaced: Vec<(Name, Option<String>)> = Vec::new();
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
        if self.one_of.is_empty() || self.one_of.iter().any(|name| found.get(*name).is_some_and(|json| json.len() > 2)) {
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
fn write(members: &[Member], found: &Found<'_>, replaced: &[(Name, Option<String>)]) -> String {
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

/// Answers for every kind of value that is not the one expected.
macro_rules! anything_else {
    ($answer:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("JSON")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            $answer
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            $answer
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            $answer
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            $answer
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            $answer
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            $answer
        }
    };
}

/// Reads the members of one object into [`Found`]; anything but an object only leaves `is_object` unset.
pub(super) struct Members<'f, 'a> {
    pub(super) into: &'f mut Found<'a>,
}

impl<'a> DeserializeSeed<'a> for Members<'_, 'a> {
    type Value = ();
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        (self.into.seen, self.into.tidy, self.into.is_object) = (0, true, false);
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Members<'_, 'a> {
    type Value = ();
    anything_else!(Ok(()));

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let found = self.into;
        found.is_object = true;
        while let Some(key) = map.next_key_seed(Key)? {
            let Some(name) = key.name else {
                found.tidy = false;
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&'a RawValue>()?.get();
            match key.plain {
                Some(text) if found.seen == 0 => found.first_name = text,
                Some(_) => {}
                None => found.tidy = false,
            }
            // The last of several wins, as in JavaScript; all others must go.
            found.tidy &= found.seen & name.bit() == 0;
            found.seen |= name.bit();
            found.slots[name as usize] = value;
            found.last_value = value;
        }
        Ok(())
    }
}

/// One name of an object: which it is, and where it stands unless it holds escapes.
pub(super) struct Key;

pub(super) struct KeyFound<'a> {
    pub(super) name: Option<Name>,
    plain: Option<&'a str>,
}

impl<'a> DeserializeSeed<'a> for Key {
    type Value = KeyFound<'a>;
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key {
    type Value = KeyFound<'a>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(KeyFound { name: Name::from_text(text), plain: Some(text) })
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(KeyFound { name: Name::from_text(text), plain: None })
    }
}

/// Reads an array of typed objects in one pass; the inner result tells whether they have their shape.
pub(super) struct List<'a, F> {
    /// The text being read.
    pub(super) source: &'a str,
    pub(super) shape: &'static Shape,
    /// What to make of each.
    pub(super) keep: F,
}

impl<'a, T, F: FnMut(Checked<'_, 'a>) -> Result<T, Problem>> DeserializeSeed<'a> for List<'a, F> {
    type Value = Result<Vec<T>, Problem>;
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, T, F: FnMut(Checked<'_, 'a>) -> Result<T, Problem>> Visitor<'a> for List<'a, F> {
    type Value = Result<Vec<T>, Problem>;
    anything_else!(Ok(Err(Problem::new("expected an array"))));

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Err(Problem::new("expected an array")))
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut found = Found::new();
        let mut items = Ok(Vec::new());
        let mut index = 0;
        while seq.next_element_seed(Members { into: &mut found })?.is_some() {
            // After the first problem only the syntax is of interest.
            if let Ok(kept) = &mut items {
                match self.shape.check(self.source, &found).and_then(&mut self.keep) {
                    Ok(item) => kept.push(item),
                    Err(problem) => items = Err(problem.at_index(index)),
                }
            }
            index += 1;
        }
        Ok(items)
    }
}
