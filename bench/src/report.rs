//! Results as markdown.

use crate::server::Kind;
use crate::stats::median;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The values of each server, one per round.
pub type Samples = BTreeMap<Kind, Vec<f64>>;

/// What is expected of the server a table is about.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// Only shown.
    None,
    /// At most this value.
    AtMost(f64),
    /// At least so many times the value of another server.
    AtLeastTimes(f64, Kind),
    /// At most so many times the value of another server.
    AtMostTimes(f64, Kind),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Metric {
    /// What was measured.
    pub name: String,
    /// Its values.
    pub samples: Samples,
    /// What is expected.
    pub target: Target,
}

/// The lines of one scenario.
#[derive(Clone, Debug)]
pub struct Chapter {
    /// Number and name of the scenario.
    pub title: String,
    /// Its lines.
    pub metrics: Vec<Metric>,
}

/// Which servers a table shows, and what its head calls them.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// The one targets are for.
    subject: Column,
    others: &'static [Column],
    /// Those the subject is divided by.
    beside: &'static [Column],
}

type Column = (Kind, &'static str);

impl Table {
    /// Threads in memory.
    pub const IN_MEMORY: Table = Table {
        subject: (Kind::Ours, "ours"),
        others: &[(Kind::Node, "Node"), (Kind::Bare, "bare"), (Kind::BareWhole, "bare, one write")],
        beside: &[(Kind::Node, "ours ÷ Node"), (Kind::Bare, "ours ÷ bare")],
    };

    /// Threads in a SQLite file.
    pub const DURABLE: Table = Table {
        subject: (Kind::OursDurable, "ours, SQLite"),
        others: &[(Kind::Ours, "ours, memory"), (Kind::NodeDurable, "Node, SQLite")],
        beside: &[(Kind::Ours, "SQLite ÷ memory"), (Kind::NodeDurable, "ours ÷ Node")],
    };

    /// The lines of these scenarios as markdown.
    pub fn markdown(&self, chapters: &[Chapter]) -> String {
        let heads: Vec<&str> = self.servers().chain(self.beside).map(|(_, head)| *head).collect();
        let mut out = format!("| | {} | target |\n", heads.join(" | "));
        let _ = writeln!(out, "|---|{}---|", "---:|".repeat(heads.len()));
        for chapter in chapters {
            let _ = writeln!(out, "| **{}** |{} |", chapter.title, " |".repeat(heads.len()));
            for metric in &chapter.metrics {
                let _ = writeln!(out, "{}", self.line(metric));
            }
        }
        out
    }

    fn servers(&self) -> impl Iterator<Item = &Column> {
        std::iter::once(&self.subject).chain(self.others)
    }

    fn line(&self, metric: &Metric) -> String {
        let (subject, _) = self.subject;
        let medians = self.servers().map(|(kind, _)| metric.median(*kind));
        let ratios = self.beside.iter().map(|(kind, _)| metric.ratio(subject, *kind));
        let cells: Vec<String> = medians.chain(ratios).map(number).collect();
        format!("| {} | {} | {} |", metric.name, cells.join(" | "), metric.verdict(subject))
    }
}

impl Metric {
    /// A line of the table.
    pub fn new(name: &str, samples: Samples, target: Target) -> Metric {
        Metric { name: name.to_owned(), samples, target }
    }

    fn median(&self, kind: Kind) -> Option<f64> {
        self.samples.get(&kind).map(|values| median(values))
    }

    /// Median of the ratios of each round: what disturbed a round disturbed both sides of it.
    fn ratio(&self, of: Kind, to: Kind) -> Option<f64> {
        let (ours, theirs) = (self.samples.get(&of)?, self.samples.get(&to)?);
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Some(median(&ratios))
    }

    /// What is expected of a server, and whether it does it.
    fn verdict(&self, of: Kind) -> String {
        let (wish, met) = match self.target {
            Target::None => return String::new(),
            Target::AtMost(most) => (format!("≤ {most}"), self.median(of).map(|value| value <= most)),
            Target::AtLeastTimes(times, other) => {
                (format!("≥ {times}× {}", other.name()), self.ratio(of, other).map(|ratio| ratio >= times))
            }
            Target::AtMostTimes(times, other) => {
                (format!("≤ {times}× {}", other.name()), self.ratio(of, other).map(|ratio| ratio <= times))
            }
        };
        match met {
            Some(true) => format!("{wish}: met"),
            Some(false) => format!("{wish}: **missed**"),
            None => wish,
        }
    }
}

/// Three significant digits, thousands set apart.
fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if !value.is_finite() => "–".to_owned(),
        Some(value) if value.abs() >= 1000.0 => grouped(value),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let samples = Samples::from([(Kind::Ours, vec![10.0, 40.0, 30.0]), (Kind::Node, vec![1.0, 2.0, 3.0])]);
        let target = Target::AtLeastTimes(9.0, Kind::Node);
        let metric = Metric { name: "events/s".into(), samples, target };
        let table = Table::IN_MEMORY.markdown(&[Chapter { title: "1".into(), metrics: vec![metric] }]);
        assert!(table.ends_with("| events/s | 30.0 | 2.00 |  |  | 10.0 |  | ≥ 9× Node: met |\n"), "{table}");
    }

    #[test]
    fn every_line_of_a_table_has_as_many_cells() {
        let metric = Metric::new("run p50, ms", Samples::from([(Kind::OursDurable, vec![1.0])]), Target::AtMost(2.0));
        for table in [Table::IN_MEMORY, Table::DURABLE] {
            let chapter = Chapter { title: "1".into(), metrics: vec![metric.clone()] };
            let text = table.markdown(&[chapter]);
            let cells: Vec<usize> = text.lines().map(|line| line.matches('|').count()).collect();
            assert_eq!(cells.len(), 4, "{text}");
            assert!(cells.iter().all(|count| *count == cells[0]), "{text}");
        }
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(number(Some(1_234_567.0)), "1,234,567");
    }
}
