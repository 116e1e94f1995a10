//! Who may do what: every route, asked by the owner of a thread, by another user and by nobody, for a thread that
//! is there and for one that is not. To everybody but its owner the two look the same, to the byte.

mod rows;
mod world;

use std::collections::BTreeSet;

use copilotkit_runtime::http::Route;
use http::{Method, StatusCode};

use rows::{Asked, ROWS, Row};
use world::{ANN, BEN, Reply, SECRET, Standing, Transport, World};

const NOBODY: &str = "";

#[test]
fn every_route_has_a_row() {
    let of_table: BTreeSet<(&str, &Method)> =
        Route::table().flat_map(|(name, _, methods)| methods.iter().map(move |method| (name, method))).collect();
    let of_rows: BTreeSet<(&str, &Method)> = ROWS.iter().map(|row| (row.route, &row.method)).collect();
    assert_eq!(of_rows, of_table);
    assert_eq!(of_rows.len(), ROWS.len(), "one row for each");
}

#[test]
fn routes_say_themselves_whom_they_answer() {
    for row in ROWS {
        let route = Route::of_path(&row.path()).unwrap();
        assert_eq!(route.needs_caller(), row.asked == Asked::Callers, "{}", row.route);
    }
}

/// What a request came to: the answer, and how often the application was asked who sent it.
async fn came_to(row: &Row, transport: Transport, user: &str, standing: Standing) -> (Reply, usize, World) {
    let world = World::with(standing).await;
    let before = world.identified();
    let reply = world.ask(row, transport, user).await;
    let identified = world.identified() - before;
    (reply, identified, world)
}

#[tokio::test(start_paused = true)]
async fn a_thread_of_somebody_else_looks_like_none() {
    for (row, transport) in all() {
        let (none, ..) = came_to(row, transport, BEN, Standing::Missing).await;
        for standing in [Standing::Sealed, Standing::Running] {
            let (foreign, _, world) = came_to(row, transport, BEN, standing).await;
            assert_eq!(foreign, none, "{} {transport:?} {standing:?}", row.route);
            assert!(!foreign.text().contains(SECRET), "{}: {foreign:?}", row.route);
            let seen = world.seen_by_owner().await;
            assert_eq!(seen, World::with(standing).await.seen_by_owner().await, "{} {standing:?}", row.route);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_to_no_thread() {
    for (row, transport) in all() {
        for standing in Standing::ALL {
            let (reply, identified, world) = came_to(row, transport, NOBODY, standing).await;
            let at = format!("{} {transport:?} {standing:?}: {reply:?}", row.route);
            assert_eq!(identified, 1, "{at}");
            if row.asked == Asked::Callers {
                assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{at}");
                let told =
                    r#"{"error":"Unauthorized","message":"The request does not say who sends it; sign in first"}"#;
                assert_eq!(reply.text(), told, "{at}");
            } else {
                assert_ne!(reply.status, StatusCode::UNAUTHORIZED, "{at}");
            }
            let seen = world.seen_by_owner().await;
            assert_eq!(seen, World::with(standing).await.seen_by_owner().await, "{at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_owner_gets_what_others_do_not() {
    for (row, transport) in all() {
        let Some((standing, shows)) = row.owner_sees else { continue };
        if !row.is_reached(transport) {
            continue;
        }
        let (own, identified, _) = came_to(row, transport, ANN, standing).await;
        assert!(own.status.is_success() && own.text().contains(shows), "{} {transport:?}: {own:?}", row.route);
        assert_eq!(identified, 1, "{}: a request is identified once", row.route);
        let (foreign, ..) = came_to(row, transport, BEN, standing).await;
        assert!(!foreign.text().contains(shows), "{} {transport:?}: {foreign:?}", row.route);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_for_anybody_answers_everybody_alike() {
    for (row, transport) in all().filter(|(row, _)| row.asked == Asked::Anybody) {
        let (reply, ..) = came_to(row, transport, NOBODY, Standing::Missing).await;
        for (user, standing) in [ANN, BEN].into_iter().flat_map(|user| Standing::ALL.map(|standing| (user, standing))) {
            let (other, identified, _) = came_to(row, transport, user, standing).await;
            assert_eq!((&other, identified), (&reply, 1), "{} {transport:?} {user} {standing:?}", row.route);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_goes_wrong_lets_nobody_in() {
    let wrong = [
        ("!throw", 500, "Failed to identify user"),
        ("!panic", 500, "Failed to identify user"),
        ("!bad id", 400, "identifyUser must return a valid user id"),
        ("!noname", 400, "identifyUser must return a valid user name"),
    ];
    for (row, transport) in all() {
        for (user, status, error) in wrong {
            let (reply, ..) = came_to(row, transport, user, Standing::Sealed).await;
            assert_eq!(reply.status.as_u16(), status, "{} {user}", row.route);
            assert_eq!(reply.text(), format!("{{\"error\":\"{error}\"}}"), "{} {user}", row.route);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn clear_forgets_the_callers_threads_alone() {
    let clear = ROWS.iter().find(|row| row.route == "threads/clear").unwrap();
    let (_, _, world) = came_to(clear, Transport::Paths, ANN, Standing::Sealed).await;
    assert_eq!(world.seen_by_owner().await, World::with(Standing::Missing).await.seen_by_owner().await);
}

#[tokio::test(start_paused = true)]
async fn two_users_may_each_have_a_thread_of_one_id() {
    let world = World::with(Standing::Running).await;
    let row = |route: &str| ROWS.iter().find(|row| row.route == route).unwrap();
    let own = world.ask(row("agent/run"), Transport::Paths, BEN).await;
    assert!(own.text().contains("RUN_FINISHED"), "{own:?}");
    for user in [ANN, BEN] {
        let listed = world.ask(row("threads/list"), Transport::Paths, user).await.text();
        assert_eq!(listed.matches(r#""id":"t""#).count(), 1, "{listed}");
        assert!(listed.contains(&format!(r#""createdById":"{user}""#)), "{listed}");
    }
    world.ask(row("threads/clear"), Transport::Paths, BEN).await;
    assert_eq!(world.seen_by_owner().await, World::with(Standing::Running).await.seen_by_owner().await);
}

#[tokio::test(start_paused = true)]
async fn the_debug_feed_shows_the_callers_events_alone() {
    let world = World::with(Standing::Missing).await;
    let row = |route: &str| ROWS.iter().find(|row| row.route == route).unwrap();
    let (feeds, runs) = (row("cpk-debug-events"), row("agent/run"));
    let (anns, bens) = (world.send(feeds, Transport::Paths, ANN).await, world.send(feeds, Transport::Paths, BEN).await);
    world.ask(runs, Transport::Paths, ANN).await;
    let (anns, bens) = (Reply::of(anns).await, Reply::of(bens).await);
    assert!(anns.text().contains("nothing much"), "{anns:?}");
    assert_eq!(bens.text(), ": connected\n\n");
}

fn all() -> impl Iterator<Item = (&'static Row, Transport)> {
    ROWS.iter().flat_map(|row| [Transport::Paths, Transport::Envelopes].map(|transport| (row, transport)))
}
