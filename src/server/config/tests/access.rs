//! Who gets in and who may use what: `[users.jwt]`, `[users.api_keys]`, `allow`, and CORS with credentials.

use super::*;

const HASH: &str = "sha256:6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The one thing that is wrong.
fn problem(text: &str) -> String {
    let mut said = problems(text);
    assert_eq!(said.len(), 1, "{said:?}");
    said.remove(0)
}

fn api_key(lines: &str) -> String {
    format!("[users.api_keys.nightly]\n{lines}\n")
}

#[test]
fn tokens_and_keys_tell_users_apart() {
    let text = format!(
        "[users.jwt]\njwks_url = \"https://id.example/keys\"\nissuer = \"https://id.example\"\naudience = [\"a\", \"b\"]\n\
         cookie = \"session\"\n[users.jwt.require]\nemail_verified = true\nroles = [\"a\", \"b\"]\nlevel = 3\n{}",
        api_key(&format!("hash = \"{HASH}\"\nuser = \"bot\"\nclaims = {{ roles = \"staff\" }}"))
    );
    let users = load(&text).unwrap_or_else(|problems| panic!("{problems:#?}")).users.expect("users");
    let KnownBy::Credentials(credentials) = users.known_by else { panic!("credentials") };
    let jwt = credentials.jwt.expect("tokens");
    assert_eq!(
        (jwt.issuers, jwt.audiences),
        (vec!["https://id.example".to_owned()], vec!["a".to_owned(), "b".to_owned()])
    );
    let required =
        |name: &str, texts: &[&str]| (name.to_owned(), texts.iter().map(|text| (*text).to_owned()).collect());
    let wanted: Vec<(String, Vec<String>)> =
        vec![required("email_verified", &["true"]), required("roles", &["a", "b"]), required("level", &["3"])];
    assert_eq!(jwt.required, wanted);
    assert_eq!((credentials.api_keys.len(), credentials.api_keys[0].user.as_str()), (1, "bot"));
    assert_eq!(credentials.api_keys[0].hash.to_string(), HASH);
    // They tell users apart, so other machines may come.
    assert!(load(&format!("[server]\nbind = \"0.0.0.0:1\"\n{text}")).is_ok());
}

#[test]
fn settings_of_tokens_say_what_is_wrong() {
    for (lines, wanted) in [
        ("[users.jwt]", "x.toml:1: users.jwt.jwks_url: missing; without the address of a key set or keys of your own"),
        (
            "[users.jwt]\njwks_url = \"https://x\"\nalgorithms = [\"none\"]",
            "x.toml:3: users.jwt.algorithms: expected HS256,",
        ),
        (
            "[users.jwt]\njwks_url = \"https://x\"\ncookie = \"a b\"",
            "x.toml:3: users.jwt.cookie: `a b` is no name of a cookie",
        ),
        (
            "[users.jwt]\njwks_url = \"https://x\"\nisuer = \"a\"",
            "x.toml:3: users.jwt.isuer: unknown key; did you mean `issuer`?",
        ),
        ("[users.jwt.keys.a]\nsecret = \"x\"", "x.toml:1: users.jwt.keys.a.algorithm: missing; a key is pinned"),
        (
            "[users.jwt.keys.a]\nalgorithm = \"HS256\"",
            "x.toml:1: users.jwt.keys.a.: expected one of `secret`, `public_key`",
        ),
        (
            "[users.jwt.keys.a]\nalgorithm = \"HS256\"\nsecret = \"s3cret\"",
            "x.toml:3: users.jwt.keys.a.secret: a secret for HS256 has at least 32 bytes",
        ),
        (
            "[users.jwt.keys.a]\nalgorithm = \"RS256\"\nsecret = \"s3cret\"",
            "x.toml:3: users.jwt.keys.a.secret: RS256 wants a public key, not a secret",
        ),
        (
            "[users.jwt.keys.a]\nalgorithm = \"ES256\"\npublic_key = \"s3cret\"",
            "x.toml:3: users.jwt.keys.a.public_key: expected a public key in PEM",
        ),
        (
            "[users.jwt.keys.a]\nalgorithm = \"ES256\"\npublic_key_file = \"no/such.pem\"",
            "x.toml:3: users.jwt.keys.a.public_key_file: the file cannot be read: ",
        ),
    ] {
        let said = problem(&format!("{lines}\n"));
        assert!(said.starts_with(wanted), "{said}");
    }
    let good = format!("[users.jwt.keys.a]\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\n");
    assert!(!format!("{:?}", load(&good).expect("fine")).contains(SECRET));
}

