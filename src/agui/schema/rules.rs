//! The rules of rest-sse.md chapter 15 as tables: the union of what both generations accept.

use super::super::EventKind;

/// What a value must be.
#[derive(Debug)]
pub(super) enum Rule {
    Any,
    Text,
    OneOf(&'static [&'static str]),
    Number,
    /// A whole number, zero or more.
    Count,
    Flag,
    /// An object with any keys.
    Object,
    /// An array of anything.
    List,
    Each(&'static Rule),
    Record(&'static Record),
    /// An object whose rules depend on the text of one field.
    ByTag(&'static str, &'static [(&'static str, &'static Record)]),
    TextOr(&'static Rule),
}

/// An object with known fields.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) fields: &'static [Field],
    /// Whether keys that are no known fields are dropped.
    pub(super) closed: bool,
}

/// A known field. A record may have up to 32.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) need: Need,
    pub(super) rule: Rule,
}

/// Whether a field must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
    /// Optional, and null means absent.
    NullVanishes,
    /// Added with this JSON text when absent.
    Default(&'static str),
    /// An array that must not be empty.
    NotEmpty,
}

use Need::{Default, NotEmpty, NullVanishes, Optional, Required};
use Rule::{Any, ByTag, Count, Each, Flag, List, Number, Object, OneOf, Text, TextOr};

const fn field(name: &'static str, need: Need, rule: Rule) -> Field {
    Field { name, need, rule }
}

macro_rules! open {
    ($($name:literal $need:expr, $rule:expr;)*) => {
        Record { fields: &[$(field($name, $need, $rule)),*], closed: false }
    };
}

/// The rules of one type of event: its own fields, then those every event may have.
macro_rules! event {
    ($($name:literal $need:expr, $rule:expr;)*) => {
        open! {
            $($name $need, $rule;)*
            "timestamp" Optional, Number;
            "metadata" Optional, Object;
        }
    };
}

/// The same for events that may belong to a subagent.
macro_rules! attributed {
    ($($name:literal $need:expr, $rule:expr;)*) => {
        event! {
            $($name $need, $rule;)*
            "subagentRunId" Optional, Text;
        }
    };
}

/// A message of one role.
macro_rules! message {
    ($($name:literal $need:expr, $rule:expr;)*) => {
        open! {
            "id" Required, Text;
            $($name $need, $rule;)*
            "encryptedValue" Optional, Text;
            "subagentRunId" Optional, Text;
            "metadata" Optional, Object;
        }
    };
}

/// The rules of a known type; none for [`EventKind::Unknown`].
pub(super) fn event(kind: EventKind) -> &'static Record {
    match kind {
        EventKind::TextMessageStart => &TEXT_START,
        EventKind::TextMessageContent | EventKind::ReasoningMessageContent => &MESSAGE_CONTENT,
        EventKind::TextMessageEnd
        | EventKind::ReasoningStart
        | EventKind::ReasoningMessageEnd
        | EventKind::ReasoningEnd => &MESSAGE,
        EventKind::TextMessageChunk => &TEXT_CHUNK,
        EventKind::ToolCallStart => &TOOL_START,
        EventKind::ToolCallArgs => &TOOL_ARGS,
        EventKind::ToolCallEnd => &TOOL_END,
        EventKind::ToolCallChunk => &TOOL_CHUNK,
        EventKind::ToolCallResult => &TOOL_RESULT,
        EventKind::StateSnapshot => &ANY_ATTRIBUTED,
        EventKind::StateDelta => &STATE_DELTA,
        EventKind::MessagesSnapshot => &MESSAGES_SNAPSHOT,
        EventKind::ActivitySnapshot => &ACTIVITY_SNAPSHOT,
        EventKind::ActivityDelta => &ACTIVITY_DELTA,
        EventKind::Raw => &RAW,
        EventKind::Custom => &CUSTOM,
        EventKind::RunStarted => &RUN_STARTED,
        EventKind::RunFinished => &RUN_FINISHED,
        EventKind::RunError => &RUN_ERROR,
        EventKind::StepStarted | EventKind::StepFinished => &STEP,
        EventKind::ReasoningMessageStart => &REASONING_START,
        EventKind::ReasoningMessageChunk => &REASONING_CHUNK,
        EventKind::ReasoningEncryptedValue => &ENCRYPTED,
        EventKind::SubagentStarted => &SUBAGENT_STARTED,
        EventKind::SubagentFinished => &SUBAGENT_FINISHED,
        EventKind::SubagentError => &SUBAGENT_ERROR,
        EventKind::ThinkingStart => &THINKING_START,
        EventKind::ThinkingTextMessageContent => &THINKING_CONTENT,
        EventKind::ThinkingEnd
        | EventKind::ThinkingTextMessageStart
        | EventKind::ThinkingTextMessageEnd
        | EventKind::Unknown => &PLAIN,
    }
}

