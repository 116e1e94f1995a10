//! Reading the typed objects of an input: one pass over the text, which yields the text of each member.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::shape::{Checked, Field, Problem, Shape};

/// The members found in one object, each as its JSON text.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// Only slots whose bit is in `seen` count; the others may hold leftovers of an earlier object.
    slots: [&'a str; Field::COUNT],
    pub(super) seen: u64,
    pub(super) is_object: bool,
    /// Whether the text could be kept as it stands: no unknown, repeated or escaped name.
    tidy: bool,
    first_name: &'a str,
    last_value: &'a str,
}

impl<'a> Found<'a> {
    pub(super) fn new() -> Found<'a> {
        Found { slots: [""; Field::COUNT], seen: 0, is_object: false, tidy: true, first_name: "", last_value: "" }
    }

    /// The JSON text of a member.
    pub(super) fn get(&self, name: Field) -> Option<&'a str> {
        (self.seen & name.bit() != 0).then(|| self.slots[name as usize])
    }

    /// The text of the whole object, if it is tidy: from the brace before its first name to the one
    /// after its last value. Both are inside `source`, which has been read as JSON already.
    pub(super) fn whole(&self, source: &'a str) -> Option<&'a str> {
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
    pub(super) name: Option<Field>,
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
        Ok(KeyFound { name: Field::from_text(text), plain: Some(text) })
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(KeyFound { name: Field::from_text(text), plain: None })
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
