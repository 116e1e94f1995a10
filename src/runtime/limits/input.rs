//! How large an input may be.

use crate::agui::RunAgentInput;

/// What a request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InputLimit {
    pub(super) messages: usize,
    pub(super) tools: usize,
    pub(super) id_bytes: usize,
}

/// A request holds more than it may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OverLimit {
    #[error("The request holds {found} {what}; this server takes at most {limit}")]
    Count { what: &'static str, found: usize, limit: usize },
    #[error("{place}: the id has {found} bytes; this server takes at most {limit}")]
    Id { place: String, found: usize, limit: usize },
}

impl InputLimit {
    /// Checks what a client posted.
    pub(super) fn check(&self, input: &RunAgentInput) -> Result<(), OverLimit> {
        for (what, found, limit) in
            [("messages", input.messages.len(), self.messages), ("tools", input.tools.len(), self.tools)]
        {
            if found > limit {
                return Err(OverLimit::Count { what, found, limit });
            }
        }
        self.check_id(&input.thread_id, || "threadId".to_owned())?;
        self.check_id(&input.run_id, || "runId".to_owned())?;
        let mut messages = input.messages.iter().enumerate();
        messages.try_for_each(|(index, message)| self.check_id(message.id(), || format!("messages[{index}].id")))
    }

    fn check_id(&self, id: &str, place: impl FnOnce() -> String) -> Result<(), OverLimit> {
        if id.len() <= self.id_bytes {
            return Ok(());
        }
        Err(OverLimit::Id { place: place(), found: id.len(), limit: self.id_bytes })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::agui::Message;

    #[test]
    fn what_is_over_a_limit_is_named() {
        let limit = InputLimit { messages: 2, tools: 1, id_bytes: 3 };
        let tool = || RawValue::from_string("{}".to_owned()).expect("JSON");
        let fine = || {
            let mut input = RunAgentInput::new("thr", "run");
            input.messages = vec![Message::user("m1", "one"), Message::user("m_2", "two")];
            input.tools = vec![tool()];
            input
        };
        assert_eq!(limit.check(&fine()), Ok(()));
        let told = |change: &dyn Fn(&mut RunAgentInput)| {
            let mut input = fine();
            change(&mut input);
            limit.check(&input).expect_err("over a limit").to_string()
        };
        let messages = told(&|input| input.messages.push(Message::user("m3", "three")));
        assert_eq!(messages, "The request holds 3 messages; this server takes at most 2");
        assert!(told(&|input| input.tools.push(tool())).contains("2 tools"));
        assert!(told(&|input| input.thread_id = "abcd".to_owned()).starts_with("threadId: the id has 4 bytes"));
        assert!(told(&|input| input.run_id = "abcd".to_owned()).starts_with("runId: the id has 4 bytes"));
        let message = told(&|input| input.messages[1] = Message::user("long", "two"));
        assert!(message.starts_with("messages[1].id: the id has 4 bytes"), "{message}");
    }
}
