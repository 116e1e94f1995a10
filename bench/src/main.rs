//! Starts the servers side by side, measures them, prints a table.
//!
//! Run with `cargo run --release --manifest-path bench/Cargo.toml -- all`.

mod machine;
mod options;

use clap::Parser;
use copilotkit_bench::failure::{Failure, Result};
use copilotkit_bench::scenario::{Group, Lab, Scenario, check};
use copilotkit_bench::server;
use machine::Machine;
use options::{Measure, Options};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("copilotkit-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    // Built before this process is pinned: a build may use every core.
    let lab = options.lab()?;
    server::pin_generator(options.generator_core)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match options.measure {
            Measure::Check => same_bytes(&lab).await,
            Measure::All => {
                let in_memory = group(&lab, Group::InMemory).await;
                println!();
                in_memory.and(group(&lab, Group::Durable).await)
            }
            Measure::Group(all) => group(&lab, all).await,
            Measure::Only(scenario) => table(&lab, scenario.group(), [scenario]).await,
        }
    })
}

async fn same_bytes(lab: &Lab) -> Result<()> {
    let differences = check(lab).await?;
    if differences.is_empty() {
        println!("All servers send the same bytes.");
        return Ok(());
    }
    Err(Failure::said(format!("the servers differ\n{}", differences.join("\n"))))
}

async fn group(lab: &Lab, group: Group) -> Result<()> {
    table(lab, group, group.scenarios()).await
}

async fn table(lab: &Lab, group: Group, scenarios: impl IntoIterator<Item = Scenario>) -> Result<()> {
    let disk = match group {
        Group::InMemory => String::new(),
        Group::Durable => machine::disk(&lab.databases)?,
    };
    let machine = Machine::watch()?;
    let (mut chapters, mut failed) = (Vec::new(), Vec::new());
    for scenario in scenarios {
        eprintln!("{scenario:?}");
        match scenario.measure(lab).await {
            Ok(measured) => chapters.extend(measured),
            // The others are still worth their time.
            Err(failure) => failed.push(format!("{scenario:?} could not be measured: {failure}")),
        }
    }
    println!("{}{disk}\n", machine.description(lab.rounds, lab.window)?);
    print!("{}", group.table().markdown(&chapters));
    if failed.is_empty() { Ok(()) } else { Err(Failure::said(failed.join("\n"))) }
}
