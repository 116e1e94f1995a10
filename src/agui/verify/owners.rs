//! Attribution: who started a message, a tool call, an activity or a reasoning, and that whoever goes on
//! with it is the same.

use hashbrown::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::{Event, EventKind};
use super::Violation;

/// Who started what in the current run. Kept after its end too, since an encrypted value may follow.
///
/// Nearly all runs attribute nothing. Until the first attributed event everything is the parent agent's, so
/// message histories are only put aside, and read when that event comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    attributed: bool,
    unread: Vec<Event>,
    buckets: [HashMap<Box<str>, Owner>; 4],
}

/// What has owners. An id is only unique within its bucket.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bucket {
    Message,
    ToolCall,
    Activity,
    Reasoning,
}

/// A subagent; `None` is the parent agent.
type Owner = Option<Box<str>>;

impl Owners {
    /// Something starts, or starts anew. The first owner stays, and a second must not be another.
    pub(super) fn open(&mut self, bucket: Bucket, id: &str, event: &Event) -> Result<(), Violation> {
        self.note(event)?;
        self.agree(bucket, id, event)?;
        if !self.owners(bucket).contains_key(id) {
            let owner = owner_of(event);
            self.owners(bucket).insert(id.into(), owner);
        }
        Ok(())
    }

    /// Something goes on. An event that names nobody agrees with everybody.
    pub(super) fn agree(&mut self, bucket: Bucket, id: &str, event: &Event) -> Result<(), Violation> {
        let Some(tag) = event.subagent_run_id() else { return Ok(()) };
        self.note(event)?;
        match self.owners(bucket).get(id) {
            Some(owner) => agree_with(owner, tag, bucket.noun(), id, event),
            None => Ok(()),
        }
    }

    /// A tool call starts. It belongs to the message that carries it.
    pub(super) fn open_call(&mut self, call: &str, event: &Event) -> Result<(), Violation> {
        self.note(event)?;
        if !self.attributed {
            self.owners(Bucket::ToolCall).entry(call.into()).or_default();
            return Ok(());
        }
        let tag = event.subagent_run_id();
        let parent = parent_message_id(event);
        let inherited = parent.as_ref().and_then(|parent| self.owners(Bucket::Message).get(parent.as_str()).cloned());
        let parent = parent.unwrap_or_default();
        if let (Some(tag), Some(owner)) = (tag, &inherited)
            && owner.as_deref() != Some(tag)
        {
            return Err(Violation::new(format!(
                "Cannot send 'TOOL_CALL_START': subagentRunId '{tag}' does not match its parent message '{parent}' \
                 owner '{}'. A tool call belongs to the message that carries it.",
                shown(owner)
            )));
        }
        self.agree(Bucket::ToolCall, call, event)?;
        let calls = self.owners(Bucket::ToolCall);
        match (calls.get(call), tag, inherited) {
            (Some(owner), None, Some(inherited)) if *owner != inherited => Err(Violation::new(format!(
                "Cannot send 'TOOL_CALL_START': tool call '{call}' is owned by '{}' but its parent message '{parent}' \
                 is owned by '{}'. A tool call belongs to the message that carries it.",
                shown(owner),
                shown(&inherited)
            ))),
            (Some(_), ..) => Ok(()),
            (None, tag, inherited) => {
                let owner = tag.map_or_else(|| inherited.flatten(), |tag| Some(tag.into()));
                calls.insert(call.into(), owner);
                Ok(())
            }
        }
    }

    /// A tool result makes a message of its own, which belongs to whoever answered last.
    pub(super) fn mint_result(&mut self, event: &Event) -> Result<(), Violation> {
        self.note(event)?;
        if let Some(message) = event.message_id() {
            self.owners(Bucket::Message).insert(message.into(), owner_of(event));
        }
        Ok(())
    }

    /// An activity is (re)stated. A snapshot that does not replace leaves a known one with its owner.
    pub(super) fn snapshot_activity(&mut self, activity: &str, event: &Event) -> Result<(), Violation> {
        #[derive(Deserialize)]
        struct Replace {
            #[serde(default)]
            replace: Option<bool>,
        }
        self.note(event)?;
        let keeps = event.view::<Replace>().is_ok_and(|snapshot| snapshot.replace == Some(false));
        if !keeps || !self.owners(Bucket::Activity).contains_key(activity) {
            self.owners(Bucket::Activity).insert(activity.into(), owner_of(event));
        }
        Ok(())
    }

