//! The program in a directory of its own, without anything from the environment of whoever runs the tests.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::serve::client;

/// How long anything may take that is going to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// The directory the program works in; it goes with the test.
pub(super) struct Place(PathBuf);

/// A program that serves; killed when the test ends early.
pub(super) struct Served {
    child: Child,
    /// What it printed before it was ready.
    pub(super) banner: String,
    pub(super) address: String,
}

impl Place {
    pub(super) fn new() -> Place {
        let directory = std::env::temp_dir().join(format!("copilotkit-program-{}", Uuid::new_v4()));
        fs::create_dir_all(&directory).expect("a directory");
        Place(directory)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_copilotkit-runtime"));
        command.env_clear().current_dir(&self.0).args(args).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(super) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program runs")
    }

    /// What a command that succeeds prints. It has nothing to say beside that.
    pub(super) fn said(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{args:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The exit code of a command that fails, and why it says it does.
    pub(super) fn refused(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.run(args);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Serves on a free port.
    pub(super) fn serve(&self, args: &[&str]) -> Served {
        self.serve_with(args, &[])
    }

    /// The same, with variables in its environment.
    pub(super) fn serve_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Served {
        self.serve_at("127.0.0.1:0", args, variables)
    }

    /// The same, at an address.
    pub(super) fn serve_at(&self, bind: &str, args: &[&str], variables: &[(&str, &str)]) -> Served {
        self.start(&["--bind", bind], args, variables, Stdio::null())
    }

    /// As [`Place::serve_with`], and everything there is to log is in a file.
    pub(super) fn serve_telling(&self, log: &str, args: &[&str], variables: &[(&str, &str)]) -> Served {
        let all = ["--bind", "127.0.0.1:0", "--log", "trace", "--log-format", "json"];
        let log = fs::File::create(self.path(log)).expect("a file");
        self.start(&all, args, variables, log.into())
    }

    fn start(&self, more: &[&str], args: &[&str], variables: &[(&str, &str)], stderr: Stdio) -> Served {
        let mut child = self
            .command(args)
            .envs(variables.iter().copied())
            .args(more)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the program starts");
        let mut banner = String::new();
        let mut stdout = BufReader::new(child.stdout.as_mut().expect("a pipe"));
        while !banner.contains("agentId") && !banner.contains("For an agent of your own") {
            let read = stdout.read_line(&mut banner).expect("a line");
            assert_ne!(read, 0, "the program ended: {banner}");
        }
        let address = banner.lines().next().and_then(|line| line.rsplit("http://").next()).unwrap_or_default();
        Served { child, address: address.to_owned(), banner }
    }

    /// Every byte of every file here.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let files = fs::read_dir(&self.0).expect("a directory").filter_map(|entry| Some(entry.ok()?.path()));
        files.flat_map(|file| fs::read(file).unwrap_or_default()).collect()
    }

    /// The names of the files here, sorted.
    pub(super) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a directory").filter_map(Result::ok);
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Served {
    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// The address of something operators ask for.
    pub(super) fn operators(&self, path: &str) -> String {
        let line = self.banner.lines().find_map(|line| line.trim().strip_prefix("metrics"));
        let url = line.unwrap_or_else(|| panic!("no address for operators: {}", self.banner)).trim();
        format!("{}{path}", url.trim_end_matches("/metrics"))
    }

    /// The address of a route.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}/api/copilotkit{path}", self.address)
    }

    pub(super) fn tell(&self, signal: &str) {
        let told = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()));
    }

    /// As power that goes out.
    pub(super) fn kill(mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("it can be killed");
    }

    pub(super) fn ended(&mut self) -> Option<i32> {
        let patience = Instant::now() + PATIENCE;
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

/// All of an answer that ends with its connection.
pub(super) fn rest_of(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("the stream ends in order");
    text
}

/// A demo agent that does not take its time.
pub(super) const FAST: &str = "[agents.default]\nkind = \"demo\"\npace = 0\n";

/// What a user says on a thread, as a client posts it. Run ids are those of their words.
pub(super) fn message(thread: &str, words: &str) -> String {
    serde_json::json!({
        "threadId": thread,
        "runId": words,
        "messages": [{ "id": format!("{words}-message"), "role": "user", "content": words }],
    })
    .to_string()
}

impl Served {
    /// Posts as a user, if one is named, and reads the answer to its end.
    pub(super) async fn post(&self, user: &str, path: &str, body: String) -> (u16, String) {
        let request = client().post(self.url(path)).header("content-type", "application/json").body(body);
        answer(if user.is_empty() { request } else { request.header("x-user", user) }).await
    }

    pub(super) async fn get(&self, user: &str, path: &str) -> (u16, String) {
        let request = client().get(self.url(path));
        answer(if user.is_empty() { request } else { request.header("x-user", user) }).await
    }

    /// A run, from beginning to end.
    pub(super) async fn says(&self, user: &str, thread: &str, words: &str) {
        let (status, body) = self.post(user, "/agent/default/run", message(thread, words)).await;
        assert!(status == 200 && body.contains("RUN_FINISHED"), "{status} {body}");
    }

    /// What connect tells a client that comes anew.
    pub(super) async fn replayed(&self, user: &str, thread: &str) -> String {
        let body = serde_json::json!({ "threadId": thread, "runId": "connect", "messages": [] });
        self.post(user, "/agent/default/connect", body.to_string()).await.1
    }
}

pub(super) async fn answer(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.timeout(PATIENCE).send().await.expect("a response");
    (response.status().as_u16(), response.text().await.expect("a body"))
}
