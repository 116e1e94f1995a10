//! How much one client may ask for: `[limits]`.

use std::time::Duration;

use super::super::file::Raw;
use super::checks::not_zero;
use super::{Section, Setting, bytes};
use crate::Limits as OfClients;
use crate::server::Connections;

#[derive(Debug, PartialEq)]
pub(in crate::server) struct Limits {
    pub(in crate::server) of_clients: OfClients,
    /// How many connections may be open at once.
    pub(in crate::server) connections: usize,
}

pub(super) fn read(mut section: Section<'_>) -> Limits {
    let default = OfClients::default();
    let mut count = |key: &'static str, default: usize| section.get_if(key, not_zero).unwrap_or(default);
    let connections = count("connections", Connections::default().max);
    let watchers_per_thread = count("watchers_per_thread", default.watchers_per_thread);
    let (messages, tools) = (count("messages", default.messages), count("tools", default.tools));
    let id_bytes = bytes(&mut section, "id_bytes", default.id_bytes);
    let event_bytes = bytes(&mut section, "event_bytes", default.event_bytes);
    let run_time = section.get::<Duration>("run_time").filter(|time| !time.is_zero());
    let burst = section.get_if::<usize>("burst", |burst| {
        not_zero(burst)?;
        u32::try_from(*burst).map(drop).map_err(|_| "expected a smaller number".to_owned())
    });
    let rate = section.get::<Rate>("requests_per_second");
    let concurrent_runs = section.get::<usize>("concurrent_runs").filter(|count| *count != 0);
    section.finish();

    let mut of_clients = default;
    of_clients.requests_per_second = rate.map(|rate| rate.0).filter(|rate| *rate != 0.0);
    of_clients.burst = burst.and_then(|burst| u32::try_from(burst).ok()).unwrap_or(of_clients.burst);
    of_clients.concurrent_runs = concurrent_runs;
    of_clients.watchers_per_thread = watchers_per_thread;
    of_clients.messages = messages;
    of_clients.tools = tools;
    of_clients.id_bytes = id_bytes;
    of_clients.run_time = run_time;
    of_clients.event_bytes = event_bytes;
    Limits { of_clients, connections }
}

/// So many a second; zero is no limit.
struct Rate(f64);

impl Setting for Rate {
    fn read(raw: Raw) -> Result<Rate, String> {
        let rate = match &raw {
            Raw::Integer(number) => Some(*number as f64),
            Raw::Float(number) => Some(*number),
            Raw::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        // A request in a day is the least that makes sense.
        let fits = |rate: &f64| *rate == 0.0 || (1.0 / 86400.0..=1e6).contains(rate);
        rate.filter(fits).map(Rate).ok_or_else(|| "expected a number such as 5 or 0.5; 0 is no limit".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, FileText};
    use super::*;
    use crate::http::{ProxyHeader, TrustedProxies};

    fn load(text: &str) -> Result<Config, String> {
        let file = FileText { path: Path::new("x.toml"), text };
        Config::load(Some(file), Default::default(), &|_| None).map_err(|problems| problems[0].to_string())
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let limits = load("").expect("fine").limits;
        assert_eq!(limits.of_clients, OfClients::default());
        assert_eq!(limits.connections, Connections::default().max);
    }

    #[test]
    fn limits_are_read() {
        let text = "[limits]\nrequests_per_second = 0.5\nburst = 3\nconcurrent_runs = 2\nconnections = 7\n\
                    watchers_per_thread = 4\nmessages = 5\ntools = 6\nid_bytes = \"1KiB\"\n\
                    run_time = \"10m\"\nevent_bytes = \"2KiB\"\n";
        let Limits { of_clients, connections } = load(text).expect("fine").limits;
        assert_eq!((of_clients.requests_per_second, of_clients.burst, connections), (Some(0.5), 3, 7));
        assert_eq!((of_clients.concurrent_runs, of_clients.watchers_per_thread), (Some(2), 4));
        assert_eq!((of_clients.messages, of_clients.tools, of_clients.id_bytes), (5, 6, 1024));
        assert_eq!((of_clients.run_time, of_clients.event_bytes), (Some(Duration::from_secs(600)), 2048));
        let off = load("[limits]\nrequests_per_second = 0\nconcurrent_runs = 0\nrun_time = 0\n").expect("fine").limits;
        assert_eq!(off.of_clients, OfClients::default());
    }

    #[test]
    fn limits_that_let_nobody_in_are_problems() {
        for (line, reason) in [
            ("requests_per_second = -1", "0 is no limit"),
            ("requests_per_second = \"often\"", "0 is no limit"),
            ("burst = 0", "must not be zero"),
            ("burst = 5000000000", "smaller number"),
            ("connections = 0", "must not be zero"),
            ("messages = 0", "must not be zero"),
        ] {
            let said = load(&format!("[limits]\n{line}\n")).expect_err(line);
            assert!(said.starts_with("x.toml:2: limits.") && said.contains(reason), "{said}");
        }
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let text = "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\nproxy_header = \"Forwarded\"\n";
        let wanted = TrustedProxies::new(["10.0.0.0/8", "::1"]).expect("networks").header(ProxyHeader::Forwarded);
        assert_eq!(load(text).expect("fine").server.trusted_proxies, wanted);
        let said = load("[server]\ntrusted_proxies = [\"proxy\"]\n").expect_err("a name");
        assert!(said.starts_with("x.toml:2: server.trusted_proxies: `proxy` is no address"), "{said}");
        let said = load("[server]\nproxy_header = \"x-real-ip\"\n").expect_err("another header");
        assert!(said.contains("expected \"x-forwarded-for\""), "{said}");
    }
}
