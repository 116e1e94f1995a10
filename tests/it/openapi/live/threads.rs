//! What changes threads, and who may ask.

use copilotkit_runtime::{Allow, CopilotRuntime, IdentifyError, User};
use futures_util::future::ready;
use http::Method;
use serde_json::{Value, json};

use super::super::document::document;
use super::{JSON, Seen, ask, default_runtime, get, greeter, input_json, path, post, routes};

/// A thread that is there is renamed, archived and deleted; what cannot be read is refused.
pub(super) async fn changes(seen: &mut Seen) {
    let service = default_runtime().into_service();
    seen.expect("agent_run", 200, &post(&service, "/agent/default/run", &input_json("t1")).await);
    let asks = async |method: Method, path: &str, body: &Value| {
        ask(&service, method, path, Some(JSON), body.to_string()).await
    };
    let agent = json!({"agentId": "default"});
    let named = json!({"agentId": "default", "name": "Holiday plans"});
    let renamed = seen.expect("threads_update", 200, &asks(Method::PATCH, "/threads/t1", &named).await);
    assert_eq!(renamed["name"], "Holiday plans");
    for (id, method, path, response) in [
        ("threads_archive", Method::POST, "/threads/t1/archive", "ThreadArchived"),
        ("threads_update_delete", Method::DELETE, "/threads/t1", "ThreadDeleted"),
    ] {
        let done = seen.expect(id, 200, &asks(method.clone(), path, &agent).await);
        assert_eq!(done, document().root["components"]["responses"][response]["content"][JSON]["example"]);
        seen.expect(id, 400, &asks(method, path, &json!({})).await);
    }
    for (response, name, body) in [
        ("InvalidThreadChange", "agent", json!({"name": "x"})),
        ("InvalidThreadChange", "archived", json!({"agentId": "default", "archived": "yes"})),
    ] {
        let refused = seen.expect("threads_update", 400, &asks(Method::PATCH, "/threads/t1", &body).await);
        assert_eq!(refused, *document().example(response, JSON, name));
    }
    for (query, name) in [("limit=0", "limit"), ("cursor=x", "cursor")] {
        let refused = seen.expect("threads_list", 400, &get(&service, &format!("/threads?{query}")).await);
        assert_eq!(refused, *document().example("InvalidListQuery", JSON, name));
    }
}

/// Requests of nobody, and of users the application tells wrong or not at all.
pub(super) async fn callers(seen: &mut Seen) {
    let identified = |identify: fn() -> Result<User, IdentifyError>| {
        CopilotRuntime::builder()
            .agent("default", greeter())
            .expose_memory_routes(true)
            .identify_user(move |_| ready(identify()))
    };
    let told =
        |response: &str| document().root["components"]["responses"][response]["content"][JSON]["example"].clone();
    for (identify, status, answer) in [
        ((|| Err(IdentifyError::Unauthenticated)) as fn() -> _, 401, told("Unauthorized")),
        (|| Ok(User::new("no id")), 400, told("InvalidUser")),
        (|| Err(IdentifyError::failed("no luck")), 500, told("CallerFailed")),
        (
            || Err(IdentifyError::Invalid("it has expired")),
            401,
            json!({"error": "Unauthorized", "message": "it has expired"}),
        ),
        (|| Err(IdentifyError::Forbidden("not you")), 403, json!({"error": "Forbidden", "message": "not you"})),
        (|| Err(IdentifyError::Unavailable("no keys".into())), 503, told("CallerUnknown")),
    ] {
        let service = identified(identify).build().unwrap().into_service();
        for operation in routes() {
            let refused = ask(&service, operation.method.clone(), &path(operation), Some(JSON), "").await;
            assert_eq!(seen.expect(&operation.id, status, &refused), answer, "{}", operation.id);
        }
        let envelope = json!({"method": "agent/run", "params": {"agentId": "default"}, "body": input_json("t")});
        if status == 401 {
            seen.expect("cors_preflight", 401, &ask(&service, Method::OPTIONS, "/", None, "").await);
        }
        let refused = post(&service.single_route(), "/", &envelope).await;
        assert_eq!(seen.expect("single_route", status, &refused), answer);
    }
    // Who is known and names an agent that is not for them.
    let reserved = identified(|| Ok(User::new("ben"))).allow("default", Allow::nobody().user("ann"));
    let service = reserved.build().unwrap().into_service();
    for operation in routes().filter(|operation| operation.path.contains("{agentId}")) {
        let refused = ask(&service, operation.method.clone(), &path(operation), Some(JSON), "").await;
        seen.expect(&operation.id, 403, &refused);
    }
}
