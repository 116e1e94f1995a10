//! What the program says about itself: on start, on `check`, and to a browser that looks at `/`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use url::Url;

use super::config::{AgentSettings, Collector, Config, Database, Kind, KnownBy, Origins};
use super::wire;

/// The lines printed on start, before anything is logged.
pub(super) fn on_start(config: &Config, address: SocketAddr, operators: Option<SocketAddr>) -> String {
    let origin = origin(address);
    let mut text = format!("CopilotKit runtime {} listens on {origin}\n\n", env!("CARGO_PKG_VERSION"));
    text.push_str(&agents(config));
    text.push_str(&mounts(config, &origin));
    if wire::page_talks_to(config).is_some() {
        let _ = writeln!(text, "  {:<13} {origin}", "chat");
    }
    text.push_str(&keeping(config));
    if let Some(operators) = operators {
        let _ = writeln!(text, "  {:<13} {}/metrics", "metrics", self::origin(operators));
    }
    let _ = write!(text, "\nPaste this into your app:\n\n  {}\n", provider(config, &origin));
    if let Some(demo) = config.agents.iter().find(|agent| matches!(agent.kind, Kind::Demo { .. })) {
        let _ = write!(
            text,
            "\nThe demo agent answers as `{name}`. For an agent of your own:  \
             copilotkit-runtime --agent {name}=http://localhost:8000/agui\n",
            name = demo.name,
        );
    }
    if !config.agents.iter().any(|agent| agent.name == "default") {
        text.push_str("\nNo agent is called `default`: name one in your app, as in <CopilotChat agentId=\"…\">\n");
    }
    text.push('\n');
    text
}

/// The summary `check` prints when nothing is wrong.
pub(super) fn on_check(config: &Config) -> String {
    let mut text = match &config.file {
        Some(file) => format!("{} is fine\n\n", file.display()),
        None => "The configuration is fine (no file)\n\n".to_owned(),
    };
    let _ = writeln!(text, "  listens on    {}", config.server.bind);
    text.push_str(&mounts(config, ""));
    text.push_str(&agents(config));
    let origins = match &config.cors.origins {
        Origins::Off => "none but its own".to_owned(),
        Origins::Any => "all".to_owned(),
        Origins::Local => "on this machine".to_owned(),
        Origins::List(listed) => listed.join(", "),
    };
    let _ = writeln!(text, "  pages         {origins}");
    text.push_str(&keeping(config));
    let transcription = config.transcription.as_ref().map_or_else(|| "off".to_owned(), |t| shown(&t.base_url));
    let _ = writeln!(text, "  transcription {transcription}");
    let _ = writeln!(text, "  metrics       {}", config.metrics.bind.as_deref().unwrap_or("off"));
    let spans = match &config.otlp.collector {
        None => "not sent anywhere".to_owned(),
        Some(Collector::At(url)) => format!("to {}", shown(url)),
        Some(Collector::OfEnvironment) => "to where OTEL_EXPORTER_OTLP_ENDPOINT says".to_owned(),
    };
    let _ = writeln!(text, "  spans         {spans}");
    let _ = writeln!(text, "  debug feed    {}", if config.runtime.debug_feed { "on" } else { "off" });
    text
}

/// What `/` answers to programs, and to browsers where there is no page.
pub(super) fn about(config: &Config, address: SocketAddr) -> String {
    let origin = origin(address);
    // Names only: whoever can reach the page need not know where the agents are.
    let names: Vec<&str> = config.agents.iter().map(|agent| agent.name.as_str()).collect();
    format!(
        "This is a CopilotKit runtime, version {}.\n\n  {:<13} {}\n{}\nIn your app:\n\n  {}\n",
        env!("CARGO_PKG_VERSION"),
        "agents",
        names.join(", "),
        mounts(config, &origin),
        provider(config, &origin),
    )
}

fn agents(config: &Config) -> String {
    let describe = |agent: &AgentSettings| match &agent.kind {
        Kind::Demo { .. } => format!("{} (demo)", agent.name),
        Kind::Http { url, .. } => format!("{} ({})", agent.name, shown(&url.0)),
    };
    let lines = config.agents.iter().enumerate().map(|(at, agent)| {
        let label = if at == 0 { "agents" } else { "" };
        format!("  {label:<13} {}\n", describe(agent))
    });
    lines.collect()
}

/// Where threads are kept, for whom, and how long.
fn keeping(config: &Config) -> String {
    let threads = match (&config.intelligence, &config.runner.database) {
        (Some(platform), _) => match &platform.api_url {
            Some(url) => format!("on the Intelligence platform at {}", shown(url)),
            None => "on the managed Intelligence platform".to_owned(),
        },
        (None, Database::File(path)) => path.display().to_string(),
        (None, Database::Memory) => {
            format!("in memory, at most {}: lost when the program stops", config.runner.memory.max_threads)
        }
    };
    let users = match &config.users {
        Some(users) => format!("told apart by {}", known_by(&users.known_by)),
        None if config.server.allow_anonymous => "not told apart: everybody may read every thread".to_owned(),
        None => "not told apart".to_owned(),
    };
    let mut text = format!("  {:<13} {threads}\n  {:<13} {users}\n", "threads", "users");
    if let (Some(retention), Database::File(_)) = (config.retention, &config.runner.database) {
        let age = retention.max_age.map(|age| format!("without activity for {}", period(age)));
        let count = retention.max_threads_per_owner.map(|count| format!("beyond {count} of a user"));
        let deleted: Vec<String> = age.into_iter().chain(count).collect();
        let _ = writeln!(text, "  {:<13} threads {}", "deletes", deleted.join(", and "));
    }
    text
}

