//! The files in `deploy/` name flags, variables, ports and paths as the program has them.

use std::fs;

use serde_json::Value;

use super::place::{Place, answer};
use crate::serve::client;

fn file(name: &str) -> String {
    fs::read_to_string(format!("deploy/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A default, as the reference has it, in its unit.
fn default_of(key: &str, unit: &str) -> u64 {
    let reference = fs::read_to_string("docs/configuration.md").expect("the reference");
    let row = reference.lines().find_map(|line| line.strip_prefix(&format!("| `{key}` | `\""))).expect("a row");
    let value = row.split('"').next().and_then(|value| value.strip_suffix(unit)).expect("the unit");
    value.parse().expect("a number")
}

/// The values of a key in a file of lines, whatever stands between key and value.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let of_line = |line: &'t str| line.trim_start().strip_prefix(key).map(|rest| rest.trim_matches([' ', '=', ';']));
    text.lines().filter_map(of_line).collect()
}

/// Expects a configuration to be accepted, and gives the summary.
fn accepted(arguments: &[&str], variables: &[(String, String)]) -> String {
    let place = Place::new();
    let mut check = place.command(&[&["check"], arguments].concat());
    let output = check.envs(variables.iter().cloned()).output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} {variables:?}\n{said}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn proxies_lead_to_the_address_their_command_listens_at() {
    for (name, upstream) in [("nginx.conf", "server 127.0.0.1:4000"), ("Caddyfile", "reverse_proxy 127.0.0.1:4000")] {
        let text = file(name);
        let command = text.split("copilotkit-runtime ").nth(1).and_then(|rest| rest.lines().next());
        let arguments: Vec<&str> = command.expect("a command").split_whitespace().collect();
        let summary = accepted(&arguments, &[]);
        assert!(summary.contains("127.0.0.1:4000"), "{name}: {summary}");
        assert!(text.contains(upstream), "{name}");
    }
    let nginx = file("nginx.conf");
    assert_eq!(values(&nginx, "client_max_body_size"), [format!("{}m", default_of("body_limit", "MiB"))]);
    assert_eq!(values(&nginx, "proxy_buffering"), ["off"]);
}

#[test]
fn the_unit_starts_the_program_and_lets_it_end() {
    let unit = file("copilotkit-runtime.service");
    let place = Place::new();
    place.write("copilotkit.toml", "");
    let start = values(&unit, "ExecStart=").concat();
    let arguments = start.strip_prefix("/usr/local/bin/copilotkit-runtime ").expect("the program");
    let config = place.path("copilotkit.toml").display().to_string();
    let arguments: Vec<&str> = arguments
        .split_whitespace()
        .map(|word| if word == "/etc/copilotkit/copilotkit.toml" { config.as_str() } else { word })
        .collect();
    let variables = values(&unit, "Environment=").into_iter().filter_map(|pair| pair.split_once('='));
    let variables: Vec<_> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert!(variables.iter().any(|(name, _)| name == "COPILOTKIT_DATABASE"), "{variables:?}");
    accepted(&arguments, &variables);
    let patience: u64 = values(&unit, "TimeoutStopSec=").concat().parse().expect("seconds");
    assert!(patience > default_of("shutdown_deadline", "s"));
}

#[test]
fn the_image_listens_where_it_says() {
    let text = file("Dockerfile").replace("\\\n", " ");
    let set = values(&text, "ENV ").concat();
    let mut variables: Vec<_> = set
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    // As the command at its top has it.
    assert!(text.contains("-e COPILOTKIT_ALLOW_ANONYMOUS=true"));
    variables.push(("COPILOTKIT_ALLOW_ANONYMOUS".to_owned(), "true".to_owned()));
    let summary = accepted(&[], &variables);
    let port = values(&text, "EXPOSE").concat();
    assert!(summary.contains(&format!("0.0.0.0:{port}")), "{summary}");
    assert!(text.contains(&format!("127.0.0.1:{port}:{port}")));
    let volume = values(&text, "VOLUME").concat();
    assert!(variables.iter().any(|(name, value)| name == "COPILOTKIT_DATABASE" && value.starts_with(&volume)));
}

#[tokio::test]
async fn the_pod_is_asked_where_the_program_answers() {
    let text = file("kubernetes.yaml");
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("kubernetes.yaml is YAML");
    let set = documents.iter().find(|document| document["kind"] == "StatefulSet").expect("a stateful set");
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];

    let image = file("Dockerfile").replace("\\\n", " ");
    let of_image = values(&image, "ENV ").concat();
    let of_image = of_image.split_whitespace().filter_map(|pair| pair.split_once('='));
    let mut variables: Vec<_> = of_image.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let texts = |list: &Value, key: &str| -> Vec<String> {
        let entries = list.as_array().expect("a list");
        entries.iter().map(|entry| entry[key].as_str().map_or_else(|| entry[key].to_string(), str::to_owned)).collect()
    };
    variables.extend(texts(&container["env"], "name").into_iter().zip(texts(&container["env"], "value")));
    let summary = accepted(&[], &variables);
    for port in texts(&container["ports"], "containerPort") {
        assert!(summary.contains(&format!("0.0.0.0:{port}")), "{port}: {summary}");
    }
    let volume = &container["volumeMounts"][0]["mountPath"];
    assert!(
        variables.iter().any(|(name, value)| {
            name == "COPILOTKIT_DATABASE" && value.starts_with(volume.as_str().expect("a path"))
        })
    );
    let patience = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
    assert!(patience > default_of("shutdown_deadline", "s"));

    let served = Place::new().serve(&["--database", "memory"]);
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(asked["port"], "http", "{probe}");
        let path = asked["path"].as_str().expect("a path");
        let (status, _) = answer(client().get(format!("http://{}{path}", served.address))).await;
        assert_eq!(status, 200, "{probe}: {path}");
    }
    let service = documents.iter().find(|document| document["kind"] == "Service").expect("a service");
    assert_eq!(service["spec"]["selector"], set["spec"]["selector"]["matchLabels"]);
    assert_eq!(set["spec"]["serviceName"], service["metadata"]["name"]);
}