const TEXT_ROLE: Rule = OneOf(&["assistant", "user", "system", "developer"]);
const USAGE: Rule = Each(&Rule::Record(&TOKEN_USAGE));

static PLAIN: Record = event! {};
static ANY_ATTRIBUTED: Record = attributed! {};
static MESSAGE: Record = attributed! { "messageId" Required, Text; };
static MESSAGE_CONTENT: Record = attributed! { "messageId" Required, Text; "delta" Required, Text; };
static TEXT_START: Record = attributed! {
    "messageId" Required, Text;
    "role" Default("\"assistant\""), TEXT_ROLE;
    "name" Optional, Text;
};
static TEXT_CHUNK: Record = attributed! {
    "messageId" Optional, Text;
    "delta" Optional, Text;
    "role" Optional, TEXT_ROLE;
    "name" Optional, Text;
};
static TOOL_START: Record = attributed! {
    "toolCallId" Required, Text;
    "toolCallName" Required, Text;
    "parentMessageId" NullVanishes, Text;
};
static TOOL_ARGS: Record = attributed! { "toolCallId" Required, Text; "delta" Required, Text; };
static TOOL_END: Record = attributed! { "toolCallId" Required, Text; };
static TOOL_CHUNK: Record = attributed! {
    "toolCallId" Optional, Text;
    "delta" Optional, Text;
    "toolCallName" Optional, Text;
    "parentMessageId" NullVanishes, Text;
};
static TOOL_RESULT: Record = attributed! {
    "messageId" Required, Text;
    "toolCallId" Required, Text;
    "content" Required, TextOr(&PARTS);
    "role" Optional, OneOf(&["tool"]);
};
static STATE_DELTA: Record = attributed! { "delta" Required, List; };
static MESSAGES_SNAPSHOT: Record = event! { "messages" Required, MESSAGES; };
static ACTIVITY_SNAPSHOT: Record = attributed! {
    "messageId" Required, Text;
    "activityType" Required, Text;
    "content" Required, Object;
    "replace" Default("true"), Flag;
};
static ACTIVITY_DELTA: Record = attributed! {
    "messageId" Required, Text;
    "activityType" Required, Text;
    "patch" Required, List;
};
static RAW: Record = attributed! { "source" Optional, Text; };
static CUSTOM: Record = attributed! { "name" Required, Text; };
static RUN_STARTED: Record = event! {
    "threadId" Required, Text;
    "runId" Required, Text;
    "parentRunId" Optional, Text;
    "input" Optional, Rule::Record(&INPUT);
};
static RUN_FINISHED: Record = event! {
    "threadId" Required, Text;
    "runId" Required, Text;
    "outcome" NullVanishes, ByTag("type", &[
        ("success", &open! {}),
        ("interrupt", &INTERRUPTED),
        ("cancelled", &open! {}),
    ]);
    "usage" Optional, USAGE;
};
static INTERRUPTED: Record = open! { "interrupts" NotEmpty, Each(&Rule::Record(&INTERRUPT)); };
static RUN_ERROR: Record = event! {
    "message" Required, Text;
    "code" Optional, Text;
    "usage" Optional, USAGE;
};
static STEP: Record = attributed! { "stepName" Required, Text; };
static REASONING_START: Record = attributed! {
    "messageId" Required, Text;
    "role" Required, OneOf(&["reasoning"]);
};
static REASONING_CHUNK: Record = attributed! { "messageId" Optional, Text; "delta" Optional, Text; };
static ENCRYPTED: Record = attributed! {
    "subtype" Required, OneOf(&["tool-call", "message"]);
    "entityId" Required, Text;
    "encryptedValue" Required, Text;
};
static SUBAGENT_STARTED: Record = event! {
    "subagentRunId" Required, Text;
    "name" Required, Text;
    "description" Optional, Text;
    "parentSubagentRunId" Optional, Text;
    "parentToolCallId" Optional, Text;
    "parentMessageId" Optional, Text;
};
static SUBAGENT_FINISHED: Record = event! {
    "subagentRunId" Required, Text;
    "outcome" Optional, ByTag("type", &[
        ("success", &open! {}),
        ("suspended", &open! { "interruptIds" Optional, Each(&Text); }),
    ]);
};
static SUBAGENT_ERROR: Record = event! {
    "subagentRunId" Required, Text;
    "message" Required, Text;
    "code" Optional, Text;
};
static THINKING_START: Record = event! { "title" Optional, Text; };
static THINKING_CONTENT: Record = event! { "delta" Required, Text; };

