//! One connection of a browser: `/client/websocket`.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::{Value, json};

use super::frame::{self, Frame};
use super::runner::{BROKEN, NO_CODE};
use super::world::{Feed, Now, ORGANIZATION, Topic};
use super::{Cut, Shared};

const PLANE: &str = "client";

/// Who sits there, and what they may listen to.
pub(super) struct Seat {
    pub(super) conn: String,
    pub(super) token: String,
    pub(super) user: String,
    pub(super) topic: Topic,
}

pub(super) async fn serve(shared: Arc<Shared>, socket: WebSocket, seat: Seat) {
    let mut connection = Connection { seen: 0, channel: None, feed: None, shared, socket, seat };
    let code = connection.run().await;
    connection.shared.record.closed(PLANE, &connection.seat.conn, code);
}

struct Connection {
    shared: Arc<Shared>,
    socket: WebSocket,
    seat: Seat,
    /// The `join_ref` of the joined channel.
    channel: Option<Value>,
    /// The events, if it is a thread.
    feed: Option<Feed>,
    /// Notices up to here were sent, or are older than the channel.
    seen: usize,
}

impl Connection {
    async fn run(&mut self) -> u16 {
        let (mut changes, mut cuts) = (self.shared.changes.subscribe(), self.shared.cuts.subscribe());
        loop {
            let step = tokio::select! {
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => self.frame(text.as_str()).await,
                    Some(Ok(Message::Close(close))) => ControlFlow::Break(close.map_or(NO_CODE, |close| close.code)),
                    Some(Ok(_)) => ControlFlow::Continue(()),
                    Some(Err(_)) | None => ControlFlow::Break(BROKEN),
                },
                cut = cuts.recv() => match cut {
                    Ok(Cut { plane, code }) if plane == PLANE => {
                        if let Some(code) = code {
                            let close = CloseFrame { code, reason: "".into() };
                            // Whoever is gone already does not care.
                            let _ = self.socket.send(Message::Close(Some(close))).await;
                        }
                        ControlFlow::Break(code.unwrap_or(BROKEN))
                    }
                    _ => ControlFlow::Continue(()),
                },
                _ = changes.changed() => self.news().await,
            };
            if let ControlFlow::Break(code) = step {
                return code;
            }
        }
    }

    async fn send(&mut self, frame: Value) -> ControlFlow<u16> {
        self.shared.record.frame(PLANE, &self.seat.conn, "out", &frame);
        match self.socket.send(Message::text(frame.to_string())).await {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(BROKEN),
        }
    }

    /// Whatever is due to the channel.
    async fn news(&mut self) -> ControlFlow<u16> {
        let Some(join_ref) = self.channel.clone() else { return ControlFlow::Continue(()) };
        let topic = self.seat.topic.name();
        let due: Vec<(&'static str, Value)> = {
            let mut world = self.shared.world.lock();
            let mut due = Vec::new();
            if let Some(feed) = &mut self.feed {
                due = world.due(feed, &Now::read());
                world.set_delivered(&self.seat.token, feed.next());
            }
            let notices = world.notices(self.seen).iter().filter(|notice| notice.topic == topic);
            due.extend(notices.map(|notice| (notice.event, notice.payload.clone())));
            self.seen = world.notice_count();
            due
        };
        for (event, payload) in due {
            self.send(frame::push(&join_ref, &topic, event, &payload)).await?;
        }
        ControlFlow::Continue(())
    }

    async fn frame(&mut self, text: &str) -> ControlFlow<u16> {
        let Ok((raw, frame)) = Frame::read(text) else { return ControlFlow::Continue(()) };
        self.shared.record.frame(PLANE, &self.seat.conn, "in", &raw);
        match frame.event.as_str() {
            "heartbeat" => self.send(frame.reply(Ok(json!({})))).await,
            "phx_join" => self.join(&frame).await,
            "stop_run" => self.stop(&frame).await,
            "phx_leave" => {
                self.channel = None;
                self.send(frame.reply(Ok(json!({})))).await
            }
            _ => self.send(frame.reply(Err(json!({ "reason": "unmatched topic" })))).await,
        }
    }

    async fn join(&mut self, frame: &Frame) -> ControlFlow<u16> {
        if frame.topic != self.seat.topic.name() {
            return self.send(frame.reply(Err(json!({ "reason": "unauthorized" })))).await;
        }
        let opened = match &self.seat.topic {
            Topic::Named(_) => Ok(None),
            Topic::Thread(id) => self.shared.with(|world| {
                let resume = world.delivered(&self.seat.token);
                world.open_feed(id, &frame.payload, resume).map(Some)
            }),
        };
        self.feed = match opened {
            Ok(feed) => feed,
            Err(response) => return self.send(frame.reply(Err(response))).await,
        };
        self.seen = self.shared.world.lock().notice_count();
        self.channel = Some(frame.join_ref.clone());
        self.send(frame.reply(Ok(json!({})))).await?;
        if let Some(feed) = &self.feed {
            let who = json!({
                "thread_id": feed.thread_id(), "user_id": self.seat.user, "organization_id": ORGANIZATION,
            });
            self.send(frame::push(&frame.join_ref, &frame.topic, "connected", &who)).await?;
        }
        self.news().await
    }

    async fn stop(&mut self, frame: &Frame) -> ControlFlow<u16> {
        let run_id = frame.payload["run_id"].as_str().unwrap_or_default();
        let Some(feed) = &mut self.feed else {
            return self.send(frame.reply(Err(json!({ "reason": "unmatched topic" })))).await;
        };
        let thread_id = feed.thread_id().to_owned();
        let stopped = self.shared.with(|world| world.stop_from_browser(&thread_id, run_id, &Now::read()));
        if stopped.is_ok() {
            feed.stopped(run_id);
        }
        self.send(frame.reply(stopped.map(|()| json!({})))).await
    }
}
