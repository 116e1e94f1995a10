use proptest::prelude::*;

use super::*;

fn message(role: &str, content: &Value) -> Message {
    let mut message = json!({"id": "m", "role": role, "content": content});
    if role == "tool" {
        message["toolCallId"] = json!("c");
    }
    Message::parse(&message.to_string()).unwrap()
}

fn user(text: &str) -> Message {
    Message::user("u", text)
}

fn named(messages: &[Message]) -> Option<String> {
    fallback(messages).map(|name| name.to_string())
}

/// What the agent is told of a conversation.
fn transcript(messages: &[Message]) -> Option<String> {
    let prompt = prompt(messages)?;
    assert_eq!(prompt.iter().map(Message::role).collect::<Vec<_>>(), [Role::System, Role::User]);
    let asked = prompt[1].text().unwrap();
    let inner = asked.strip_prefix("Conversation:\n\n").unwrap().strip_suffix(REQUEST).unwrap();
    Some(inner.strip_suffix("\n\n").unwrap().to_owned())
}

#[test]
fn a_thread_is_named_by_the_first_words_of_its_user() {
    let said = |text: &str| named(&[message("system", &json!("Be brief.")), user(text), user("more")]);
    assert_eq!(said("Hello!").as_deref(), Some("Hello"));
    assert_eq!(said("  \"**What** is\n a `#tag`?\" ").as_deref(), Some("What is a `tag`"));
    assert_eq!(
        said("one two three four five six seven eight nine").as_deref(),
        Some("one two three four five six seven eight")
    );
    assert_eq!(said(&"ü".repeat(81)).as_deref(), Some(&*"ü".repeat(80)));
    // The first that has words, when a cleaned one has none.
    assert_eq!(said("?!").as_deref(), Some("more"));
}

/// What the released runtime made of a conversation in which no title was written.
#[test]
fn a_recorded_name_is_ours_too() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures/intelligence/thread-name-fallback.json");
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let bodies = |method: &str| {
        let entries = recorded["entries"].as_array().unwrap().iter();
        entries
            .filter(|entry| entry["dir"] == "request" && entry["method"] == method)
            .map(|entry| &entry["body"])
            .collect::<Vec<_>>()
    };
    let posted = bodies("POST").into_iter().find_map(|body| body["messages"].as_array()).unwrap();
    let messages: Vec<Message> = posted.iter().map(|message| Message::parse(&message.to_string()).unwrap()).collect();
    let name = bodies("PATCH").into_iter().find_map(|body| body["name"].as_str());
    assert_eq!(named(&messages).as_deref(), name);
    assert!(name.is_some());
}

#[test]
fn a_conversation_without_words_of_the_user_is_untitled() {
    let picture = json!([{"type": "image", "source": {"type": "url", "value": "https://example.com/x.png"}}]);
    for messages in [vec![message("assistant", &json!("Hi"))], vec![user("***")], vec![message("user", &picture)]] {
        assert_eq!(named(&messages).as_deref(), Some("Untitled"), "{messages:?}");
    }
}

#[test]
fn silence_has_no_name_and_asks_for_none() {
    for messages in [vec![], vec![user(" \n")], vec![message("tool", &json!("42"))], vec![message("user", &json!([]))]]
    {
        assert_eq!(named(&messages), None, "{messages:?}");
        assert!(prompt(&messages).is_none(), "{messages:?}");
    }
}

#[test]
fn an_agent_is_told_the_last_lines_that_say_something() {
    let mut messages: Vec<Message> = (1..=9).map(|n| user(&format!("line {n}"))).collect();
    messages.extend([user("  "), message("tool", &json!("42")), message("assistant", &json!(" Sure. "))]);
    let told = transcript(&messages).unwrap();
    let lines: Vec<&str> = told.split('\n').collect();
    assert_eq!((lines.len(), lines[0], lines[7]), (8, "user: line 3", "assistant: Sure."));
}

#[test]
fn attachments_and_long_texts_do_not_go_into_the_prompt() {
    let picture = json!({"type": "image", "source": {"type": "data", "value": "iVBORw0KGgo", "mimeType": "image/png"}});
    assert_eq!(transcript(&[message("user", &json!([picture]))]).as_deref(), Some("user: (attachment)"));
    let with_text = json!([{"type": "text", "text": "Look"}, picture]);
    assert_eq!(transcript(&[message("user", &with_text)]).as_deref(), Some("user: Look"));
    assert_eq!(transcript(&[user(&"x".repeat(10_000))]).unwrap().len(), "user: ".len() + MAX_READ);
}