static TOKEN_USAGE: Record = Record {
    fields: &[
        field("provider", Optional, Text),
        field("model", Optional, Text),
        field("inputTokens", Optional, Count),
        field("outputTokens", Optional, Count),
        field("totalTokens", Optional, Count),
        field("reasoningTokens", Optional, Count),
        field("cachedInputTokens", Optional, Count),
        field("cacheWriteInputTokens", Optional, Count),
    ],
    closed: true,
};
static INTERRUPT: Record = open! {
    "id" Required, Text;
    "reason" Required, Text;
    "message" Optional, Text;
    "toolCallId" Optional, Text;
    "responseSchema" Optional, Object;
    "expiresAt" Optional, Text;
    "metadata" Optional, Object;
    "subagentRunId" Optional, Text;
};

/// `RunAgentInput`; the first generation requires `tools` and `context`, the second does not.
static INPUT: Record = open! {
    "threadId" Required, Text;
    "runId" Required, Text;
    "parentRunId" Optional, Text;
    "state" NullVanishes, Any;
    "messages" Required, MESSAGES;
    "tools" Optional, Each(&Rule::Record(&TOOL));
    "context" Optional, Each(&Rule::Record(&CONTEXT));
    "resume" Optional, Each(&Rule::Record(&RESUME));
};
static TOOL: Record = open! { "name" Required, Text; "description" Required, Text; "metadata" Optional, Object; };
static CONTEXT: Record = open! { "description" Required, Text; "value" Required, Text; };
static RESUME: Record = open! {
    "interruptId" Required, Text;
    "status" Required, OneOf(&["resolved", "cancelled"]);
    "metadata" Optional, Object;
};

const MESSAGES: Rule = Each(&MESSAGE_OF_ROLE);
static MESSAGE_OF_ROLE: Rule = ByTag(
    "role",
    &[
        ("user", &message! { "content" Required, TextOr(&PARTS); "name" Optional, Text; }),
        ("assistant", &ASSISTANT),
        (
            "tool",
            &message! { "content" Required, TextOr(&PARTS); "toolCallId" Required, Text; "error" Optional, Text; },
        ),
        ("reasoning", &message! { "content" Required, Text; }),
        ("system", &message! { "content" Required, Text; "name" Optional, Text; }),
        ("developer", &message! { "content" Required, Text; "name" Optional, Text; }),
        ("activity", &message! { "activityType" Required, Text; "content" Required, Object; }),
    ],
);
static ASSISTANT: Record = message! {
    "content" Optional, Text;
    "name" Optional, Text;
    "toolCalls" Optional, Each(&Rule::Record(&TOOL_CALL));
};
static TOOL_CALL: Record = open! {
    "id" Required, Text;
    "type" Required, OneOf(&["function"]);
    "function" Required, Rule::Record(&open! { "name" Required, Text; "arguments" Required, Text; });
    "encryptedValue" Optional, Text;
    "metadata" Optional, Object;
};

static PARTS: Rule = Each(&ByTag(
    "type",
    &[
        ("text", &open! { "text" Required, Text; }),
        ("image", &MEDIA),
        ("audio", &MEDIA),
        ("video", &MEDIA),
        ("document", &MEDIA),
        ("binary", &BINARY),
    ],
));
static MEDIA: Record = open! {
    "source" Required, ByTag("type", &[
        ("data", &open! { "value" Required, Text; "mimeType" Required, Text; }),
        ("url", &open! { "value" Required, Text; "mimeType" Optional, Text; }),
        ("file", &open! { "value" Required, Text; "provider" Optional, Text; "mimeType" Optional, Text; }),
    ]);
};
static BINARY: Record = open! {
    "mimeType" Required, Text;
    "id" Optional, Text;
    "url" Optional, Text;
    "data" Optional, Text;
    "filename" Optional, Text;
};
