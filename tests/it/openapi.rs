//! `openapi.yaml` says what the service does: the same routes, and answers that fit, recorded ones and ours.

mod document;
mod live;
mod recorded;

use std::collections::{BTreeMap, BTreeSet};

use copilotkit_runtime::http::Route;
use serde_json::Value;

use document::{Operation, document, text};

/// The one path that is no route of the table: single-route mode, and the preflight of every path.
const MOUNT: &str = "/";

#[test]
fn the_document_has_exactly_the_routes_of_the_table() {
    let of_table: BTreeSet<_> = Route::table()
        .flat_map(|(name, path, methods)| {
            methods.iter().map(move |method| (path.clone(), method.to_string(), Some(name.to_owned())))
        })
        .chain(["OPTIONS", "POST"].map(|method| (MOUNT.to_owned(), method.to_owned(), None)))
        .collect();
    let of_document: BTreeSet<_> = document()
        .operations()
        .map(|operation| (operation.path.clone(), operation.method.to_string(), operation.route.clone()))
        .collect();
    assert_eq!(of_document, of_table);
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let root = &document().root;
    let mut named = BTreeSet::new();
    walk(root, &mut |at, node| {
        let Some(target) = node.get("$ref") else { return };
        let target = text(target);
        assert!(document().find(target).is_some(), "{at}: {target} leads nowhere");
        named.insert(target.to_owned());
    });
    walk(root, &mut |_, node| {
        let mapped = node.get("discriminator").and_then(|discriminator| discriminator.get("mapping"));
        for target in mapped.and_then(Value::as_object).into_iter().flat_map(|mapping| mapping.values()) {
            assert!(document().find(text(target)).is_some(), "{target} leads nowhere");
        }
    });
    let unused: Vec<String> = root["components"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(kind, all)| all.as_object().unwrap().keys().map(move |name| format!("#/components/{kind}/{name}")))
        .filter(|component| !named.contains(component) && !document::ITEMS.iter().any(|item| component.ends_with(item)))
        .collect();
    assert!(unused.is_empty(), "unused: {unused:?}");
}

#[test]
fn every_operation_is_told_whole() {
    let tags: BTreeSet<&str> =
        document().root["tags"].as_array().unwrap().iter().map(|tag| text(&tag["name"])).collect();
    let mut ids = BTreeSet::new();
    for operation in document().operations() {
        let Operation { id, path, value, .. } = operation;
        assert!(ids.insert(id.clone()), "{id} twice");
        assert!(
            !text(&value["summary"]).is_empty() && !text(&value["description"]).is_empty(),
            "{id}: say what it does"
        );
        assert!(value["tags"].as_array().unwrap().iter().all(|tag| tags.contains(text(tag))), "{id}: unknown tag");
        let responses = value["responses"].as_object().unwrap();
        for (status, response) in responses {
            let response = document().resolve(response);
            assert!(!text(&response["description"]).is_empty(), "{id} {status}: say when");
            for name in ["Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Vary"] {
                assert!(response["headers"].get(name).is_some(), "{id} {status}: no {name}");
            }
        }
        let Some(route) = &operation.route else { continue };

        let from_route = route.replace(['/', '-'], "_");
        let with_method = format!("{from_route}_{}", operation.method.as_str().to_lowercase());
        assert!(*id == from_route || *id == with_method, "{id}: not named after {route}");
        let told: Vec<_> = document().parameters(operation).filter(|one| one["in"] == "path").collect();
        assert_eq!(told.len(), path.matches('{').count(), "{id}: path parameters");
        for parameter in told {
            assert!(path.contains(&format!("{{{}}}", text(&parameter["name"]))), "{id}: {parameter}");
            assert_eq!(parameter["required"], true, "{id}: {parameter}");
        }
        let (_, _, methods) = Route::table().find(|(name, _, _)| name == route).unwrap();
        let allow: Vec<&str> = methods.iter().map(http::Method::as_str).collect();
        let refused = document().resolve(&responses["405"]);
        assert_eq!(refused["headers"]["Allow"]["schema"]["const"], allow.join(", "), "{id}");
        assert_eq!(refused["headers"]["Allow"]["required"], true, "{id}");
        assert!(responses.contains_key("500"), "{id}: anything can fail");
        if path.contains('{') {
            assert!(responses.contains_key("404"), "{id}: an id may be undecodable");
        }
    }
}

#[test]
fn every_example_fits_its_schema() {
    let mut problems = Vec::new();
    walk(&document().root, &mut |at, node| {
        let Some(content) = node.get("content").and_then(Value::as_object) else { return };
        // `content` is also the name of a property of messages.
        for (media_type, media) in content.iter().filter(|(media_type, _)| media_type.contains('/')) {
            for example in document::examples(media) {
                let bytes = document::bytes_of(example);
                let found = document().body_problems(media_type, media, &bytes);
                problems.extend(found.into_iter().map(|problem| format!("{at}: {problem}")));
            }
        }
    });
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// The codes a run may fail with are told in two places.
#[test]
fn the_document_knows_every_error_code() {
    let table = text(&document().root["components"]["schemas"]["RunErrorEvent"]["description"]);
    for code in crate::docs::listed_codes() {
        assert!(table.contains(&format!("| `{code}` |")), "{code} is missing at RunErrorEvent");
    }
}

#[test]
fn the_document_has_the_version_of_the_crate() {
    assert_eq!(document().root["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn paths_are_told_apart() {
    let mut shapes = BTreeMap::new();
    for operation in document().operations() {
        let shape: Vec<&str> =
            operation.path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
        let first = shapes.entry(shape).or_insert(&operation.path);
        assert_eq!(**first, operation.path);
    }
}

/// Every object of the document, with its place.
fn walk<'v>(root: &'v Value, visit: &mut impl FnMut(&str, &'v Value)) {
    fn go<'v>(at: &str, node: &'v Value, visit: &mut impl FnMut(&str, &'v Value)) {
        match node {
            Value::Object(fields) => {
                visit(at, node);
                for (name, inner) in fields {
                    go(&format!("{at}/{name}"), inner, visit);
                }
            }
            Value::Array(items) => {
                for (index, inner) in items.iter().enumerate() {
                    go(&format!("{at}/{index}"), inner, visit);
                }
            }
            _ => {}
        }
    }
    go("#", root, visit);
}
