//! Side-by-side speed measurements of servers which answer
//! `POST /api/copilotkit/agent/default/run` with AG-UI events over SSE.
//!
//! - [`play`] is what the agent of every server plays: which events, when.
//! - [`bare`] is the floor of the comparison, a server that only writes those bytes.
//! - [`load`] asks: HTTP/1.1 clients in a closed loop, paced, or held open.
//! - [`server`], [`database`] and [`process`] start the servers and read what they cost.
//! - [`scenario`] says what is measured, [`report`] how it is shown.
//!
//! Everything stays on loopback and is bounded in count and time.

pub mod bare;
pub mod cargo;
pub mod database;
pub mod failure;
pub mod load;
pub mod play;
pub mod process;
pub mod report;
pub mod scenario;
pub mod server;
pub mod stats;
