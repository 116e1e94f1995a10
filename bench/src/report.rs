//! Results as markdown.

use crate::server::Kind;
use crate::stats::median;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The values of each server, one per round.
pub type Samples = BTreeMap<Kind, Vec<f64>>;

/// What is expected of our server.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// Only shown.
    None,
    /// At most this value.
    AtMost(f64),
    /// At least so many times the value of Node.
    TimesNode(f64),
    /// At most so many times the value of bare.
    TimesBare(f64),
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

impl Metric {
    /// A line of the table.
    pub fn new(name: &str, samples: Samples, target: Target) -> Metric {
        Metric { name: name.to_owned(), samples, target }
    }

    fn median(&self, kind: Kind) -> Option<f64> {
        self.samples.get(&kind).map(|values| median(values))
    }

    /// Median of the ratios of each round: what disturbed a round disturbed both sides of it.
    fn ratio(&self, to: Kind) -> Option<f64> {
        let (ours, theirs) = (self.samples.get(&Kind::Ours)?, self.samples.get(&to)?);
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Some(median(&ratios))
    }

    fn verdict(&self) -> String {
        let (wish, met) = match self.target {
            Target::None => return String::new(),
            Target::AtMost(most) => (format!("≤ {most}"), self.median(Kind::Ours).map(|ours| ours <= most)),
            Target::TimesNode(times) => {
                (format!("≥ {times}× Node"), self.ratio(Kind::Node).map(|ratio| ratio >= times))
            }
            Target::TimesBare(times) => {
                (format!("≤ {times}× bare"), self.ratio(Kind::Bare).map(|ratio| ratio <= times))
            }
        };
        match met {
            Some(true) => format!("{wish}: met"),
            Some(false) => format!("{wish}: **missed**"),
            None => wish,
        }
    }
}

/// The table of all scenarios.
pub fn markdown(chapters: &[Chapter]) -> String {
    let mut out = String::from(
        "| | ours | Node | bare | bare, one write | ours ÷ Node | ours ÷ bare | target |\n\
         |---|---:|---:|---:|---:|---:|---:|---|\n",
    );
    for chapter in chapters {
        let _ = writeln!(out, "| **{}** | | | | | | | |", chapter.title);
        for metric in &chapter.metrics {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} |",
                metric.name,
                number(metric.median(Kind::Ours)),
                number(metric.median(Kind::Node)),
                number(metric.median(Kind::Bare)),
                number(metric.median(Kind::BareWhole)),
                number(metric.ratio(Kind::Node)),
                number(metric.ratio(Kind::Bare)),
                metric.verdict(),
            );
        }
    }
    out
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
        let metric = Metric { name: "events/s".into(), samples, target: Target::TimesNode(9.0) };
        let table = markdown(&[Chapter { title: "1".into(), metrics: vec![metric] }]);
        assert!(table.ends_with("| events/s | 30.0 | 2.00 |  |  | 10.0 |  | ≥ 9× Node: met |\n"), "{table}");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(number(Some(1_234_567.0)), "1,234,567");
    }
}
