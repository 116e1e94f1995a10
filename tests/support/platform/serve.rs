//! The platform's listener: two sockets, and REST for the rest.

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::call::{Answer, Call};
use super::faults::{Deed, Now as Happening};
use super::world::Now;
use super::{Shared, client, conduct, runner};

pub(super) fn app(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/runner/websocket", axum::routing::any(runner_socket))
        .route("/client/websocket", axum::routing::any(client_socket))
        .fallback(rest)
        .with_state(shared)
}

async fn rest(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let Ok(call) = Call::read(request).await else { return StatusCode::BAD_REQUEST.into_response() };
    shared.record.call(&call);
    let wrong = conduct::of_call(&call);
    shared.with(|world| wrong.into_iter().for_each(|wrong| world.blame(wrong)));
    let fault = shared.faults.take(&Happening::Rest { method: &call.method, path: &call.path });
    if fault == Some(Deed::Silence) {
        std::future::pending::<()>().await;
    }
    if let Some(fault) = &fault {
        tokio::time::sleep(fault.delay()).await;
    }
    let answer = match fault {
        Some(Deed::Answer { status, body }) => Answer::new(status, body),
        _ => answer(&shared, &call),
    };
    shared.record.answer(&call, &answer);
    let status = StatusCode::from_u16(answer.status).expect("a status");
    match answer.body {
        Some(body) => (status, axum::Json(body)).into_response(),
        None => status.into_response(),
    }
}

/// The platform's own answer, or what the director says instead.
fn answer(shared: &Shared, call: &Call) -> Answer {
    let now = Now::read();
    shared.with(|world| {
        let Some(director) = &shared.director else { return world.answer(call, &now) };
        let mut trial = world.clone();
        let own = trial.answer(call, &now);
        let directed = director.answer(call, &own);
        if directed.as_ref().is_none_or(|directed| directed.status == own.status) {
            *world = trial;
        }
        directed.unwrap_or(own)
    })
}

/// What a request for a socket brings.
struct Asked {
    call: Call,
    protocols: Vec<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
}

async fn asked(shared: &Shared, request: Request) -> Asked {
    let (mut head, body) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut head, shared).await;
    let call = Call::read(Request::from_parts(head, body)).await.expect("a request without a body");
    let offered = call.header("sec-websocket-protocol").unwrap_or_default();
    let protocols = offered.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    Asked { call, protocols, upgrade }
}

/// Notes a refusal and gives it.
fn refuse(shared: &Shared, plane: &str, asked: &Asked, status: u16) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let outcome = json!({ "refused": status.as_u16(), "why": status.canonical_reason() });
    shared.record.upgrade(plane, &asked.call, &asked.protocols, outcome);
    status.into_response()
}

/// The name of the next connection, in the order of all.
fn name(shared: &Shared, plane: &str) -> String {
    let is_accepted = |entry: &serde_json::Value| entry["dir"] == "upgrade" && entry["accepted"] == true;
    let count = shared.record.entries().iter().filter(|entry| is_accepted(entry)).count();
    format!("{plane}-{}", count + 1)
}

async fn runner_socket(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asked = asked(&shared, request).await;
    if let Some(wrong) = conduct::of_upgrade(&asked.call, &asked.protocols) {
        shared.with(|world| world.blame(wrong));
    }
    if let Some(fault) = shared.faults.take(&Happening::Upgrade("runner")) {
        tokio::time::sleep(fault.delay()).await;
        if let Deed::Refuse(status) = fault {
            return refuse(&shared, "runner", &asked, status);
        }
    }
    let Ok(upgrade) = asked.upgrade else { return refuse(&shared, "runner", &asked, 426) };
    let conn = name(&shared, "runner");
    shared.record.upgrade("runner", &asked.call, &asked.protocols, json!({ "conn": conn, "accepted": true }));
    upgrade.protocols(["phoenix"]).on_upgrade(move |socket| runner::serve(shared, socket, conn))
}

async fn client_socket(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asked = asked(&shared, request).await;
    if let Some(Deed::Refuse(status)) = shared.faults.take(&Happening::Upgrade("client")) {
        return refuse(&shared, "client", &asked, status);
    }
    let token = asked.call.query.get("join_token").cloned().unwrap_or_default();
    let Some((user, topic)) = shared.with(|world| world.redeem(&token)) else {
        return refuse(&shared, "client", &asked, 401);
    };
    let Ok(upgrade) = asked.upgrade else { return refuse(&shared, "client", &asked, 426) };
    let conn = name(&shared, "client");
    shared.record.upgrade("client", &asked.call, &asked.protocols, json!({ "conn": conn, "accepted": true }));
    let seat = client::Seat { conn, token, user, topic };
    upgrade.on_upgrade(move |socket| client::serve(shared, socket, seat))
}
