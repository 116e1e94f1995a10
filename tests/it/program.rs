//! The program as people run it: its output, its exit codes, its end.

mod access;
mod deploy;
mod documents;
mod keeping;
mod limits;
mod logs;
mod named;
mod operators;
#[cfg(feature = "otlp")]
mod otlp;
mod place;
mod platform;
#[cfg(target_os = "linux")]
mod rolling;
mod users;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use place::{Place, rest_of};

#[test]
fn check_prints_a_summary_or_the_problems() {
    let place = Place::new();
    let fine = place.run(&["check"]);
    assert_eq!(fine.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&fine.stdout).contains("default (demo)"));

    let wrong = place.run(&["check", "--agent", "a=nowhere", "--keep-alive", "soon"]);
    assert_eq!(wrong.status.code(), Some(1));
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(said.contains("2 problems") && said.contains("--agent") && said.contains("--keep-alive"), "{said}");
}

#[test]
fn empty_variables_count_as_unset() {
    let place = Place::new();
    let fine = place.command(&["check"]).env("COPILOTKIT_CONFIG", "").env("COPILOTKIT_BIND", "").output();
    assert_eq!(fine.expect("the program runs").status.code(), Some(0));
}

#[test]
fn a_named_file_must_be_there() {
    let wrong = Place::new().run(&["check", "--config", "no-such-file.toml"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("no-such-file.toml: the file cannot be read"));
}

#[test]
fn a_misspelt_flag_ends_with_code_two() {
    assert_eq!(Place::new().run(&["--bnid", "x"]).status.code(), Some(2));
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let place = Place::new();
    let served = place.serve(&["--database", "memory"]);
    let second = place.run(&["--bind", &served.address]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("the port is in use") && said.trim().lines().count() == 1, "{said}");
    assert_eq!(place.files(), [""; 0], "a server that cannot serve makes no database");
}

#[test]
#[cfg(unix)]
fn a_stop_ends_a_run_that_does_not_fit_the_deadline_and_exits_with_zero() {
    let place = Place::new();
    place.write(
        "copilotkit.toml",
        "[server]\nshutdown_deadline = \"1s\"\n[agents.default]\nkind = \"demo\"\npace = \"10s\"\n",
    );
    let mut served = place.serve(&[]);
    let mut stream = served.connect();
    let body = r#"{"threadId":"t","runId":"r","messages":[{"id":"u","role":"user","content":"hello"}]}"#;
    let head = format!(
        "POST /api/copilotkit/agent/default/run HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len(),
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("a request");
    let mut shown = String::new();
    while !shown.contains("RUN_STARTED") {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).expect("the run begins");
        assert_ne!(count, 0, "{shown}");
        shown += &String::from_utf8_lossy(&some[..count]);
    }
    served.tell("-TERM");
    let rest = rest_of(&mut stream);
    assert!(rest.contains("RUNTIME_SHUTDOWN"), "{rest}");
    assert_eq!(served.ended(), Some(0));
}

#[test]
#[cfg(unix)]
fn an_idle_connection_does_not_hold_the_program() {
    let place = Place::new();
    let mut served = place.serve(&[]);
    let _idle = served.connect();
    let asked = Instant::now();
    served.tell("-INT");
    assert_eq!(served.ended(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}
