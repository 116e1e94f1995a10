//! The messages of a thread, from its events.

use std::collections::{HashMap, HashSet};

use super::entry::{Content, Entry, ToolCall, array};
use crate::agui::raw::{RawMap, elements, field, quoted, string_body, string_field};
use crate::agui::{Event, EventKind, Message, RawJson};

/// Builds the message list of a thread (rest-sse.md chapter 13.5).
///
/// Feed it every run of the thread in order: the messages of the request, then the events of the run.
/// Messages are merged by id, so a client that sends only what is new loses nothing (chapter 14 row 19).
/// Events may be compacted or not. No event fails: one that names nothing known changes nothing.
///
/// ```
/// use copilotkit_runtime::agui::{Event, MessageList};
///
/// let mut messages = MessageList::default();
/// for event in [Event::text_start("m1"), Event::text_content("m1", "Hi"), Event::text_end("m1")] {
///     messages.apply(&event);
/// }
/// assert_eq!(messages.to_rest(), r#"[{"id":"m1","role":"assistant","content":"Hi"}]"#);
/// ```
#[derive(Clone, Debug, Default)]
pub struct MessageList {
    /// Every message ever made, dropped ones included: places stay valid.
    entries: Vec<Entry>,
    /// The places of the messages, in the order of the list.
    order: Vec<usize>,
    /// The place of a message, by its id.
    places: HashMap<String, usize>,
    /// Where a tool call is, by its id: the place of its assistant message, and which of its calls.
    calls: HashMap<String, (usize, usize)>,
}

