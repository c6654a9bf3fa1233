//! `handoff check` and the health checks that a configuration makes of `handoff probe`, from outside.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use handoff_supervisor::config::{Config, ConfigError};
use serde_json::Value;

fn handoff(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_handoff"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// A file for a service whose program is there, in a directory of its own.
fn file(dir: &Path, more: &str) -> String {
    let program = dir.join("web");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.join("handoff.toml");
    let config = format!(
        "[supervisor]\nstate_dir = \"state\"\n[service.web]\nbinary = \"web\"\ndata_dir = \"data\"\n\
         control_socket = \"c\"\n{more}"
    );
    fs::write(&path, config).unwrap();
    path.to_str().unwrap().into()
}

#[test]
fn a_file_that_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path(), "");
    let before = fs::read_dir(dir.path()).unwrap().count();
    let output = handoff(&["check", "--config", &file]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stdout).starts_with("ok: 1 service\n"),
        "{output:?}"
    );
    assert!(output.stderr.is_empty(), "{output:?}");

    let output = handoff(&["check", "--config", &file, "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], true);
    assert_eq!(json["services"][0]["name"], "web");
    let binary = dir.path().join("web");
    assert_eq!(json["services"][0]["binary"], binary.to_str().unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before, "touched");

    let note = "allowed_binaries = [\"web\", \"later\"]";
    let file = self::file(dir.path(), note);
    let output = handoff(&["check", "--config", &file]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("handoff.toml:7:28: service.web.allowed_binaries[1]: "));
}

#[test]
fn a_file_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path(), "deadline = 5\ncolour = 1\n");
    let output = handoff(&["check", "--config", &file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let lines: Vec<_> = text(&output.stderr).lines().collect();
    let [deadline, colour] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert!(deadline.starts_with(&format!("{file}:7:12: service.web.deadline: the number 5")));
    assert!(
        colour.starts_with(&format!("{file}:8:1: service.web.colour: ")),
        "{colour}"
    );

    let output = handoff(&["check", "--json", "--config", &file]);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["errors"][0]["line"], 7);
    assert_eq!(json["errors"][0]["found"], "the number 5");
    assert_eq!(json["errors"][1]["key"], "service.web.colour");
}

#[test]
fn binaries_are_looked_at_on_this_machine() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path(), "");
    let program = dir.path().join("web");
    let problem = || {
        let Err(ConfigError::Refused { problems, .. }) = Config::load(file.as_ref()) else {
            panic!("read");
        };
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].to_string()
    };
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(problem().contains("is not executable"));
    fs::remove_file(&program).unwrap();
    assert!(problem().contains("does not exist"));
    fs::create_dir(&program).unwrap();
    assert!(problem().contains("is not a file"));
}

#[test]
fn files_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("binary"), b"\xff\xfe").unwrap();
    fs::write(path("large"), vec![b'\n'; (1 << 20) + 1]).unwrap();
    for name in ["missing", "binary", "large", "."] {
        let output = handoff(&["check", "--config", &path(name)]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(
            text(&output.stderr).contains("cannot be read"),
            "{output:?}"
        );
    }
    assert_eq!(handoff(&["check"]).status.code(), Some(2));
    let output = handoff(&["check", "--json", "--config", &path("missing")]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], false);
}

/// A server that answers one request with each of these.
fn server(answers: &'static [&'static str]) -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = thread::spawn(move || {
        for answer in answers {
            let (mut client, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut bytes = [0; 512];
                let count = client.read(&mut bytes).unwrap();
                assert_ne!(count, 0);
                request.extend_from_slice(&bytes[..count]);
            }
            assert!(request.starts_with(b"GET /health HTTP/1.1\r\n"));
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, serve)
}

#[test]
fn probes_say_whether_a_service_is_well() {
    let (address, serve) = server(&[
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-nothing\r\n\r\n",
    ]);
    let url = format!("http://{address}/health");
    for (status, part) in [
        (0, ""),
        (1, "answers 503"),
        (1, "answers 302"),
        (1, "no answer"),
    ] {
        let output = handoff(&["probe", "http", &url]);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert!(text(&output.stderr).contains(part), "{output:?}");
    }
    serve.join().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_eq!(handoff(&["probe", "tcp", &address]).status.code(), Some(0));
    drop(listener);
    let output = handoff(&["probe", "tcp", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("cannot connect to"),
        "{output:?}"
    );
}
