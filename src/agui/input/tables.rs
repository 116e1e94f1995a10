//! The typed parts of an input, one table each (rest-sse.md chapter 15.2): what either generation of
//! the protocol accepts.

use super::shape::{Kind, Member, Name, Shape, Variant};

const fn must(name: Name, kind: Kind) -> Member {
    Member { name, kind, required: true }
}

const fn may(name: Name, kind: Kind) -> Member {
    Member { name, kind, required: false }
}

const fn variant(tag: &'static str, members: &'static [Member]) -> Variant {
    Variant { tag, members, one_of: &[] }
}

/// A message. The variants stand in the order of [`super::Role::ALL`].
pub(super) static MESSAGE: Shape = Shape {
    tag: Some(Name::Role),
    variants: &[
        variant("developer", INSTRUCTION),
        variant("system", INSTRUCTION),
        variant(
            "assistant",
            &[
                must(Name::Id, Kind::Text),
                must(Name::Role, Kind::Text),
                may(Name::Content, Kind::Text),
                may(Name::ToolCalls, Kind::List(&TOOL_CALL)),
                may(Name::Name, Kind::Text),
                may(Name::EncryptedValue, Kind::Text),
                may(Name::SubagentRunId, Kind::Text),
                may(Name::Metadata, Kind::Map),
            ],
        ),
        variant(
            "user",
            &[
                must(Name::Id, Kind::Text),
                must(Name::Role, Kind::Text),
                must(Name::Content, Kind::TextOrParts(&PART)),
                may(Name::Name, Kind::Text),
                may(Name::EncryptedValue, Kind::Text),
                may(Name::SubagentRunId, Kind::Text),
                may(Name::Metadata, Kind::Map),
            ],
        ),
        variant(
            "tool",
            &[
                must(Name::Id, Kind::Text),
                must(Name::Role, Kind::Text),
                must(Name::Content, Kind::TextOrParts(&PART)),
                must(Name::ToolCallId, Kind::Text),
                may(Name::Error, Kind::Text),
                may(Name::EncryptedValue, Kind::Text),
                may(Name::SubagentRunId, Kind::Text),
                may(Name::Metadata, Kind::Map),
            ],
        ),
        variant(
            "activity",
            &[
                must(Name::Id, Kind::Text),
                must(Name::Role, Kind::Text),
                must(Name::ActivityType, Kind::Text),
                must(Name::Content, Kind::Map),
                may(Name::SubagentRunId, Kind::Text),
                may(Name::Metadata, Kind::Map),
            ],
        ),
        variant(
            "reasoning",
            &[
                must(Name::Id, Kind::Text),
                must(Name::Role, Kind::Text),
                must(Name::Content, Kind::Text),
                may(Name::EncryptedValue, Kind::Text),
                may(Name::SubagentRunId, Kind::Text),
                may(Name::Metadata, Kind::Map),
            ],
        ),
    ],
};

/// What a developer or system message holds.
const INSTRUCTION: &[Member] = &[
    must(Name::Id, Kind::Text),
    must(Name::Role, Kind::Text),
    must(Name::Content, Kind::Text),
    may(Name::Name, Kind::Text),
    may(Name::EncryptedValue, Kind::Text),
    may(Name::SubagentRunId, Kind::Text),
    may(Name::Metadata, Kind::Map),
];

static TOOL_CALL: Shape = Shape {
    tag: None,
    variants: &[variant(
        "",
        &[
            must(Name::Id, Kind::Text),
            must(Name::Type, Kind::OneOf(&["function"])),
            must(Name::Function, Kind::Object(&FUNCTION)),
            may(Name::EncryptedValue, Kind::Text),
            may(Name::Metadata, Kind::Map),
        ],
    )],
};

static FUNCTION: Shape = Shape {
    tag: None,
    variants: &[variant("", &[must(Name::Name, Kind::Text), must(Name::Arguments, Kind::Text)])],
};

static PART: Shape = Shape {
    tag: Some(Name::Type),
    variants: &[
        variant(
            "text",
            &[
                must(Name::Type, Kind::Text),
                must(Name::Text, Kind::Text),
                may(Name::Id, Kind::Text),
                may(Name::Metadata, Kind::Any),
            ],
        ),
        variant("image", MEDIA),
        variant("audio", MEDIA),
        variant("video", MEDIA),
        variant("document", MEDIA),
        Variant {
            tag: "binary",
            members: &[
                must(Name::Type, Kind::Text),
                must(Name::MimeType, Kind::Text),
                may(Name::Id, Kind::Text),
                may(Name::Url, Kind::Text),
                may(Name::Data, Kind::Text),
                may(Name::Filename, Kind::Text),
            ],
            one_of: &[Name::Id, Name::Url, Name::Data],
        },
    ],
};

/// What a part that is no text holds.
const MEDIA: &[Member] = &[
    must(Name::Type, Kind::Text),
    must(Name::Source, Kind::Object(&SOURCE)),
    may(Name::Id, Kind::Text),
    may(Name::Metadata, Kind::Any),
];

static SOURCE: Shape = Shape {
    tag: Some(Name::Type),
    variants: &[
        variant(
            "data",
            &[must(Name::Type, Kind::Text), must(Name::Value, Kind::Text), must(Name::MimeType, Kind::Text)],
        ),
        variant(
            "url",
            &[must(Name::Type, Kind::Text), must(Name::Value, Kind::Text), may(Name::MimeType, Kind::Text)],
        ),
        variant(
            "file",
            &[
                must(Name::Type, Kind::Text),
                must(Name::Value, Kind::Text),
                may(Name::Provider, Kind::Text),
                may(Name::MimeType, Kind::Text),
            ],
        ),
    ],
};

/// A tool the client offers.
pub(super) static TOOL: Shape = Shape {
    tag: None,
    variants: &[variant(
        "",
        &[
            must(Name::Name, Kind::Text),
            must(Name::Description, Kind::Text),
            may(Name::Parameters, Kind::Any),
            may(Name::Metadata, Kind::Map),
        ],
    )],
};

/// A piece of context.
pub(super) static CONTEXT: Shape = Shape {
    tag: None,
    variants: &[variant("", &[must(Name::Description, Kind::Text), must(Name::Value, Kind::Text)])],
};

/// The answer to an interrupt.
pub(super) static RESUME_ENTRY: Shape = Shape {
    tag: None,
    variants: &[variant(
        "",
        &[
            must(Name::InterruptId, Kind::Text),
            must(Name::Status, Kind::OneOf(&["resolved", "cancelled"])),
            may(Name::Payload, Kind::Any),
            may(Name::Metadata, Kind::Map),
        ],
    )],
};
