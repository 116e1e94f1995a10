//! Whether the servers send the same bytes: only then their speeds can be compared.

use super::lab::Lab;
use crate::failure::Result;
use crate::load::{Request, Workload, single};
use crate::server::{Kind, Running};

/// A request, and which servers must answer it alike.
struct Case {
    name: &'static str,
    request: Request,
    kinds: &'static [Kind],
}

const ALL: &[Kind] = &[Kind::Ours, Kind::OursDurable, Kind::Node, Kind::NodeDurable, Kind::Bare, Kind::BareWhole];

/// Those that keep what they sent.
const STORING: &[Kind] = &[Kind::Ours, Kind::OursDurable, Kind::Node, Kind::NodeDurable];

pub(super) async fn compare(lab: &Lab) -> Result<Vec<String>> {
    let upstream = lab.upstream.start().await?;
    let url = format!("http://{}/agent", upstream.target.address());
    let mut servers = Vec::new();
    for program in lab.only(ALL) {
        servers.push(program.with_env("UPSTREAM_URL", url.clone()).start().await?);
    }
    let mut differences = Vec::new();
    for (number, mut case) in (1..).zip(cases()) {
        let request = case.request.numbered(number).to_vec();
        let servers = servers.iter().filter(|server| case.kinds.contains(&server.kind));
        differences.extend(differences_of(case.name, &request, servers).await?);
    }
    Ok(differences)
}

fn cases() -> Vec<Case> {
    let case = |name, request, kinds| Case { name, request, kinds };
    let stored = Workload::runs(r#"{"deltas":5}"#);
    vec![
        case("20 deltas", Workload::runs("{}").run(), ALL),
        case("100 deltas", Workload::runs(r#"{"deltas":100}"#).run(), ALL),
        case("3 messages", Workload::runs(r#"{"deltas":2,"messages":3,"deltaBytes":100}"#).run(), ALL),
        case("no deltas", Workload::runs(r#"{"deltas":0}"#).run(), ALL),
        case("paced", Workload::runs(r#"{"deltas":3,"delayMs":20}"#).run(), ALL),
        case("yielding", Workload::runs(r#"{"deltas":6,"yieldEvery":2}"#).run(), ALL),
        case("40 earlier messages", Workload::runs("{}").with_history(40).run(), ALL),
        case("a run on a thread", stored.run_on("checked"), STORING),
        case("a second run on it", stored.run_on("checked"), STORING),
        case("a connect to it", stored.connect_to("checked"), STORING),
        case("the proxied agent", Workload::remote(r#"{"deltas":5}"#).run(), STORING),
    ]
}

/// One sentence per server that answers otherwise than the first.
async fn differences_of(case: &str, request: &[u8], servers: impl Iterator<Item = &Running>) -> Result<Vec<String>> {
    let (mut expected, mut differences) = (None, Vec::new());
    for server in servers {
        let answer = single::fetch(server.target, request).await?;
        match &expected {
            None => expected = Some((server.kind, answer)),
            Some((_, first)) if *first == answer => {}
            Some((kind, first)) => differences.push(difference(case, (*kind, first), (server.kind, &answer))),
        }
    }
    Ok(differences)
}

fn difference(case: &str, first: (Kind, &[u8]), second: (Kind, &[u8])) -> String {
    let at = first.1.iter().zip(second.1).take_while(|(a, b)| a == b).count();
    let show = |(kind, bytes): (Kind, &[u8])| {
        let from = at.saturating_sub(40);
        let piece = String::from_utf8_lossy(&bytes[from..bytes.len().min(at + 80)]).into_owned();
        format!("\n  {}, {} bytes: …{piece:?}", kind.name(), bytes.len())
    };
    format!("{case}: different from byte {at}{}{}", show(first), show(second))
}
