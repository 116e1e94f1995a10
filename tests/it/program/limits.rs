//! The limits of the program's settings.

use super::place::Place;
use crate::serve::client;

#[tokio::test]
async fn addresses_behind_a_named_proxy_are_limited_each() {
    let place = Place::new();
    place.write(
        "copilotkit.toml",
        "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n[limits]\nrequests_per_second = 0.001\nburst = 2\n",
    );
    let served = place.serve(&["--database", "memory", "--single-route-path", "/single"]);
    let asked = async |path: &str, address: &str| {
        let request = client().get(served.url(path)).header("x-forwarded-for", address);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.headers().get("retry-after").is_some())
    };
    assert_eq!(asked("/info", "1.1.1.1").await, (200, false));
    let envelope = client().post(format!("http://{}/single", served.address)).header("x-forwarded-for", "1.1.1.1");
    let envelope = envelope.header("content-type", "application/json").body(r#"{"method":"info"}"#);
    assert_eq!(envelope.send().await.expect("an answer").status().as_u16(), 200, "both mounts share what is counted");
    assert_eq!(asked("/info", "1.1.1.1").await, (429, true));
    assert_eq!(asked("/info", "2.2.2.2").await, (200, false));
}