    /// An encrypted value goes on with what its `entityId` names; `subtype` says where to look.
    pub(super) fn agree_encrypted(&mut self, event: &Event) -> Result<(), Violation> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Encrypted {
            entity_id: String,
            subtype: Option<String>,
        }
        let Some(tag) = event.subagent_run_id() else { return Ok(()) };
        self.note(event)?;
        let Ok(Encrypted { entity_id, subtype }) = event.view() else { return Ok(()) };
        let entity = entity_id.as_str();
        let (owner, noun) = match subtype.as_deref() {
            Some("tool-call") => (self.owners(Bucket::ToolCall).get(entity), "tool call"),
            Some("message") if self.owners(Bucket::Message).contains_key(entity) => {
                (self.owners(Bucket::Message).get(entity), "message")
            }
            Some("message") => (self.owners(Bucket::Reasoning).get(entity), "message"),
            _ => (self.owners(Bucket::Reasoning).get(entity), "reasoning message"),
        };
        owner.map_or(Ok(()), |owner| agree_with(owner, tag, noun, entity, event))
    }

    /// The messages of a `MESSAGES_SNAPSHOT`, which restates the conversation and its owners, or of the input of a
    /// `RUN_STARTED`, where what has an owner keeps it.
    pub(super) fn history(&mut self, event: &Event) -> Result<(), Violation> {
        if !self.attributed && !event.as_str().contains("subagentRunId") {
            self.unread.push(event.clone());
            return Ok(());
        }
        self.catch_up()?;
        self.read(event)
    }

    /// Takes note of an event that has or makes an owner.
    fn note(&mut self, event: &Event) -> Result<(), Violation> {
        if event.subagent_run_id().is_some() { self.catch_up() } else { Ok(()) }
    }

    fn catch_up(&mut self) -> Result<(), Violation> {
        self.attributed = true;
        std::mem::take(&mut self.unread).iter().try_for_each(|event| self.read(event))
    }

    fn read(&mut self, event: &Event) -> Result<(), Violation> {
        let restated = event.kind() == EventKind::MessagesSnapshot;
        let event: Value = event.view().unwrap_or_default();
        let messages = if restated { &event["messages"] } else { &event["input"]["messages"] };
        for message in messages.as_array().into_iter().flatten() {
            let Some(id) = message["id"].as_str() else { continue };
            if message.get("subagentRunId").is_some_and(Value::is_null) {
                return Err(Violation::new(format!(
                    "Cannot send a message (id '{id}') with 'subagentRunId: null'. The field is optional — omit it \
                     entirely."
                )));
            }
            let bucket = match message["role"].as_str() {
                Some("reasoning") => Bucket::Reasoning,
                Some("activity") => Bucket::Activity,
                _ => Bucket::Message,
            };
            let calls = message["toolCalls"].as_array().into_iter().flatten();
            let calls = calls.filter_map(|call| Some((Bucket::ToolCall, call["id"].as_str()?)));
            for (bucket, id) in calls.chain([(bucket, id)]) {
                let owners = self.owners(bucket);
                if restated || !owners.contains_key(id) {
                    owners.insert(id.into(), message["subagentRunId"].as_str().map(Into::into));
                }
            }
        }
        Ok(())
    }

    fn owners(&mut self, bucket: Bucket) -> &mut HashMap<Box<str>, Owner> {
        &mut self.buckets[bucket as usize]
    }
}

impl Bucket {
    fn noun(self) -> &'static str {
        match self {
            Bucket::Message => "message",
            Bucket::ToolCall => "tool call",
            Bucket::Activity => "activity",
            Bucket::Reasoning => "reasoning message",
        }
    }
}

fn owner_of(event: &Event) -> Owner {
    event.subagent_run_id().map(Into::into)
}

fn parent_message_id(event: &Event) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Parent {
        parent_message_id: Option<String>,
    }
    event.view::<Parent>().ok()?.parent_message_id
}

fn agree_with(owner: &Owner, tag: &str, noun: &str, id: &str, event: &Event) -> Result<(), Violation> {
    if owner.as_deref() == Some(tag) {
        return Ok(());
    }
    Err(Violation::new(format!(
        "Cannot send '{}': subagentRunId '{tag}' does not match the {noun} '{id}' opener's subagent '{}'.",
        event.kind().name(),
        shown(owner)
    )))
}

fn shown(owner: &Owner) -> &str {
    owner.as_deref().unwrap_or("(the parent agent)")
}
