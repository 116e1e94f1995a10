//! Where a command writes, whom it asks, and how it shows that it is at work.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;

/// What a command has of the world besides the store.
pub(super) struct Console<'c> {
    /// What was asked for goes here; everything else to stderr.
    pub(super) out: &'c mut dyn Write,
    ask: fn(&str) -> Option<bool>,
}

impl<'c> Console<'c> {
    /// One that asks on the terminal, if there is one.
    pub(super) fn new(out: &'c mut dyn Write) -> Console<'c> {
        Console { out, ask: ask_on_terminal }
    }

    /// One that gets a given answer; `None` is that nobody is there.
    #[cfg(test)]
    pub(super) fn answering(out: &'c mut dyn Write, ask: fn(&str) -> Option<bool>) -> Console<'c> {
        Console { out, ask }
    }

    /// Makes sure that something irrevocable is wanted.
    ///
    /// # Errors
    /// If it is not, or nobody can say.
    pub(super) fn confirm(&self, yes: bool, what: &str) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        match (self.ask)(what) {
            Some(true) => Ok(()),
            Some(false) => Err(Failure::Failed("nothing was deleted".to_owned())),
            None => Err(Failure::Misuse(format!("{what}: this cannot be undone; confirm it with --yes"))),
        }
    }

    /// A bar for work whose output appears meanwhile: none where the two would mix on a terminal.
    pub(super) fn bar_beside_output(&self, doing: &'static str, total: usize) -> ProgressBar {
        if io::stdout().is_terminal() { ProgressBar::hidden() } else { bar(doing, total) }
    }

    /// A line that is not part of the output.
    pub(super) fn note(&self, text: &str) {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

fn ask_on_terminal(what: &str) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    write!(io::stderr(), "{what}: this cannot be undone. Go on? [y/N] ").ok()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A bar on stderr; nothing where that is no terminal.
pub(super) fn bar(doing: &'static str, total: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}").ok();
    let bar = ProgressBar::new(total as u64).with_message(doing);
    style.into_iter().for_each(|style| bar.set_style(style));
    bar
}

/// A sign of life on stderr for work of unknown length; nothing where that is no terminal.
pub(super) fn spinner(doing: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(doing);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
