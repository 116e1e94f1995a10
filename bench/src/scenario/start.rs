//! 8: from the start of the process to its first answer, and how large the program is.

use super::lab::Lab;
use crate::failure::Result;
use crate::report::{Chapter, Metric, Samples, Target};
use crate::server::Kind;

pub(super) async fn measure(lab: &Lab) -> Result<Chapter> {
    let programs = lab.only(&[Kind::Ours, Kind::Node, Kind::Bare]);
    let [first] =
        lab.rounds(&programs, async |program| Ok([program.start().await?.first_answer.as_secs_f64() * 1e3])).await?;
    let mut size = Samples::new();
    // Of Node only the interpreter could be weighed, which says nothing about the runtime.
    for program in programs.iter().filter(|program| program.kind != Kind::Node) {
        let bytes = std::fs::metadata(&program.path)?.len();
        size.insert(program.kind, vec![bytes as f64 / f64::from(1 << 20)]);
    }
    Ok(Chapter {
        title: "8. Start".into(),
        metrics: vec![
            Metric::new("start to first answer of /info, ms", first, Target::None),
            Metric::new("size of the program, MiB", size, Target::None),
        ],
    })
}
