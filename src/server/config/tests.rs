use super::*;
use crate::intelligence::MemoryAccess;

mod access;

pub(super) const EXAMPLE: &str = include_str!("../../../copilotkit.example.toml");

fn env(name: &str) -> Option<String> {
    matches!(name, "AGENT_TOKEN" | "JWT_SECRET" | "OPENAI_API_KEY" | "COPILOTKIT_INTELLIGENCE_API_KEY")
        .then(|| "s3cret".to_owned())
}

pub(super) fn load(text: &str) -> Result<Config, Vec<Problem>> {
    load_with(text, &[])
}

fn load_with(text: &str, flags: &[(&'static str, &str)]) -> Result<Config, Vec<Problem>> {
    let flags = flags.iter().map(|(key, value)| (*key, ((*value).to_owned(), Place::Flag((*key).to_owned()))));
    Config::load(Some(FileText { path: Path::new("x.toml"), text }), flags.collect(), &env)
}

fn problems(text: &str) -> Vec<String> {
    let problems = load(text).expect_err("there is something wrong");
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(said.iter().all(|line| !line.contains("s3cret")), "{said:?}");
    said
}

/// The example with every setting switched on, but for the tables that exclude others.
fn uncommented() -> String {
    let whole = uncommented_whole();
    let excluding = [("[users.jwt]", "[runner]"), ("[intelligence]", "[cors]")];
    excluding.into_iter().fold(whole, |whole, (table, behind)| {
        let (before, rest) = whole.split_once(table).expect("the table");
        let (_, after) = rest.split_once(behind).expect("the table behind it");
        format!("{before}{behind}{after}")
    })
}

/// Whether a line of the example is a setting or a table, and not a word about one.
pub(super) fn is_setting(line: &str) -> bool {
    let key = line.split(" = ").next().unwrap_or_default();
    line.starts_with('[')
        || (line.contains(" = ") && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'2'))
}

fn uncommented_whole() -> String {
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting) if is_setting(setting) => setting,
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn nothing_configured_is_the_demo_agent_on_loopback() {
    let config = Config::load(None, Overrides::new(), &env).expect("defaults are fine");
    assert_eq!(config.server.bind, "127.0.0.1:4000");
    assert_eq!(config.server.base_path.as_deref(), Some("/api/copilotkit"));
    assert_eq!(config.agents.len(), 1);
    assert_eq!(config.agents[0].name, "default");
    assert!(matches!(config.agents[0].kind, Kind::Demo { .. }));
    assert_eq!(config.transcription, None);
}

#[test]
fn example_shows_the_defaults() {
    let default = load("").expect("an empty file is fine");
    let example = load(&uncommented()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let of_example = Config { transcription: None, users: None, agents: Vec::new(), ..example };
    assert_eq!(of_example, Config { agents: Vec::new(), ..default }.with_methods_named());
}

impl Config {
    /// The example names what is allowed where the default leaves it to the library.
    pub(super) fn with_methods_named(mut self) -> Config {
        let methods = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"];
        self.cors.allow_methods = Some(methods.map(str::to_owned).to_vec());
        self.cors.allow_headers = Some(vec!["*".to_owned()]);
        self
    }
}

#[test]
fn example_shows_what_is_off_by_default() {
    let example = load(&uncommented()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let by_proxy = |users: Users| matches!(users.known_by, KnownBy::Proxy(proxy) if proxy.header == "x-forwarded-user");
    assert!(example.users.is_some_and(by_proxy));
    let transcription = example.transcription.expect("a transcription service");
    let least = load("[transcription]\napi_key = \"s3cret\"").expect("fine").transcription.expect("a service");
    assert_eq!(transcription, least);
    let least = "[agents.default]\nurl = \"http://localhost:8000/agui\"\n\
                 description = \"Answers questions about our products\"\n\
                 headers = { Authorization = \"Bearer s3cret\" }\n[agents.demo]\nkind = \"demo\"\n\
                 forward_headers = { allow = [\"x-tenant\"] }\n\
                 allow = { users = \"ada\", claims = { roles = [\"staff\", \"admin\"] } }\n[users]\nheader = \"x\"\n";
    assert_eq!(example.agents, load(least).expect("fine").agents);
}

#[test]
fn example_as_it_stands_is_the_default() {
    assert_eq!(load(EXAMPLE).expect("comments only"), load("").expect("an empty file is fine"));
}

#[test]
fn example_has_every_key() {
    let mut paths = Vec::new();
    let (root, _) = file::parse(&Path::new("x").into(), &uncommented_whole(), &env);
    collect(&root, "", &mut paths);
    for key in known() {
        assert!(paths.iter().any(|path| is_under(&key, path)), "{key} is not in the example");
    }
}

/// Every key the reader asks for, with `*` for names people choose.
pub(super) fn known() -> Vec<String> {
    let path: Arc<Path> = Path::new("x.toml").into();
    let (root, _) = file::parse(&path, &uncommented_whole(), &env);
    let reader = Reader::new(path, root, Overrides::new());
    Config::read(&reader, None, &env);
    reader.known()
}

/// Whether a key of the file is one the reader asks for.
pub(super) fn is_under(known: &str, path: &str) -> bool {
    let (known, path): (Vec<_>, Vec<_>) = (known.split('.').collect(), path.split('.').collect());
    known.len() == path.len() && known.iter().zip(path).all(|(known, part)| *known == "*" || *known == part)
}

fn collect(entries: &[file::Entry], above: &str, paths: &mut Vec<String>) {
    for entry in entries {
        let path = if above.is_empty() { entry.key.clone() } else { format!("{above}.{}", entry.key) };
        if let file::Node::Table(inner) = &entry.node {
            collect(inner, &path, paths);
        }
        paths.push(path);
    }
}

#[test]
fn unknown_keys_name_file_line_and_nearest() {
    let said = problems(
        "[server]\nbnid = \"127.0.0.1:1\"\n\n[sever]\nx = 1\n[runtime]\nbase_path = \"/x\"\n[log]\ncors = true\n",
    );
    assert_eq!(
        said,
        [
            "x.toml:2: server.bnid: unknown key; did you mean `bind`?",
            "x.toml:4: sever: unknown key; did you mean `server`?",
            "x.toml:7: runtime.base_path: unknown key; `base_path` belongs into `[server]`",
            "x.toml:9: log.cors: unknown key; `[cors]` is a table of its own",
        ]
    );
    let said = problems("[agents.a]\nurl = \"http://x\"\nidle_timout = 1\nwobble = 1\n");
    assert_eq!(
        said,
        [
            "x.toml:3: agents.a.idle_timout: unknown key; did you mean `idle_timeout`?",
            "x.toml:4: agents.a.wobble: unknown key",
        ]
    );
}

#[test]
fn all_problems_are_reported_at_once() {
    let said = problems(
        "[server]\nbind = \"nowhere\"\nbase_path = \"/a\"\nsingle_route_path = \"/a/b/\"\nbody_limit = 0\n\
         [runner]\nkind = \"postgres\"\nqueue_limit = -1\nwhen_busy = true\n\
         [cors]\norigins = [\"https://app.example.com/\"]\n\
         [forward_headers]\nallow = [\"x a\"]\n\
         [log]\nlevel = \"info,a=loud\"\nformat = 3\n\
         [runtime]\na2ui = [\"nobody\"]\n\
         [agents.a]\ndescription = \"no url\"\n\
         [agents.b]\nurl = \"ftp://x\"\nheaders = { \"a b\" = \"1\", C = \"x\\n\" }\nidle_timeout = 0\n\
         [agents.c]\nkind = \"demo\"\nurl = \"http://x\"\n",
    );
    let lines: Vec<&str> = said.iter().filter_map(|line| line.strip_prefix("x.toml:")?.split(": ").next()).collect();
    assert_eq!(
        lines,
        ["2", "4", "5", "7", "8", "9", "11", "13", "15", "16", "18", "19", "22", "23", "23", "24", "27"],
        "{said:#?}"
    );
}

#[test]
fn missing_variables_are_named_and_nothing_else_is_lost() {
    let said = problems("[agents.a]\nurl = \"http://x\"\nheaders = { A = \"Bearer ${NONE}\" }\nwobble = 1\n");
    assert_eq!(
        said,
        [
            "x.toml:3: agents.a.headers.A: the environment variable NONE is not set",
            "x.toml:4: agents.a.wobble: unknown key"
        ]
    );
}

#[test]
fn flags_win_over_the_file() {
    let config = load_with(
        "[server]\nbind = \"127.0.0.1:1\"\n[runtime]\nkeep_alive = 3\n",
        &[("server.bind", "127.0.0.1:2"), ("server.base_path", "off"), ("server.single_route_path", "/one/")],
    )
    .expect("fine");
    assert_eq!(config.server.bind, "127.0.0.1:2");
    assert_eq!(config.server.base_path, None);
    assert_eq!(config.server.single_route_path.as_deref(), Some("/one"));
    assert_eq!(config.runtime.keep_alive, Duration::from_secs(3));

    let wrong = load_with("", &[("server.bind", "here")]).expect_err("no address");
    assert!(wrong[0].to_string().starts_with("--server.bind: server.bind: expected HOST:PORT"), "{}", wrong[0]);
}

#[test]
fn agents_given_outside_replace_those_of_their_name() {
    let file = "[agents.a]\nurl = \"http://file/a\"\n[agents.b]\nurl = \"http://file/b\"\n";
    let config = load_with(file, &[("agents", "a=http://flag/a?x=1 c=demo http://flag/default?y=2")]).expect("fine");
    let names: Vec<&str> = config.agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["b", "a", "c", "default"]);
    assert!(matches!(&config.agents[1].kind, Kind::Http { url, .. } if url.0 == "http://flag/a?x=1"));
    assert!(matches!(&config.agents[3].kind, Kind::Http { url, .. } if url.0 == "http://flag/default?y=2"));
    for wrong in ["=http://x", "a=", "a=nothing"] {
        assert!(load_with("", &[("agents", wrong)]).is_err(), "{wrong}");
    }
}

#[test]
fn both_mounts_off_is_a_problem() {
    assert_eq!(problems("[server]\nbase_path = false\n").len(), 1);
    assert!(load("[server]\nbase_path = false\nsingle_route_path = \"/\"\n").is_ok());
    assert!(load("[server]\nbase_path = \"/api/x\"\nsingle_route_path = \"/api/x-single\"\n").is_ok());
    assert_eq!(problems("[server]\nbase_path = \"/\"\nsingle_route_path = \"/one\"\n").len(), 1);
    assert_eq!(problems("[server]\nbase_path = \"api\"\n").len(), 1);
}

#[test]
fn origins_as_people_write_them() {
    let origins = |text: &str| load(&format!("[cors]\norigins = {text}")).expect("fine").cors.origins;
    assert_eq!(origins("true"), Origins::Any);
    assert_eq!(origins("\"*\""), Origins::Any);
    assert_eq!(origins("false"), Origins::Off);
    assert_eq!(origins("\"local\""), Origins::Local);
    assert_eq!(origins("\"https://a.b\""), Origins::List(vec!["https://a.b".to_owned()]));
    assert_eq!(
        problems("[cors]\norigins = [\"https://a.b/\"]")[0],
        "x.toml:2: cors.origins: `https://a.b/` is no origin as browsers send it; did you mean `https://a.b`?"
    );
}

#[test]
fn threads_are_kept_in_a_file_unless_told_otherwise() {
    let database = |text: &str, flags: &[(&'static str, &str)]| load_with(text, flags).expect("fine").runner.database;
    let file = |path: &str| Database::File(path.into());
    assert_eq!(database("", &[]), file("copilotkit.db"));
    assert_eq!(database("[runner]\npath = \"/var/lib/threads.db\"\n", &[]), file("/var/lib/threads.db"));
    assert_eq!(database("[runner]\nkind = \"memory\"\n", &[]), Database::Memory);
    assert_eq!(database("[runner]\npath = \"a.db\"\n", &[("runner.database", "memory")]), Database::Memory);
    assert_eq!(database("[runner]\nkind = \"memory\"\n", &[("runner.database", "b.db")]), file("b.db"));
    assert_eq!(
        problems("[runner]\nkind = \"memory\"\npath = \"a.db\"\n"),
        ["x.toml:3: runner.path: threads in memory have no file; drop this, or set `kind = \"sqlite\"`"]
    );
    for nothing in ["", " ", ":memory:"] {
        assert!(load_with("", &[("runner.database", nothing)]).is_err(), "{nothing}");
    }
}

#[test]
fn the_database_is_found_without_the_secrets_of_the_agents() {
    let text = "[agents.a]\nurl = \"${NONE}\"\n[runner]\npath = \"a.db\"\nwobble = 1\n";
    let file = FileText { path: Path::new("x.toml"), text };
    assert_eq!(Config::load_database(Some(file), Overrides::new(), &env), Ok(Database::File("a.db".into())));
    for text in ["[runner]\npath = \"${NONE}\"\n", "[runner]\nkind = 3\n", "[runner\n"] {
        let file = FileText { path: Path::new("x.toml"), text };
        let problems = Config::load_database(Some(file), Overrides::new(), &env).expect_err("not to be used");
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}

#[test]
fn beside_the_platform_a_database_has_to_be_named() {
    let file = FileText { path: Path::new("x.toml"), text: "[intelligence]\napi_key = \"s3cret\"\n" };
    let refused = Config::load_database(Some(file), Overrides::new(), &env).expect_err("no database")[0].to_string();
    assert!(refused.starts_with("x.toml:1: intelligence: ") && refused.ends_with("--database"), "{refused}");
    let place = Place::Flag("database".to_owned());
    let named = Overrides::from([("runner.database", ("old.db".to_owned(), place))]);
    assert_eq!(Config::load_database(Some(file), named, &env), Ok(Database::File("old.db".into())));
}

#[test]
fn policies_as_people_write_them() {
    let runner = |line: &str| load(&format!("[runner]\n{line}\n")).map(|config| config.runner);
    for (name, policy) in [
        ("reject", WhenBusy::Reject),
        ("interrupt", WhenBusy::Interrupt),
        ("enqueue", WhenBusy::Enqueue),
        ("rollback", WhenBusy::Rollback),
    ] {
        assert_eq!(runner(&format!("when_busy = \"{name}\"")).expect("fine").when_busy, policy);
    }
    let unwatched = |value: &str| runner(&format!("when_unwatched = {value}")).map(|runner| runner.when_unwatched);
    assert_eq!(unwatched("\"keep\""), Ok(WhenUnwatched::Keep));
    assert_eq!(unwatched("\"stop\""), Ok(WhenUnwatched::Stop));
    assert_eq!(unwatched("\"30s\""), Ok(WhenUnwatched::StopAfter(Duration::from_secs(30))));
    assert_eq!(unwatched("30"), Ok(WhenUnwatched::StopAfter(Duration::from_secs(30))));
    for wrong in ["0", "\"off\"", "true", "\"leave\""] {
        assert!(unwatched(wrong).is_err(), "{wrong}");
    }
    assert!(runner("when_busy = \"supersede\"").is_err());
    assert!(runner("lease = \"10ms\"").is_err());
}

#[test]
fn retention_is_off_unless_told_otherwise() {
    assert_eq!(load("").expect("fine").retention, None);
    let retention = load("[retention]\nmax_age = \"90d\"\n").expect("fine").retention.expect("a retention");
    assert_eq!(retention.max_age, Some(Duration::from_secs(90 * 86400)));
    assert_eq!(retention.max_threads_per_owner, None);
}

#[test]
fn users_are_told_apart_by_a_header_of_the_proxy() {
    let users = load("[users]\nheader = \"X-User\"\n").expect("fine").users.expect("users");
    let KnownBy::Proxy(proxy) = users.known_by else { panic!("a proxy") };
    assert_eq!((proxy.header.as_str(), proxy.name_header, users.public_info), ("x-user", None, false));
    assert_eq!(load("").expect("fine").users, None);
    assert!(problems("[users]\n")[0].starts_with("x.toml:1: users.header: missing"));
    assert!(problems("[users]\nname_header = \"x-name\"\n")[0].starts_with("x.toml:1: users.header: missing"));
    assert!(problems("[users]\nheader = \"a b\"\n")[0].ends_with("`a b` is no header name"));
    // A token is no user: it would end up in lists and logs.
    assert!(problems("[users]\nheader = \"Authorization\"\n")[0].contains("holds a secret"));
}

const USERS: &str = "[users]\nheader = \"x-user\"\n";

#[test]
fn example_of_the_platform_shows_its_defaults() {
    let whole = uncommented_whole();
    let (_, rest) = whole.split_once("[intelligence]").expect("the table");
    let (table, _) = rest.split_once("[cors]").expect("the table behind it");
    let example = load(&format!("{USERS}[intelligence]{table}")).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let least = load(&format!("{USERS}[intelligence]\napi_key = \"s3cret\"\n")).expect("fine").intelligence;
    let (example, least) = (example.intelligence.expect("a platform"), least.expect("a platform"));
    assert_eq!((least.api_url, least.ws_url, least.organization_id), (None, None, None));
    assert_eq!((least.learning_container, least.lock_key_prefix, least.memory), (None, None, None));
    let named = |example: Intelligence| Intelligence {
        api_url: None,
        ws_url: None,
        organization_id: None,
        learning_container: None,
        lock_key_prefix: None,
        memory: None,
        ..example
    };
    let grant = example.memory.expect("a grant");
    assert_eq!((grant.user, grant.project), (MemoryAccess::ReadWrite, MemoryAccess::Read));
    assert_eq!(
        named(example),
        load(&format!("{USERS}[intelligence]\napi_key = \"s3cret\"\n"))
            .expect("fine")
            .intelligence
            .expect("a platform")
    );
}

#[test]
fn platform_needs_a_key_and_users() {
    assert_eq!(load("").expect("fine").intelligence, None);
    let said = problems("[intelligence]\napi_url = \"https://p\"\n");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("x.toml:1: intelligence.api_key: missing"), "{said:?}");
    assert!(said[1].starts_with("x.toml:1: users.header: ") && said[1].contains("--user-header"), "{said:?}");
    let outside = [("intelligence.api_key", "s3cret")];
    let said = load_with("", &outside).expect_err("no users")[0].to_string();
    assert!(said.starts_with("--intelligence.api_key: users.header: "), "{said}");
    let platform = load_with(USERS, &outside).expect("fine").intelligence.expect("a platform");
    assert_eq!((platform.api_key, platform.enterprise_learning), (Secret("s3cret".to_owned()), false));
    // A relic of older releases turns nothing on.
    assert_eq!(load_with("", &[("intelligence.organization_id", "o")]).expect("fine").intelligence, None);
    let wrong = |line: &str| problems(&format!("{USERS}[intelligence]\napi_key = \"s3cret\"\n{line}\n"))[0].clone();
    let learning = format!("{USERS}[intelligence]\napi_key = \"s3cret\"\nenterprise_learning = true\n");
    assert!(load(&learning).expect("fine").intelligence.expect("a platform").enterprise_learning);
    assert!(wrong("[intelligence.memory]\nuser = \"all\"").contains("expected \"none\""));
}

#[test]
fn platform_excludes_threads_of_ones_own() {
    let platform = format!("{USERS}[intelligence]\napi_key = \"s3cret\"\n");
    for (text, at) in [("[runner]\nwhen_busy = \"reject\"\n", "runner"), ("[retention]\nmax_age = 1\n", "retention")] {
        let said = problems(&format!("{platform}{text}"));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(&format!("x.toml:5: {at}: threads and runs are kept by the Intel")), "{said:?}");
    }
    for key in ["runner.database", "runner.when_busy", "runner.when_unwatched"] {
        let value = if key == "runner.when_busy" { "reject" } else { "keep" };
        let said = load_with(&platform, &[(key, value)]).expect_err("two keepers");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].to_string().starts_with(&format!("--{key}: {key}: threads and runs")), "{}", said[0]);
    }
}

#[test]
fn other_machines_are_let_in_only_if_users_are_told_apart_or_everybody_may_do_everything() {
    for bind in ["0.0.0.0:4000", "[::]:4000", "192.168.1.2:80"] {
        let server = format!("[server]\nbind = \"{bind}\"\n");
        let said = problems(&server);
        assert!(said[0].starts_with("x.toml:2: server.bind: other machines reach "), "{said:?}");
        assert!(said[0].contains("--user-header") && said[0].contains("--allow-anonymous"), "{said:?}");
        assert!(load(&format!("{server}[users]\nheader = \"x-user\"\n")).is_ok());
        assert!(load(&format!("{server}allow_anonymous = true\n")).is_ok());
        assert!(load_with(&server, &[("server.allow_anonymous", "true")]).is_ok());
    }
    for bind in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(load(&format!("[server]\nbind = \"{bind}\"\n")).is_ok(), "{bind}");
    }
    // What is wrong with the users is not said twice.
    assert_eq!(problems("[server]\nbind = \"0.0.0.0:1\"\n[users]\nheader = \"a b\"\n").len(), 1);
}

#[test]
fn debug_shows_no_secrets() {
    let config = load(&uncommented()).expect("fine");
    let platform = load(&format!("{USERS}[intelligence]\napi_key = \"s3cret\"\n")).expect("fine");
    let shown = format!("{config:?} {platform:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
}