impl MessageList {
    /// Adds the messages of a request: those with a new id at the end, others are left as they are.
    pub fn add_input<'a>(&mut self, messages: impl IntoIterator<Item = &'a Message>) {
        for message in messages {
            self.append_if_new(message.json());
        }
    }

    /// Whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The messages as AG-UI has them, in order.
    #[must_use]
    pub fn to_messages(&self) -> Vec<RawJson> {
        self.listed().filter_map(Entry::to_message).collect()
    }

    /// What `GET /threads/{threadId}/messages` answers as `messages` (rest-sse.md chapter 9): a JSON array.
    /// Text is as it came, so it may hold half a surrogate pair, escaped.
    #[must_use]
    pub fn to_rest(&self) -> String {
        array(self.listed().map(Entry::to_rest))
    }

    /// What users and assistants said: the text of each of their messages, in order.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.listed()
            .filter(|entry| matches!(entry.role.as_str(), "user" | "assistant"))
            .filter_map(|entry| Message::parse(entry.to_message()?.get()).ok()?.text())
            .collect()
    }

    /// Takes in an event.
    pub fn apply(&mut self, event: &Event) {
        match event.kind() {
            EventKind::RunStarted => self.run_started(event),
            EventKind::TextMessageStart => self.text_started(event),
            EventKind::ReasoningMessageStart => self.reasoning_started(event),
            EventKind::TextMessageContent | EventKind::ReasoningMessageContent => {
                self.text_continued(event);
            }
            EventKind::TextMessageEnd | EventKind::ReasoningMessageEnd => {
                if let Some(entry) = self.by_event(event) {
                    merge_metadata(&mut entry.metadata, event);
                }
            }
            EventKind::ToolCallStart => self.call_started(event),
            EventKind::ToolCallArgs => {
                if let Some(call) = self.call_by_event(event) {
                    call.arguments.push_str(delta(event));
                    merge_metadata(&mut call.metadata, event);
                }
            }
            EventKind::ToolCallEnd => {
                if let Some(call) = self.call_by_event(event) {
                    merge_metadata(&mut call.metadata, event);
                }
            }
            EventKind::ToolCallResult => self.call_answered(event),
            EventKind::MessagesSnapshot => self.replace_by_snapshot(event),
            EventKind::ActivitySnapshot => self.activity_shown(event),
            EventKind::ActivityDelta => self.activity_patched(event),
            EventKind::ReasoningEncryptedValue => self.value_encrypted(event),
            _ => {}
        }
    }

    fn run_started(&mut self, event: &Event) {
        let input = field(event.as_str(), "input").unwrap_or_default();
        let messages = field(input, "messages").unwrap_or_default();
        elements(messages).for_each(|message| self.append_if_new(message));
    }

    fn text_started(&mut self, event: &Event) {
        let Some(id) = event.message_id() else { return };
        let role = string_field(event.as_str(), "role").unwrap_or_else(|| "assistant".to_owned());
        let entry = match self.places.get(id) {
            Some(place) => &mut self.entries[*place],
            None => self.append(Entry { awaits_start: true, ..Entry::new(id, &role) }),
        };
        if std::mem::take(&mut entry.awaits_start) {
            // New, or made for a tool call that was compacted before the message it belongs to.
            entry.content.append("");
            keep_fields(entry, event, &["name", "subagentRunId"]);
        }
        merge_metadata(&mut entry.metadata, event);
    }

    fn reasoning_started(&mut self, event: &Event) {
        let Some(id) = event.message_id() else { return };
        let entry = match self.places.get(id) {
            Some(place) => &mut self.entries[*place],
            None => {
                let entry = self.append(Entry::new(id, "reasoning"));
                entry.content = Content::Text(String::new());
                keep_fields(entry, event, &["subagentRunId"]);
                entry
            }
        };
        merge_metadata(&mut entry.metadata, event);
    }

    fn text_continued(&mut self, event: &Event) {
        if let Some(entry) = self.by_event(event) {
            entry.content.append(delta(event));
            merge_metadata(&mut entry.metadata, event);
        }
    }

    fn call_started(&mut self, event: &Event) {
        let Some(id) = event.tool_call_id() else {
            return;
        };
        let name = string_field(event.as_str(), "toolCallName").unwrap_or_default();
        if let Some(call) = self.call_by_event(event) {
            call.name = name;
            merge_metadata(&mut call.metadata, event);
            return;
        }
        let mut call = ToolCall::new(id, &name);
        merge_metadata(&mut call.metadata, event);
        let parent = string_field(event.as_str(), "parentMessageId");
        let place = self.assistant_for(parent.as_deref(), event, id);
        let calls = &mut self.entries[place].tool_calls;
        self.calls.insert(id.to_owned(), (place, calls.len()));
        calls.push(call);
    }

    /// The assistant message a new tool call goes to, made if there is none.
    fn assistant_for(&mut self, parent: Option<&str>, event: &Event, call: &str) -> usize {
        let is_assistant = |place: &usize| self.entries[*place].role == "assistant";
        let known = parent.map(|parent| self.places.get(parent).copied());
        let id = match (parent, known) {
            (Some(_), Some(Some(place))) if is_assistant(&place) => return place,
            (Some(parent), Some(None)) => parent,
            // No parent, or one that cannot own a call.
            _ => match self.places.get(call).copied() {
                Some(place) if is_assistant(&place) => return place,
                _ => call,
            },
        };
        let entry = self.append(Entry { awaits_start: true, ..Entry::new(id, "assistant") });
        keep_fields(entry, event, &["subagentRunId"]);
        self.entries.len() - 1
    }

    fn call_answered(&mut self, event: &Event) {
        let (Some(id), Some(call)) = (event.message_id(), event.tool_call_id()) else {
            return;
        };
        let content = field(event.as_str(), "content").map_or(Content::Absent, Content::read);
        // The same result again: a run replayed, or sent along by the client.
        if let Some(place) = self.places.get(id)
            && self.entries[*place].role == "tool"
        {
            let entry = &mut self.entries[*place];
            entry.content = content;
            merge_metadata(&mut entry.metadata, event);
            return;
        }
        let mut entry = Entry::new(id, "tool");
        entry.content = content;
        entry.other.set("toolCallId", &quoted(call));
        keep_fields(&mut entry, event, &["subagentRunId"]);
        merge_metadata(&mut entry.metadata, event);
        let at = self.after_results_of(call);
        self.insert(at, entry);
    }

    /// Where a result goes: behind the message that owns the call and the results already there.
    fn after_results_of(&self, call: &str) -> usize {
        let owner = self.calls.get(call).and_then(|(owner, _)| {
            // From the end: a result mostly follows its call closely.
            self.order.iter().rposition(|place| place == owner)
        });
        owner.map_or(self.order.len(), |at| {
            let results = self.order[at + 1..].iter().take_while(|place| self.entries[**place].role == "tool");
            at + 1 + results.count()
        })
    }

    fn replace_by_snapshot(&mut self, event: &Event) {
        let Some(messages) = field(event.as_str(), "messages") else {
            return;
        };
        let snapshot: Vec<Entry> = elements(messages).filter_map(Entry::read).collect();
        let ids: HashSet<&str> = snapshot.iter().map(|entry| entry.id.as_str()).collect();
        let has = |role: &str| snapshot.iter().any(|entry| entry.role == role);
        // Snapshots of agents that know nothing of such messages do not take them away.
        let spared: Vec<&str> = ["activity", "reasoning"].into_iter().filter(|role| !has(role)).collect();
        let entries = &self.entries;
        self.order.retain(|place| {
            let entry = &entries[*place];
            ids.contains(entry.id.as_str()) || spared.contains(&entry.role.as_str())
        });
        let kept: HashSet<usize> = self.order.iter().copied().collect();
        self.places.retain(|_, place| kept.contains(place));
        for entry in snapshot {
            match self.places.get(&entry.id) {
                Some(place) => self.entries[*place] = entry,
                None => {
                    self.append(entry);
                }
            }
        }
        self.calls.clear();
        for place in self.order.clone() {
            self.find_calls(place);
        }
    }

    fn activity_shown(&mut self, event: &Event) {
        let json = event.as_str();
        let (Some(id), Some(content)) = (event.message_id(), field(json, "content")) else {
            return;
        };
        let replace = field(json, "replace") != Some("false");
        let entry = match self.places.get(id) {
            Some(place) => {
                let entry = &mut self.entries[*place];
                if replace && entry.role != "activity" {
                    *entry = Entry::new(id, "activity");
                }
                entry
            }
            None => {
                let entry = self.append(Entry::new(id, "activity"));
                entry.content = Content::read(content);
                keep_fields(entry, event, &["activityType", "subagentRunId"]);
                entry
            }
        };
        if replace {
            entry.content = Content::read(content);
            keep_fields(entry, event, &["activityType", "subagentRunId"]);
        }
        merge_metadata(&mut entry.metadata, event);
    }

    fn activity_patched(&mut self, event: &Event) {
        let patch = field(event.as_str(), "patch").unwrap_or_default();
        if let Some(entry) = self.by_event(event).filter(|entry| entry.role == "activity") {
            entry.content.patch(patch);
            keep_fields(entry, event, &["activityType"]);
            merge_metadata(&mut entry.metadata, event);
        }
    }

    fn value_encrypted(&mut self, event: &Event) {
        let json = event.as_str();
        let (Some(entity), Some(value)) = (string_field(json, "entityId"), field(json, "encryptedValue")) else {
            return;
        };
        let fields = match string_field(json, "subtype").as_deref() {
            Some("tool-call") => self.call_mut(&entity).map(|call| &mut call.other),
            Some("message") => self.places.get(&entity).map(|place| &mut self.entries[*place].other),
            _ => None,
        };
        if let Some(fields) = fields {
            fields.set("encryptedValue", value);
        }
    }

    fn listed(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().map(|place| &self.entries[*place])
    }

    fn by_event(&mut self, event: &Event) -> Option<&mut Entry> {
        let place = *self.places.get(event.message_id()?)?;
        self.entries.get_mut(place)
    }

    fn call_by_event(&mut self, event: &Event) -> Option<&mut ToolCall> {
        self.call_mut(event.tool_call_id()?)
    }

    fn call_mut(&mut self, id: &str) -> Option<&mut ToolCall> {
        let (place, call) = *self.calls.get(id)?;
        self.entries.get_mut(place)?.tool_calls.get_mut(call)
    }

    fn append_if_new(&mut self, message: &str) {
        if let Some(entry) = Entry::read(message)
            && !self.places.contains_key(&entry.id)
        {
            self.append(entry);
        }
    }

    fn append(&mut self, entry: Entry) -> &mut Entry {
        self.insert(self.order.len(), entry)
    }

    fn insert(&mut self, at: usize, entry: Entry) -> &mut Entry {
        let place = self.entries.len();
        self.order.insert(at, place);
        // The first of an id keeps it: a tool result may carry the id of another message.
        self.places.entry(entry.id.clone()).or_insert(place);
        self.entries.push(entry);
        self.find_calls(place);
        &mut self.entries[place]
    }

    /// Notes where the calls of a message are. The first of an id keeps it.
    fn find_calls(&mut self, place: usize) {
        for (index, call) in self.entries[place].tool_calls.iter().enumerate() {
            self.calls.entry(call.id.clone()).or_insert((place, index));
        }
    }
}

fn delta(event: &Event) -> &str {
    field(event.as_str(), "delta").and_then(string_body).unwrap_or_default()
}

fn merge_metadata(metadata: &mut RawMap, event: &Event) {
    if let Some(new) = field(event.as_str(), "metadata") {
        metadata.merge(new);
    }
}

/// Copies string fields of an event to its message.
fn keep_fields(entry: &mut Entry, event: &Event, names: &[&str]) {
    for name in names {
        if let Some(value) = field(event.as_str(), name).filter(|value| string_body(value).is_some()) {
            entry.other.set(name, value);
        }
    }
}

#[cfg(test)]
mod tests;
