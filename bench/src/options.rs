//! The command line, and the servers it stands for.

use clap::builder::PossibleValue;
use clap::{Parser, ValueEnum};
use copilotkit_bench::cargo;
use copilotkit_bench::failure::{Failure, Result};
use copilotkit_bench::scenario::{Group, Lab, Scenario};
use copilotkit_bench::server::{Kind, Program};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Measures the CopilotKit runtimes side by side on this machine.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// `all`, a group, one scenario, or `check` (do the servers send the same bytes?)
    #[arg(value_parser = measure)]
    pub(crate) measure: Measure,

    /// Our server, built already (default: built from ../examples/bench_server.rs)
    #[arg(long, value_name = "BIN")]
    ours: Option<PathBuf>,

    /// An argument for our server, may be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    ours_arg: Vec<OsString>,

    /// Leave our server out
    #[arg(long)]
    skip_ours: bool,

    /// The Node server's folder (default: node, beside the manifest)
    #[arg(long, value_name = "DIR")]
    node: Option<PathBuf>,

    /// Leave the Node server out
    #[arg(long)]
    skip_node: bool,

    /// Where servers keep their database files: a folder on the disk to be measured (default: target/databases,
    /// beside the manifest)
    #[arg(long, value_name = "DIR")]
    databases: Option<PathBuf>,

    /// How often each server has its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=50))]
    rounds: u16,

    /// Length of a turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,

    /// Load before the first turn, seconds
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    warm_up: u64,

    /// Core of the servers
    #[arg(long, default_value_t = 0)]
    server_core: usize,

    /// Core of the load generator and of the server behind the proxied agent
    #[arg(long, default_value_t = 1)]
    pub(crate) generator_core: usize,

    /// Show what the servers print
    #[arg(long)]
    verbose: bool,
}

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Measure {
    All,
    Check,
    Group(Group),
    Only(Scenario),
}

fn measure(name: &str) -> std::result::Result<Measure, String> {
    match name {
        "all" => Ok(Measure::All),
        "check" => Ok(Measure::Check),
        _ => Group::from_str(name, false)
            .map(Measure::Group)
            .or_else(|_| Scenario::from_str(name, false).map(Measure::Only))
            .map_err(|_| format!("one of\n  all\n  check{}{}", names::<Group>(), names::<Scenario>())),
    }
}

/// A line each.
fn names<T: ValueEnum>() -> String {
    let names = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let line =
        |name: PossibleValue| format!("\n  {:20}{}", name.get_name(), name.get_help().cloned().unwrap_or_default());
    names.map(line).collect()
}

impl Options {
    /// The servers, those of Rust built.
    pub(crate) fn lab(&self) -> Result<Lab> {
        let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("bench"), PathBuf::from);
        let bare = cargo::build(&here, "--bin", "bare")?;
        let databases = self.databases.clone().unwrap_or_else(|| here.join("target/databases"));
        let mut programs = Vec::new();
        let mut both = |in_memory: Program, durable: Kind| {
            programs.push(Program { kind: durable, databases: Some(databases.clone()), ..in_memory.clone() });
            programs.push(in_memory);
        };
        if !self.skip_ours {
            let ours = self.program(Kind::Ours, self.our_server(&here)?);
            both(Program { args: self.ours_arg.clone(), ..ours }, Kind::OursDurable);
        }
        if !self.skip_node {
            let script = node_server(&self.node.clone().unwrap_or_else(|| here.join("node")))?;
            let node = self.program(Kind::Node, "node".into());
            both(Program { args: vec![script.into()], ..node }, Kind::NodeDurable);
        }
        programs.push(self.program(Kind::Bare, bare.clone()));
        programs.push(self.program(Kind::BareWhole, bare.clone()).with_env("BARE_WRITE", "whole"));
        Ok(Lab {
            programs,
            databases: databases.clone(),
            upstream: Program { core: self.generator_core, ..self.program(Kind::Bare, bare) },
            rounds: self.rounds.into(),
            window: Duration::from_secs(self.seconds),
            warm_up: Duration::from_secs(self.warm_up),
        })
    }

    fn program(&self, kind: Kind, path: PathBuf) -> Program {
        Program {
            kind,
            path,
            args: Vec::new(),
            databases: None,
            env: Vec::new(),
            core: self.server_core,
            verbose: self.verbose,
        }
    }

    fn our_server(&self, here: &Path) -> Result<PathBuf> {
        match &self.ours {
            Some(built) => Ok(built.clone()),
            None => cargo::build(&here.join(".."), "--example", "bench_server"),
        }
    }
}

fn node_server(folder: &Path) -> Result<PathBuf> {
    if folder.join("node_modules").is_dir() {
        return Ok(folder.join("server.mjs"));
    }
    Err(Failure::said(format!(
        "the packages of the Node server are missing: run `npm ci --legacy-peer-deps --ignore-scripts && npm rebuild better-sqlite3` in {}, \
         or leave it out with --skip-node",
        folder.display()
    )))
}
