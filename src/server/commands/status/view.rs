//! The status for people.

use std::fmt::Write as _;

use super::Shown;
use crate::server::commands::output::{brief, count, size, table};
use crate::{LiveNow, Status};

/// How many runs are shown: a screen of them.
const ROWS: usize = 20;

/// A screen, or a page of paper.
pub(super) fn text(shown: &Shown, address: &str) -> String {
    let Status { resident_bytes, open_files, live_runs, queued_runs, runs, failed_runs, .. } = shown.status;
    let status = &shown.status;
    let state = if status.ready { "ready" } else { "NOT READY" };
    let mut text = format!(
        "copilotkit-runtime {} at {address}, up {}, {state}\n",
        brief(&status.version),
        time(status.uptime_seconds)
    );
    for problem in &status.problems {
        let _ = writeln!(text, "  {}", brief(problem));
    }
    let memory = resident_bytes.map_or_else(|| "unknown".to_owned(), size);
    let files = open_files.map_or_else(String::new, |files| format!(", {}", count(files, "open file")));
    let connections =
        status.open_connections.map_or_else(String::new, |open| format!(", {}", count(open, "open connection")));
    let _ = writeln!(text, "\nmemory   {memory}{files}{connections}");
    let _ = writeln!(
        text,
        "runs     {live_runs} live, {queued_runs} waiting, {}; {runs} ended, {failed_runs} of them failed or refused; {:.1}/s",
        count(status.watchers as u64, "watcher"),
        shown.runs_per_second,
    );
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
    let bytes = size(shown.bytes_per_second.max(0.0) as u64);
    let _ = writeln!(text, "events   {}; {:.1}/s, {bytes}/s", status.events, shown.events_per_second);
    if let Some(waiting) = status.waiting_writes {
        let _ = write!(text, "store    {}", count(waiting as u64, "waiting write"));
        if let (Some(half), Some(most)) = (status.append_p50_seconds, status.append_p95_seconds) {
            let _ = write!(text, "; half of the appends within {} ms, 95 % within {} ms", half * 1e3, most * 1e3);
        }
        text.push('\n');
    }
    if !status.oldest_runs.is_empty() {
        text.push('\n');
        text.push_str(&listed(&status.oldest_runs));
        let more = (live_runs + queued_runs).saturating_sub(ROWS);
        if more > 0 {
            let _ = writeln!(text, "and {more} more");
        }
    }
    text
}

fn listed(runs: &[LiveNow]) -> String {
    let rows: Vec<_> = runs.iter().take(ROWS).map(row).collect();
    let mut out = Vec::new();
    // Writing into a vector does not fail.
    let _ = table(&mut out, ["AGENT", "AGE", "EVENTS", "WATCHERS", "STATE", "USER", "THREAD", "RUN"], &rows);
    String::from_utf8_lossy(&out).into_owned()
}

fn row(run: &LiveNow) -> [String; 8] {
    [
        brief(&run.agent),
        time(run.age_seconds),
        run.events.to_string(),
        run.watchers.to_string(),
        if run.waits { "waits" } else { "runs" }.to_owned(),
        brief(&run.user),
        brief(&run.thread),
        brief(&run.run),
    ]
}

/// A time in its two largest units.
fn time(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds since a start")]
    let whole = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole}s"),
        (0, 0, _) => format!("{minutes}m {}s", whole % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_chose_cannot_steer_the_terminal() {
        let run = LiveNow { thread: "t\u{1b}[2J\nx".to_owned(), agent: "a".to_owned(), ..LiveNow::default() };
        let status = Status { live_runs: 1, oldest_runs: vec![run], ..Status::default() };
        let shown = Shown { status, runs_per_second: 0.0, events_per_second: 0.0, bytes_per_second: 0.0 };
        let text = text(&shown, "127.0.0.1:1");
        assert!(!text.contains('\u{1b}') && text.contains("t\u{fffd}[2J x"), "{text}");
    }

    #[test]
    fn many_runs_are_cut_to_a_screen() {
        let status = Status { live_runs: 45, oldest_runs: vec![LiveNow::default(); 45], ..Status::default() };
        let shown = Shown { status, runs_per_second: 0.0, events_per_second: 0.0, bytes_per_second: 0.0 };
        let text = text(&shown, "127.0.0.1:1");
        assert!(text.ends_with("and 25 more\n"), "{text}");
        assert!(text.lines().count() < 30, "{text}");
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, shown) in
            [(0.4, "0s"), (59.9, "59s"), (61.0, "1m 1s"), (7_260.0, "2h 1m"), (90_000.0, "1d 1h"), (-1.0, "0s")]
        {
            assert_eq!(time(seconds), shown);
        }
    }
}
