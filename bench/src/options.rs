//! The command line, and the servers it stands for.

use clap::{Parser, ValueEnum};
use copilotkit_bench::cargo;
use copilotkit_bench::failure::{Failure, Result};
use copilotkit_bench::scenario::{Lab, Scenario};
use copilotkit_bench::server::{Kind, Program};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Measures the CopilotKit runtimes side by side on this machine.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// `all`, `check` (do the servers send the same bytes?) or one scenario
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
    Only(Scenario),
}

fn measure(name: &str) -> std::result::Result<Measure, String> {
    match name {
        "all" => Ok(Measure::All),
        "check" => Ok(Measure::Check),
        _ => Scenario::from_str(name, false).map(Measure::Only).map_err(|_| {
            let names = Scenario::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            let help =
                names.map(|name| format!("\n  {:12}{}", name.get_name(), name.get_help().cloned().unwrap_or_default()));
            format!("one of\n  all\n  check{}", help.collect::<String>())
        }),
    }
}

impl Options {
    /// The servers, those of Rust built.
    pub(crate) fn lab(&self) -> Result<Lab> {
        let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("bench"), PathBuf::from);
        let bare = cargo::build(&here, "--bin", "bare")?;
        let mut programs = Vec::new();
        if !self.skip_ours {
            programs.push(Program { args: self.ours_arg.clone(), ..self.program(Kind::Ours, self.our_server(&here)?) });
        }
        if !self.skip_node {
            let script = node_server(&self.node.clone().unwrap_or_else(|| here.join("node")))?;
            programs.push(Program { args: vec![script.into()], ..self.program(Kind::Node, "node".into()) });
        }
        programs.push(self.program(Kind::Bare, bare.clone()));
        programs.push(self.program(Kind::BareWhole, bare.clone()).with_env("BARE_WRITE", "whole"));
        Ok(Lab {
            programs,
            upstream: Program { core: self.generator_core, ..self.program(Kind::Bare, bare) },
            rounds: self.rounds.into(),
            window: Duration::from_secs(self.seconds),
            warm_up: Duration::from_secs(self.warm_up),
        })
    }

    fn program(&self, kind: Kind, path: PathBuf) -> Program {
        Program { kind, path, args: Vec::new(), env: Vec::new(), core: self.server_core, verbose: self.verbose }
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
        "the packages of the Node server are missing: run `npm ci --legacy-peer-deps --ignore-scripts` in {}, \
         or leave it out with --skip-node",
        folder.display()
    )))
}