#[test]
fn settings_of_keys_say_what_is_wrong() {
    for (lines, wanted) in [
        (
            "user = \"bot\"",
            "x.toml:1: users.api_keys.nightly.hash: missing; `copilotkit-runtime users hash-key` makes one",
        ),
        ("user = \"bot\"\nhash = \"s3cret\"", "x.toml:3: users.api_keys.nightly.hash: expected `sha256:` and 64"),
    ] {
        let said = problem(&api_key(lines));
        assert!(said.starts_with(wanted), "{said}");
    }
    let said = problem(&api_key(&format!("hash = \"{HASH}\"")));
    assert!(said.starts_with("x.toml:1: users.api_keys.nightly.user: missing"), "{said}");
    let said = problem(&api_key(&format!("hash = \"{HASH}\"\nuser = \"auth0|ada\"")));
    assert!(
        said.starts_with("x.toml:3: users.api_keys.nightly.user: ") && said.ends_with("taken as `auth0=7Cada`"),
        "{said}"
    );
    assert!(problem("[users.api_keys]\n").starts_with("x.toml:1: users.api_keys.: no key; add one"));
}

#[test]
fn a_header_of_a_proxy_goes_with_nothing_else() {
    let said = problem("[users]\nheader = \"x-user\"\n[users.jwt]\njwks_url = \"https://x\"\n");
    assert!(said.starts_with("x.toml:2: users.header: tokens and keys come from whoever reaches the server"), "{said}");
}

#[test]
fn an_agent_is_for_whom_it_says() {
    let users = "[users]\nheader = \"x-user\"\n";
    let agent = |lines: &str| format!("{users}[agents.lab]\nkind = \"demo\"\n{lines}\n");
    let config = load(&agent("allow = { users = [\"ada\"], claims = { \"realm_access.roles\" = [\"a\", \"b\"] } }"));
    let wanted = crate::Allow::nobody().user("ada").claim("realm_access.roles", "a").claim("realm_access.roles", "b");
    assert_eq!(config.expect("fine").agents[0].allow, Some(wanted));
    for (lines, wanted) in [
        ("allow = \"ada\"", "x.toml:5: agents.lab.allow: expected a table, found a text"),
        ("allow = { users = [] }", "x.toml:5: agents.lab.allow: nobody is allowed"),
        ("allow = { users = [\"auth0|ada\"] }", "x.toml:5: agents.lab.allow.users: ids of users hold letters"),
    ] {
        let said = problems(&agent(lines));
        assert!(said.iter().any(|said| said.starts_with(wanted)), "{said:?}");
    }
    let said = problem("[agents.lab]\nkind = \"demo\"\nallow = { users = [\"ada\"] }\n");
    assert!(said.starts_with("x.toml:3: agents.lab.allow: users are not told apart"), "{said}");
}

#[test]
fn an_agent_sees_the_headers_its_own_table_names() {
    let agent =
        |line: &str| load(&format!("[agents.a]\nkind = \"demo\"\n{line}\n")).expect("fine").agents.remove(0).forward;
    assert_eq!(agent(""), Forward::AsAll);
    assert_eq!(agent("forward_headers = false"), Forward::Nothing);
    let own = agent("forward_headers = { allow = [\"x-tenant\"], deny = [\"x-a\"] }");
    assert!(
        matches!(own, Forward::Own(own) if own.allow == ["x-tenant"] && own.deny == ["x-a"] && own.use_default_denylist)
    );
    let said = problem("[agents.a]\nkind = \"demo\"\nforward_headers = { alow = [] }\n");
    assert_eq!(said, "x.toml:3: agents.a.forward_headers.alow: unknown key; did you mean `allow`?");
}

#[test]
fn credentials_for_every_origin_are_refused_unless_forced() {
    for any in ["true", "\"*\"", "[\"*\"]"] {
        let cors = format!("[cors]\norigins = {any}\ncredentials = true\n");
        let said = problem(&cors);
        assert!(said.starts_with("x.toml:3: cors.credentials: with every origin allowed"), "{said}");
        assert!(load(&format!("{cors}dangerously_allow_credentials_from_any_origin = true\n")).is_ok());
    }
    for fine in ["\"local\"", "[\"https://app.example.com\"]", "false"] {
        assert!(load(&format!("[cors]\norigins = {fine}\ncredentials = true\n")).is_ok(), "{fine}");
    }
}
