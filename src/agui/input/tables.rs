//! The typed parts of an input, one table each (rest-sse.md chapter 15.2): what either generation of
//! the protocol accepts.

use super::shape::{Field, Kind, Member, Shape, Variant};

const fn must(name: Field, kind: Kind) -> Member {
    Member { name, kind, required: true }
}

const fn may(name: Field, kind: Kind) -> Member {
    Member { name, kind, required: false }
}

const fn variant(tag: &'static str, members: &'static [Member]) -> Variant {
    Variant { tag, members, one_of: &[] }
}

/// A message. The variants stand in the order of [`super::Role::ALL`].
pub(super) static MESSAGE: Shape = Shape {
    tag: Some(Field::Role),
    variants: &[
        variant("developer", INSTRUCTION),
        variant("system", INSTRUCTION),
        variant(
            "assistant",
            &[
                must(Field::Id, Kind::Text),
                must(Field::Role, Kind::Text),
                may(Field::Content, Kind::Text),
                may(Field::ToolCalls, Kind::List(&TOOL_CALL)),
                may(Field::Name, Kind::Text),
                may(Field::EncryptedValue, Kind::Text),
                may(Field::SubagentRunId, Kind::Text),
                may(Field::Metadata, Kind::Map),
            ],
        ),
        variant(
            "user",
            &[
                must(Field::Id, Kind::Text),
                must(Field::Role, Kind::Text),
                must(Field::Content, Kind::TextOrParts(&PART)),
                may(Field::Name, Kind::Text),
                may(Field::EncryptedValue, Kind::Text),
                may(Field::SubagentRunId, Kind::Text),
                may(Field::Metadata, Kind::Map),
            ],
        ),
        variant(
            "tool",
            &[
                must(Field::Id, Kind::Text),
                must(Field::Role, Kind::Text),
                must(Field::Content, Kind::TextOrParts(&PART)),
                must(Field::ToolCallId, Kind::Text),
                may(Field::Error, Kind::Text),
                may(Field::EncryptedValue, Kind::Text),
                may(Field::SubagentRunId, Kind::Text),
                may(Field::Metadata, Kind::Map),
            ],
        ),
        variant(
            "activity",
            &[
                must(Field::Id, Kind::Text),
                must(Field::Role, Kind::Text),
                must(Field::ActivityType, Kind::Text),
                must(Field::Content, Kind::Map),
                may(Field::SubagentRunId, Kind::Text),
                may(Field::Metadata, Kind::Map),
            ],
        ),
        variant(
            "reasoning",
            &[
                must(Field::Id, Kind::Text),
                must(Field::Role, Kind::Text),
                must(Field::Content, Kind::Text),
                may(Field::EncryptedValue, Kind::Text),
                may(Field::SubagentRunId, Kind::Text),
                may(Field::Metadata, Kind::Map),
            ],
        ),
    ],
};

/// What a developer or system message holds.
const INSTRUCTION: &[Member] = &[
    must(Field::Id, Kind::Text),
    must(Field::Role, Kind::Text),
    must(Field::Content, Kind::Text),
    may(Field::Name, Kind::Text),
    may(Field::EncryptedValue, Kind::Text),
    may(Field::SubagentRunId, Kind::Text),
    may(Field::Metadata, Kind::Map),
];

static TOOL_CALL: Shape = Shape {
    tag: None,
    variants: &[variant(
        "",
        &[
            must(Field::Id, Kind::Text),
            must(Field::Type, Kind::OneOf(&["function"])),
            must(Field::Function, Kind::Object(&FUNCTION)),
            may(Field::EncryptedValue, Kind::Text),
            may(Field::Metadata, Kind::Map),
        ],
    )],
};

static FUNCTION: Shape =
    Shape { tag: None, variants: &[variant("", &[must(Field::Name, Kind::Text), must(Field::Arguments, Kind::Text)])] };

static PART: Shape = Shape {
    tag: Some(Field::Type),
    variants: &[
        variant(
            "text",
            &[
                must(Field::Type, Kind::Text),
                must(Field::Text, Kind::Text),
                may(Field::Id, Kind::Text),
                may(Field::Metadata, Kind::Any),
            ],
        ),
        variant("image", MEDIA),
        variant("audio", MEDIA),
        variant("video", MEDIA),
        variant("document", MEDIA),
        Variant {
            tag: "binary",
            members: &[
                must(Field::Type, Kind::Text),
                must(Field::MimeType, Kind::Text),
                may(Field::Id, Kind::Text),
                may(Field::Url, Kind::Text),
                may(Field::Data, Kind::Text),
                may(Field::Filename, Kind::Text),
            ],
            one_of: &[Field::Id, Field::Url, Field::Data],
        },
    ],
};

/// What a part that is no text holds.
const MEDIA: &[Member] = &[
    must(Field::Type, Kind::Text),
    must(Field::Source, Kind::Object(&SOURCE)),
    may(Field::Id, Kind::Text),
    may(Field::Metadata, Kind::Any),
];

static SOURCE: Shape = Shape {
    tag: Some(Field::Type),
    variants: &[
        variant(
            "data",
            &[must(Field::Type, Kind::Text), must(Field::Value, Kind::Text), must(Field::MimeType, Kind::Text)],
        ),
        variant(
            "url",
            &[must(Field::Type, Kind::Text), must(Field::Value, Kind::Text), may(Field::MimeType, Kind::Text)],
        ),
        variant(
            "file",
            &[
                must(Field::Type, Kind::Text),
                must(Field::Value, Kind::Text),
                may(Field::Provider, Kind::Text),
                may(Field::MimeType, Kind::Text),
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
            must(Field::Name, Kind::Text),
            must(Field::Description, Kind::Text),
            may(Field::Parameters, Kind::Any),
            may(Field::Metadata, Kind::Map),
        ],
    )],
};

/// A piece of context.
pub(super) static CONTEXT: Shape = Shape {
    tag: None,
    variants: &[variant("", &[must(Field::Description, Kind::Text), must(Field::Value, Kind::Text)])],
};

/// The answer to an interrupt.
pub(super) static RESUME_ENTRY: Shape = Shape {
    tag: None,
    variants: &[variant(
        "",
        &[
            must(Field::InterruptId, Kind::Text),
            must(Field::Status, Kind::OneOf(&["resolved", "cancelled"])),
            may(Field::Payload, Kind::Any),
            may(Field::Metadata, Kind::Map),
        ],
    )],
};
