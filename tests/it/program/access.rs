//! Users who show keys and tokens to the program itself.

use std::io::Write;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::place::Place;
use crate::serve::client;
use crate::signer::Signer;

#[tokio::test]
async fn a_key_the_program_made_opens_it() {
    let place = Place::new();
    let made: Value = serde_json::from_str(&place.said(&["users", "hash-key", "--json"])).expect("JSON");
    let (key, hash) = (made["key"].as_str().expect("a key"), made["hash"].as_str().expect("a hash"));
    assert_eq!(place.files(), [""; 0], "no database is needed, and none made");
    let mut again = place.command(&["users", "hash-key", "--stdin"]);
    let mut again = again.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program runs");
    again.stdin.take().expect("a pipe").write_all(format!("{key}\n").as_bytes()).expect("it reads");
    let hashed = again.wait_with_output().expect("it ends").stdout;
    assert_eq!(String::from_utf8_lossy(&hashed).trim(), hash);

    let config = format!(
        "[users.api_keys.bot]\nhash = \"{hash}\"\nuser = \"bot\"\n[agents.default]\nkind = \"demo\"\npace = 0\n\
         [agents.lab]\nkind = \"demo\"\nallow = {{ users = [\"ada\"] }}\n"
    );
    place.write("copilotkit.toml", &config);
    let checked = place.said(&["check"]);
    assert!(checked.contains("told apart by 1 API key\n") && !checked.contains(hash), "{checked}");
    let served = place.serve(&["--database", "memory"]);
    let info = served.url("/info");
    let refused = client().get(&info).send().await.expect("a response");
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("www-authenticate")), (401, true));
    let nowhere = client().get(served.url("/nowhere")).send().await.expect("a response");
    assert_eq!(nowhere.status(), 401);
    let told = client().get(&info).header("x-api-key", key).send().await.expect("a response").text().await;
    let told: Value = serde_json::from_str(&told.expect("a body")).expect("JSON");
    assert!(told["agents"].get("default").is_some() && told["agents"].get("lab").is_none(), "{told}");
    let lab = client().post(served.url("/agent/lab/run")).bearer_auth(key).send().await.expect("a response");
    assert_eq!(lab.status(), 403);
}

#[tokio::test]
async fn tokens_open_the_program_and_what_is_short_of_a_claim_does_not() {
    let place = Place::new();
    let signer = Signer::new("ES256");
    place.write("key.pem", &signer.pem());
    let config = "[users.jwt]\naudience = \"chat\"\ncookie = \"session\"\nrequire = { roles = \"chat\" }\n\
                  [users.jwt.keys.main]\nalgorithm = \"ES256\"\npublic_key_file = \"key.pem\"\n";
    place.write("copilotkit.toml", config);
    let served = place.serve(&["--database", "memory"]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let token = |roles: Value| signer.token(&json!({"sub": "ada", "aud": "chat", "exp": now + 600, "roles": roles}));
    let good = token(json!(["chat"]));
    let asked = async |name: &str, value: String| {
        let request = client().get(served.url("/info")).header(name, value);
        request.send().await.expect("a response").status().as_u16()
    };
    assert_eq!(asked("authorization", format!("Bearer {good}")).await, 200);
    assert_eq!(asked("cookie", format!("session={good}")).await, 200);
    assert_eq!(asked("authorization", format!("Bearer {}", token(json!([])))).await, 403);
    assert_eq!(asked("authorization", format!("Bearer {good}x")).await, 401);
    let forged = client().post(served.url("/threads/clear")).header("cookie", format!("session={good}"));
    let forged = forged.header("origin", "https://evil.test").header("sec-fetch-site", "cross-site");
    assert_eq!(forged.send().await.expect("a response").status(), 403);
}

#[test]
fn what_the_checks_of_tokens_cannot_do_is_a_problem() {
    let place = Place::new();
    place.write("copilotkit.toml", "[users.jwt]\njwks_url = \"http://id.example/keys\"\n");
    let (code, said) = place.refused(&["check"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("copilotkit.toml:1: users.jwt: the address of the key set must be an https URL"), "{said}");
}