#[track_caller]
fn titled(reply: &str, wanted: Option<&str>) {
    assert_eq!(title(reply).as_deref(), wanted, "{reply:?}");
}

#[test]
fn a_title_comes_as_json_or_as_it_is() {
    titled(r#"{"title":"Trip to Rome"}"#, Some("Trip to Rome"));
    titled(r#"  {"why":[1],"title":"Trip to Rome"} "#, Some("Trip to Rome"));
    titled("Trip to Rome", Some("Trip to Rome"));
}

#[test]
fn a_fence_around_the_title_is_taken_off() {
    titled("```json\n{\"title\":\"Trip to Rome\"}\n```", Some("Trip to Rome"));
    titled("```\nTrip to Rome\n```", Some("Trip to Rome"));
    titled("```Trip to Rome", Some("Trip to Rome"));
}

#[test]
fn json_that_holds_no_title_is_none() {
    for reply in [r#"{"title":5}"#, r#"{"name":"Trip"}"#, r#"["Trip"]"#, "{Trip}", "[Trip to Rome]", "```json\n{}\n```"]
    {
        titled(reply, None);
    }
}

#[test]
fn quotes_around_a_title_are_taken_off() {
    titled("\"Trip to Rome\"", Some("Trip to Rome"));
    titled("'`Trip to Rome`'", Some("Trip to Rome"));
    titled("“Trip to ‘old’ Rome”", Some("Trip to ‘old’ Rome"));
    titled(r#"{"title":"\"Trip\""}"#, Some("Trip"));
}

#[test]
fn markdown_in_a_title_is_removed() {
    titled("# **Trip** to _[Rome](x)_", Some("Trip to Romex"));
    titled("> ~Trip~ | Rome!", Some("Trip Rome"));
}

#[test]
fn punctuation_at_the_end_of_a_title_is_removed() {
    titled("Trip to Rome.", Some("Trip to Rome"));
    titled("Why Rome?!...", Some("Why Rome"));
    titled("Rome, Italy;: ,", Some("Rome, Italy"));
}

#[test]
fn white_space_in_a_title_is_single_spaces() {
    titled(" Trip\n\tto \u{a0} Rome \u{0}\u{7}", Some("Trip to Rome"));
}

#[test]
fn an_empty_title_is_none() {
    for reply in ["", " \n", "***", "\"\"", "...", r#"{"title":" "}"#, "```"] {
        titled(reply, None);
    }
}

#[test]
fn a_title_is_cut_at_80_characters() {
    titled(&"ä".repeat(100), Some(&"ä".repeat(80)));
    titled(&format!("{} {}", "a".repeat(79), "b"), Some(&"a".repeat(79)));
}

#[test]
fn more_than_8_words_are_no_title() {
    titled("1 2 3 4 5 6 7 8", Some("1 2 3 4 5 6 7 8"));
    titled("1 2 3 4 5 6 7 8 9", None);
    // Cut first: what is gone does not count.
    titled(
        &format!("{} 9", "1 2 3 4 5 6 7 ".to_owned() + &"x".repeat(70)),
        Some(&("1 2 3 4 5 6 7 ".to_owned() + &"x".repeat(66))),
    );
}

/// Whether lists can show it.
fn is_presentable(name: &str) -> bool {
    let words = name.split_whitespace().count();
    (1..=MAX_WORDS).contains(&words)
        && name.chars().count() <= MAX_CHARS
        && name.split_whitespace().collect::<Vec<_>>().join(" ") == name
        && !name.chars().any(char::is_control)
}

/// Texts full of what the rules are about.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        "[a-zé ]{0,12}",
        Just("```json".to_owned()),
        Just("```".to_owned()),
        Just("{\"title\":\"".to_owned()),
        Just("\"}".to_owned()),
        "[*_#\\[\\]()!~>|.?,;:\"'`]{1,4}",
        "\\PC{0,8}",
        any::<char>().prop_map(String::from),
    ];
    prop_oneof![any::<String>(), prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())]
}

proptest! {
    #[test]
    fn a_title_is_presentable_whatever_was_replied(reply in texts()) {
        if let Some(title) = title(&reply) {
            prop_assert!(is_presentable(&title), "{title:?}");
        }
    }

    #[test]
    fn a_first_name_is_presentable_whatever_was_said(text in texts()) {
        let name = fallback(&[user(&text)]);
        prop_assert_eq!(name.is_none(), text.trim().is_empty());
        if let Some(name) = name {
            prop_assert!(is_presentable(&name), "{name:?}");
        }
    }
}