/// A time in the largest unit it is made of.
fn period(time: Duration) -> String {
    const UNITS: &[(u64, &str)] = &[(86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let seconds = time.as_secs();
    let whole = UNITS.iter().find(|(unit, _)| time.subsec_nanos() == 0 && seconds.is_multiple_of(*unit));
    match whole.map(|(unit, name)| (seconds / unit, name)) {
        Some((1, name)) => format!("1 {name}"),
        Some((count, name)) => format!("{count} {name}s"),
        None => format!("{time:?}"),
    }
}

fn mounts(config: &Config, origin: &str) -> String {
    let lines = [("runtime", &config.server.base_path), ("single route", &config.server.single_route_path)];
    let lines = lines.iter().filter_map(|(label, path)| Some(format!("  {label:<13} {origin}{}\n", path.as_ref()?)));
    lines.collect()
}

fn known_by(known_by: &KnownBy) -> String {
    match known_by {
        KnownBy::Proxy(proxy) => format!("the header {}", proxy.header),
        KnownBy::Credentials(shown) => {
            let keys = shown.api_keys.len();
            let keys = (keys > 0).then(|| format!("{keys} API key{}", if keys == 1 { "" } else { "s" }));
            [shown.jwt.as_ref().map(|_| "JWT".to_owned()), keys].into_iter().flatten().collect::<Vec<_>>().join(" and ")
        }
    }
}

fn provider(config: &Config, origin: &str) -> String {
    match (&config.server.base_path, &config.server.single_route_path) {
        (None, Some(single)) => format!("<CopilotKitProvider runtimeUrl=\"{origin}{single}\" useSingleEndpoint>"),
        (base, _) => {
            let path = base.as_deref().unwrap_or_default().trim_end_matches('/');
            format!("<CopilotKitProvider runtimeUrl=\"{origin}{path}\">")
        }
    }
}

/// How a browser on this machine reaches the listener.
fn origin(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("http://localhost:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// An address without what may be secret in it: user, password and query.
fn shown(url: &str) -> String {
    let Ok(url) = Url::parse(url) else { return "(no URL)".to_owned() };
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

#[cfg(test)]
mod tests {
    use super::super::config::FileText;
    use super::*;

    fn config(text: &str) -> Config {
        let file = FileText { path: std::path::Path::new("x.toml"), text };
        Config::load(Some(file), Default::default(), &|_| None).expect("a good configuration")
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn start_shows_the_line_to_paste() {
        let text = on_start(&config(""), address("127.0.0.1:4321"), None);
        assert!(text.starts_with("CopilotKit runtime "), "{text}");
        assert!(
            text.contains("  <CopilotKitProvider runtimeUrl=\"http://127.0.0.1:4321/api/copilotkit\">\n"),
            "{text}"
        );
        assert!(text.contains("--agent default="), "{text}");
    }

    #[test]
    fn start_and_check_say_where_threads_are_kept_and_for_whom() {
        let said = |text: &str| {
            let config = config(text);
            assert!(on_start(&config, address("127.0.0.1:1"), None).contains(&keeping(&config)));
            assert!(on_check(&config).contains(&keeping(&config)));
            keeping(&config)
        };
        assert_eq!(said(""), "  threads       copilotkit.db\n  users         not told apart\n");
        let memory = said("[runner]\nkind = \"memory\"\n[users]\nheader = \"x-user\"\n");
        assert!(memory.contains("in memory, at most 1000: lost when the program stops\n"), "{memory}");
        assert!(memory.contains("told apart by the header x-user\n"), "{memory}");
        let platform = "[users]\nheader = \"x-user\"\n[intelligence]\napi_key = \"s3cret\"\n";
        assert!(said(platform).starts_with("  threads       on the managed Intelligence platform\n"));
        let own = said(&format!("{platform}api_url = \"https://p.example/\"\n"));
        assert!(own.starts_with("  threads       on the Intelligence platform at https://p.example/\n"), "{own}");
        assert!(!own.contains("s3cret"));
        let open = said("[server]\nallow_anonymous = true\n[retention]\nmax_age = \"90d\"\nmax_threads_per_user = 9\n");
        assert!(open.contains("everybody may read every thread\n"), "{open}");
        assert!(open.ends_with("threads without activity for 90 days, and beyond 9 of a user\n"), "{open}");
        assert!(said("[retention]\nmax_age = \"1d\"\n").ends_with("threads without activity for 1 day\n"));
    }

    #[test]
    fn single_route_alone_is_pasted_as_such() {
        let config = config("[server]\nbase_path = false\nsingle_route_path = \"/one\"\n");
        let text = on_start(&config, address("0.0.0.0:80"), None);
        assert!(text.contains("runtimeUrl=\"http://localhost:80/one\" useSingleEndpoint"), "{text}");
    }

    #[test]
    fn agents_are_shown_without_secrets() {
        let config = config("[agents.a]\nurl = \"http://me:s3cret@host:8000/agui?key=s3cret\"\n");
        assert!(!about(&config, address("127.0.0.1:1")).contains("host:8000"));
        for text in [on_start(&config, address("127.0.0.1:1"), None), on_check(&config)] {
            assert!(text.contains("a (http://host:8000/agui)") && !text.contains("s3cret"), "{text}");
        }
    }
}
