//! One connection of a runner: `/runner/websocket`.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::{Value, json};

use super::conduct::{self, Conduct};
use super::faults::{Deed, Now as Happening};
use super::frame::{self, Frame};
use super::world::Now;
use super::{Cut, Shared};

/// A closing without a code, and one without a close frame.
pub(super) const NO_CODE: u16 = 1005;
pub(super) const BROKEN: u16 = 1006;

const PLANE: &str = "runner";

pub(super) async fn serve(shared: Arc<Shared>, socket: WebSocket, conn: String) {
    let seen = shared.with(|world| world.notice_count());
    let mut connection = Connection { conduct: Conduct::default(), channel: None, seen, conn, shared, socket };
    let code = connection.run().await;
    connection.shared.record.closed(PLANE, &connection.conn, code);
}

struct Connection {
    shared: Arc<Shared>,
    socket: WebSocket,
    conn: String,
    conduct: Conduct,
    /// The topic that was joined, and its `join_ref`.
    channel: Option<(String, Value)>,
    /// Notices up to here were sent, or are not for this connection.
    seen: usize,
}

impl Connection {
    /// Until it closes: with which code.
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
                    Ok(Cut { plane, code }) if plane == PLANE => self.close(code).await,
                    _ => ControlFlow::Continue(()),
                },
                _ = changes.changed() => self.notices().await,
            };
            if let ControlFlow::Break(code) = step {
                return code;
            }
        }
    }

    async fn send(&mut self, frame: Value) -> ControlFlow<u16> {
        self.shared.record.frame(PLANE, &self.conn, "out", &frame);
        match self.socket.send(Message::text(frame.to_string())).await {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(BROKEN),
        }
    }

    /// Closes the socket with a code, or breaks it off.
    async fn close(&mut self, code: Option<u16>) -> ControlFlow<u16> {
        if let Some(code) = code {
            let reason = "".into();
            // Whoever is gone already does not care.
            let _ = self.socket.send(Message::Close(Some(CloseFrame { code, reason }))).await;
        }
        ControlFlow::Break(code.unwrap_or(BROKEN))
    }

    async fn notices(&mut self) -> ControlFlow<u16> {
        let Some((topic, join_ref)) = self.channel.clone() else { return ControlFlow::Continue(()) };
        let due: Vec<_> = {
            let world = self.shared.world.lock();
            let due = world.notices(self.seen).iter().filter(|notice| notice.topic == topic).cloned().collect();
            self.seen = world.notice_count();
            due
        };
        for notice in due {
            self.send(frame::push(&join_ref, &topic, notice.event, &notice.payload)).await?;
        }
        ControlFlow::Continue(())
    }

    async fn frame(&mut self, text: &str) -> ControlFlow<u16> {
        let (raw, frame) = match Frame::read(text) {
            Ok(read) => read,
            Err(wrong) => {
                self.shared.with(|world| world.blame(wrong));
                return ControlFlow::Continue(());
            }
        };
        self.shared.record.frame(PLANE, &self.conn, "in", &raw);
        if let Some(wrong) = self.conduct.of_frame(&frame) {
            self.shared.with(|world| world.blame(format!("{}: {wrong}", self.conn)));
        }
        match frame.event.as_str() {
            "heartbeat" => self.heartbeat(&frame).await,
            "phx_join" => self.join(&frame).await,
            "phx_leave" => {
                self.conduct.left();
                self.channel = None;
                self.send(frame.reply(Ok(json!({})))).await
            }
            "event" | "events" => self.push(&frame).await,
            _ => self.send(frame.reply(Err(json!({ "reason": "unmatched topic" })))).await,
        }
    }

    async fn heartbeat(&mut self, frame: &Frame) -> ControlFlow<u16> {
        match self.shared.faults.take(&Happening::Heartbeat) {
            Some(Deed::Silence) => ControlFlow::Continue(()),
            _ => self.send(frame.reply(Ok(json!({})))).await,
        }
    }

    async fn join(&mut self, frame: &Frame) -> ControlFlow<u16> {
        let run = frame.topic.strip_prefix("ingestion:").unwrap_or_default();
        let fault = self.shared.faults.take(&Happening::Join { run });
        match fault {
            Some(Deed::Silence) => return ControlFlow::Continue(()),
            Some(Deed::Error(response)) => return self.send(frame.reply(Err(response))).await,
            Some(Deed::Close(code)) => return self.close(Some(code)).await,
            Some(Deed::Drop | Deed::Lose) => return self.close(None).await,
            Some(fault) => tokio::time::sleep(fault.delay()).await,
            None => {}
        }
        let batches = self.shared.batches;
        let joined = self.shared.with(|world| world.join_runner(&frame.topic, &frame.payload, batches, &Now::read()));
        if let Ok(response) = &joined {
            self.conduct.joined(frame, response);
            self.channel = Some((frame.topic.clone(), frame.join_ref.clone()));
        }
        self.send(frame.reply(joined)).await
    }

    async fn push(&mut self, frame: &Frame) -> ControlFlow<u16> {
        let run = frame.topic.strip_prefix("ingestion:").unwrap_or_default();
        let events = conduct::events(frame);
        let fault = self.shared.faults.take(&Happening::Push { run, seqs: &conduct::seqs(frame) });
        match &fault {
            Some(Deed::Error(response)) => {
                self.conduct.answered(frame, false);
                return self.send(frame.reply(Err(response.clone()))).await;
            }
            Some(Deed::Lose) => return self.close(None).await,
            _ => {}
        }
        let stored = self.shared.with(|world| world.ingest(run, &events, &Now::read()));
        match &fault {
            Some(Deed::Silence) => return ControlFlow::Continue(()),
            Some(Deed::Close(code)) => return self.close(Some(*code)).await,
            Some(Deed::Drop) => return self.close(None).await,
            Some(fault) => tokio::time::sleep(fault.delay()).await,
            None => {}
        }
        self.conduct.answered(frame, stored.is_ok());
        let reply = frame.reply(stored.map(|()| json!({})));
        if fault == Some(Deed::Twice) {
            self.send(reply.clone()).await?;
        }
        self.send(reply).await?;
        if fault == Some(Deed::Stop) {
            self.shared.with(|world| world.ask_to_stop(run));
        }
        ControlFlow::Continue(())
    }
}
