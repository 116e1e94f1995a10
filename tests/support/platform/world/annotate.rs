//! Notes about what users did, each kept once by its id.

use serde_json::{Value, json};

use super::super::call::{Answer, Call};
use super::World;

impl World {
    pub(super) fn annotate(&mut self, id: &str, call: &Call) -> Answer {
        let known = self.annotations.get_index_of(id);
        let number = known.unwrap_or(self.annotations.len()) + 1;
        if known.is_none() {
            self.annotations.insert(id.to_owned(), call.body.clone().unwrap_or(Value::Null));
        }
        Answer::ok(json!({ "id": number.to_string(), "duplicate": known.is_some() }))
    }
}
