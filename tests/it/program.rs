//! The program as people run it: its output, its exit codes, its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program without anything from the environment of whoever runs the tests.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_copilotkit-runtime"));
    command.env_clear().current_dir(std::env::temp_dir());
    command
}

fn run(args: &[&str]) -> Output {
    program().args(args).output().expect("the program runs")
}

/// A program that serves; killed when the test ends early.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(args: &[&str]) -> Served {
        let mut child = program()
            .args(args)
            .args(["--bind", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut first = String::new();
        let stdout = child.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut first).expect("a line");
        let address = first.trim().rsplit("http://").next().unwrap_or_default().to_owned();
        Served { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream
    }

    fn tell(&self, signal: &str) {
        let told = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()));
    }

    fn ended(&mut self) -> Option<i32> {
        let patience = Instant::now() + Duration::from_secs(10);
        while Instant::now() < patience {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the program did not end");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn check_prints_a_summary_or_the_problems() {
    let fine = run(&["check"]);
    assert_eq!(fine.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&fine.stdout).contains("default (demo)"));

    let wrong = run(&["check", "--agent", "a=nowhere", "--keep-alive", "soon"]);
    assert_eq!(wrong.status.code(), Some(1));
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(said.contains("2 problems") && said.contains("--agent") && said.contains("--keep-alive"), "{said}");
}

#[test]
fn empty_variables_count_as_unset() {
    let fine = program().arg("check").env("COPILOTKIT_CONFIG", "").env("COPILOTKIT_BIND", "").output();
    assert_eq!(fine.expect("the program runs").status.code(), Some(0));
}

#[test]
fn a_named_file_must_be_there() {
    let wrong = run(&["check", "--config", "no-such-file.toml"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("no-such-file.toml: the file cannot be read"));
}

#[test]
fn a_misspelt_flag_ends_with_code_two() {
    assert_eq!(run(&["--bnid", "x"]).status.code(), Some(2));
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let served = Served::start(&[]);
    let second = run(&["--bind", &served.address]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("the port is in use") && said.trim().lines().count() == 1, "{said}");
}

#[test]
#[cfg(unix)]
fn a_stop_ends_the_run_under_way_and_exits_with_zero() {
    let mut served = Served::start(&[]);
    let mut stream = served.connect();
    let body = r#"{"threadId":"t","runId":"r","messages":[{"id":"u","role":"user","content":"hello"}]}"#;
    let head = format!(
        "POST /api/copilotkit/agent/default/run HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len(),
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("a request");
    let mut answer = [0; 4096];
    let first = stream.read(&mut answer).expect("the run begins");
    served.tell("-TERM");
    let mut rest = String::from_utf8_lossy(&answer[..first]).into_owned();
    stream.read_to_string(&mut rest).expect("the stream ends in order");
    assert!(rest.contains("RUN_STARTED") && rest.contains("RUNTIME_SHUTDOWN"), "{rest}");
    assert_eq!(served.ended(), Some(0));
}

#[test]
#[cfg(unix)]
fn an_idle_connection_does_not_hold_the_program() {
    let mut served = Served::start(&[]);
    let _idle = served.connect();
    let asked = Instant::now();
    served.tell("-INT");
    assert_eq!(served.ended(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}
