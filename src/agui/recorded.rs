//! Recorded exchanges as test cases.

use std::path::Path;

use serde_json::Value;

use super::Event;

/// A recorded case.
pub(super) struct Case(Value);

/// The cases of a file.
pub(super) fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/rest-sse").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    cases.into_iter().map(Case).collect()
}

/// One case by its name.
pub(super) fn case(file: &str, name: &str) -> Case {
    cases(file).into_iter().find(|case| case.name() == name).unwrap_or_else(|| panic!("no case {name}"))
}

impl Case {
    pub(super) fn name(&self) -> &str {
        self.0["name"].as_str().unwrap()
    }

    /// The events of each run, in order.
    pub(super) fn runs(&self) -> Vec<Vec<Event>> {
        let exchanges = self.0["exchanges"].as_array().unwrap();
        exchanges
            .iter()
            .filter(|exchange| exchange["request"]["path"].as_str().unwrap().ends_with("/run"))
            .map(|exchange| events(&exchange["response"]["events"]))
            .collect()
    }

    /// The events an exchange answered with.
    pub(super) fn events(&self, exchange: &str) -> Vec<Value> {
        let answer = self.exchange(exchange);
        let events = [&answer["events"], &answer["body"]["events"]];
        events.iter().find_map(|events| events.as_array()).cloned().unwrap_or_default()
    }

    /// The JSON body an exchange answered with.
    pub(super) fn body(&self, exchange: &str) -> Value {
        self.exchange(exchange)["body"].clone()
    }

    /// What a hook saw.
    pub(super) fn observed(&self, hook: &str) -> Option<Value> {
        let observed = self.0["observed"].as_array()?;
        observed.iter().find(|entry| entry["hook"] == hook).cloned()
    }

    /// The events of the first exchange.
    pub(super) fn first_events(&self) -> Vec<Event> {
        events(&self.0["exchanges"][0]["response"]["events"])
    }

    fn exchange(&self, id: &str) -> &Value {
        let exchanges = self.0["exchanges"].as_array().unwrap();
        let found = exchanges.iter().find(|exchange| exchange["id"] == id);
        &found.unwrap_or_else(|| panic!("no exchange {id}"))["response"]
    }
}

fn events(events: &Value) -> Vec<Event> {
    let events = events.as_array().into_iter().flatten();
    events.map(|event| Event::from_value(event).unwrap()).collect()
}
