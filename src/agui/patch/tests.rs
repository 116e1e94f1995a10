use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NotApplied, Room, apply};

fn patched(mut document: Value, patch: &Value) -> Result<Value, NotApplied> {
    let before = document.to_string();
    match apply(&mut document, &patch.to_string(), &mut Room::default()) {
        Ok(()) => Ok(document),
        Err(failed) => {
            assert_eq!(document.to_string(), before, "a failing patch left a trace");
            Err(failed)
        }
    }
}

#[test]
fn each_operation_changes_its_place() {
    let document = json!({"a": {"b": [1, 2]}, "c": "x", "~/": 0});
    let patch = json!([
        {"op": "test", "path": "/a/b/0", "value": 1.0},
        {"op": "add", "path": "/a/b/-", "value": 3},
        {"op": "add", "path": "/a/b/0", "value": null},
        {"op": "remove", "path": "/a/b/1"},
        {"op": "replace", "path": "/c", "value": {"d": 1}},
        {"op": "copy", "from": "/c/d", "path": "/e"},
        {"op": "move", "from": "/a/b", "path": "/a"},
        {"op": "replace", "path": "/~0~1", "value": 7, "unknown": true},
    ]);
    assert_eq!(patched(document, &patch), Ok(json!({"a": [null, 2, 3], "c": {"d": 1}, "~/": 7, "e": 1})));
}

#[test]
fn order_of_keys_is_kept() {
    let mut document = json!({"a": 1, "b": 2, "c": 3});
    apply(&mut document, r#"[{"op":"remove","path":"/a"}]"#, &mut Room::default()).unwrap();
    assert_eq!(document.to_string(), r#"{"b":2,"c":3}"#);
}

#[test]
fn failing_patch_leaves_no_trace() {
    let fail = json!({"op": "test", "path": "/none", "value": 1});
    let document = json!({"a": {"b": 1, "z": 2}, "l": [1, 2, 3], "c": 3});
    for operation in [
        json!({"op": "add", "path": "", "value": 1}),
        json!({"op": "add", "path": "/l/1", "value": 1}),
        json!({"op": "add", "path": "/l/-", "value": 1}),
        json!({"op": "add", "path": "/a", "value": 1}),
        json!({"op": "remove", "path": "/a"}),
        json!({"op": "remove", "path": "/l/0"}),
        json!({"op": "replace", "path": "/a/b", "value": 1}),
        json!({"op": "move", "from": "/a/b", "path": "/a"}),
        json!({"op": "move", "from": "/a/b", "path": ""}),
        json!({"op": "move", "from": "/a", "path": "/l/1"}),
        json!({"op": "move", "from": "/l/0", "path": "/l/-"}),
        json!({"op": "copy", "from": "", "path": "/a/b"}),
    ] {
        assert_eq!(patched(document.clone(), &json!([operation])).err(), None);
        assert_eq!(patched(document.clone(), &json!([operation, fail])), Err(NotApplied));
    }
}

#[test]
fn operations_without_their_place_fail() {
    let document = json!({"a": {"b": 1}, "l": [1], "n": 1});
    for operation in [
        json!({"op": "remove", "path": ""}),
        json!({"op": "remove", "path": "/x"}),
        json!({"op": "remove", "path": "/l/-"}),
        json!({"op": "remove", "path": "/l/00"}),
        json!({"op": "replace", "path": "/x", "value": 1}),
        json!({"op": "replace", "path": "/l/1", "value": 1}),
        json!({"op": "add", "path": "/l/2", "value": 1}),
        json!({"op": "add", "path": "/l/", "value": 1}),
        json!({"op": "add", "path": "/n/x", "value": 1}),
        json!({"op": "add", "path": "n", "value": 1}),
        json!({"op": "add", "path": "/n"}),
        json!({"op": "move", "from": "/a", "path": "/a/b"}),
        json!({"op": "move", "from": "/a", "path": "/x/y"}),
        json!({"op": "move", "from": "/x", "path": "/x"}),
        json!({"op": "copy", "from": "/x", "path": "/y"}),
        json!({"op": "test", "path": "/n", "value": "1"}),
        json!({"op": "unknown", "path": "/n"}),
        json!({"path": "/n"}),
        json!(null),
    ] {
        assert_eq!(patched(document.clone(), &json!([operation])), Err(NotApplied), "{operation}");
    }
    for patch in [json!(null), json!({}), json!("x"), json!([[]])] {
        assert_eq!(patched(document.clone(), &patch), Err(NotApplied));
    }
}

#[test]
fn document_copied_into_itself_stays_bounded() {
    let mut document = json!({"a": [0]});
    let mut applied = 0;
    while apply(&mut document, r#"[{"op":"copy","from":"","path":"/a/-"}]"#, &mut Room::default()).is_ok() {
        applied += 1;
        assert!(applied < 40);
    }
    // Whatever was applied can be read again.
    assert!(serde_json::from_str::<Value>(&document.to_string()).is_ok());
}

#[test]
fn document_grows_no_deeper_than_readers_take() {
    let mut document = json!({});
    let mut path = String::new();
    for _ in 0..200 {
        let patch = json!([{"op": "add", "path": format!("{path}/a"), "value": {}}]);
        if apply(&mut document, &patch.to_string(), &mut Room::default()).is_ok() {
            path.push_str("/a");
        }
    }
    assert!(serde_json::from_str::<Value>(&document.to_string()).is_ok());
}

#[test]
fn room_for_copies_spans_patches() {
    let mut document = json!({"a": "x".repeat(1 << 20)});
    let mut room = Room::default();
    let copies = (0..100)
        .filter(|n| {
            let patch = json!([{"op": "copy", "from": "/a", "path": format!("/b{n}")}]);
            apply(&mut document, &patch.to_string(), &mut room).is_ok()
        })
        .count();
    assert_eq!(copies, 14);
    // Room is for copies alone.
    let patch = json!([{"op": "add", "path": "/c", "value": "x"}, {"op": "move", "from": "/b1", "path": "/d"}]);
    assert!(apply(&mut document, &patch.to_string(), &mut room).is_ok());
}

#[test]
fn shifting_a_long_list_over_and_over_is_refused() {
    let long = json!({"l": vec![0; 100_000]});
    let insert = |place: &str, times: usize| {
        let operation = json!({"op": "add", "path": format!("/l/{place}"), "value": 1});
        patched(long.clone(), &json!(vec![operation; times])).is_ok()
    };
    assert!(insert("0", 100) && insert("-", 10_000));
    assert!(!insert("0", 10_000));
}

pub(in crate::agui) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!(null)), (0..3).prop_map(|n| json!(n)), Just(json!("s"))];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("[abc]", inner), 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

