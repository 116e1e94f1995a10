//! Where spans are sent: `[otlp]`.

use super::super::file::{Env, Raw};
use super::checks::is_http_url;
use super::{Section, Setting};

#[derive(Debug, PartialEq)]
pub(in crate::server) struct Otlp {
    /// `None` sends nothing.
    pub(in crate::server) collector: Option<Collector>,
    /// What the program is called there.
    pub(in crate::server) service_name: Option<String>,
}

/// Who takes spans.
#[derive(Debug, PartialEq)]
pub(in crate::server) enum Collector {
    /// The one below this address.
    At(String),
    /// The one that the variables of OpenTelemetry name.
    OfEnvironment,
}

pub(super) fn read(mut section: Section<'_>, env: Env<'_>) -> Otlp {
    let endpoint = section.get_placed::<Endpoint>("endpoint");
    if let Some((Endpoint(Some(_)), place)) = &endpoint
        && !cfg!(feature = "otlp")
    {
        section.report(place.clone(), "endpoint", "this program was built without the feature `otlp`");
    }
    let service_name = section.get::<String>("service_name").filter(|name| !name.is_empty());
    section.finish();
    let collector = match endpoint {
        Some((Endpoint(address), _)) => address.map(Collector::At),
        None => of_environment(env),
    };
    Otlp { collector, service_name }
}

/// A program that cannot send minds the variables no more than any other does.
fn of_environment(env: Env<'_>) -> Option<Collector> {
    let is_set = |name| env(name).is_some_and(|value| !value.trim().is_empty());
    let is_off = env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_named = is_set("OTEL_EXPORTER_OTLP_ENDPOINT") || is_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    (cfg!(feature = "otlp") && is_named && !is_off).then_some(Collector::OfEnvironment)
}

/// An address, or `false` for none.
struct Endpoint(Option<String>);

impl Setting for Endpoint {
    fn read(raw: Raw) -> Result<Endpoint, String> {
        match raw {
            Raw::Bool(false) => Ok(Endpoint(None)),
            Raw::Text(text) if matches!(text.trim(), "off" | "false") => Ok(Endpoint(None)),
            Raw::Text(text) => is_http_url(&text).map(|()| Endpoint(Some(text))),
            _ => Err("expected a URL such as \"http://localhost:4318\", or false".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Option<Collector> {
        let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        of_environment(&env)
    }

    #[test]
    fn the_usual_variables_name_a_collector_where_spans_can_be_sent() {
        let one = cfg!(feature = "otlp").then_some(Collector::OfEnvironment);
        assert_eq!(with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x")]), one);
        assert_eq!(with(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://x")]), one);
        assert_eq!(with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), None);
        assert_eq!(with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"), ("OTEL_SDK_DISABLED", "true")]), None);
    }
}