pub(in crate::agui) fn any_patch() -> impl Strategy<Value = Value> {
    let path = || "(/[abc01-]){0,3}";
    let operation = prop_oneof![
        (path(), any_value()).prop_map(|(p, v)| json!({"op": "add", "path": p, "value": v})),
        (path(), any_value()).prop_map(|(p, v)| json!({"op": "replace", "path": p, "value": v})),
        (path(), any_value()).prop_map(|(p, v)| json!({"op": "test", "path": p, "value": v})),
        path().prop_map(|p| json!({"op": "remove", "path": p})),
        // The document itself is moved nowhere: implementations disagree about onto itself.
        ("(/[abc01-]){1,3}", path()).prop_map(|(f, p)| json!({"op": "move", "from": f, "path": p})),
        (path(), path()).prop_map(|(f, p)| json!({"op": "copy", "from": f, "path": p})),
    ];
    prop::collection::vec(operation, 0..4).prop_map(Value::from)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patch_applies_as_a_whole_or_not_at_all(document in any_value(), patch in any_patch()) {
        let ours = patched(document.clone(), &patch);
        // One operation at a time a second implementation has nothing to take back.
        let mut theirs = Ok(document);
        for operation in patch.as_array().unwrap() {
            let one = json_patch::Patch(vec![serde_json::from_value(operation.clone()).unwrap()]);
            theirs = theirs.and_then(|mut document| {
                json_patch::patch(&mut document, &one).map(|()| document).map_err(|_| NotApplied)
            });
        }
        prop_assert_eq!(ours, theirs);
    }
}
