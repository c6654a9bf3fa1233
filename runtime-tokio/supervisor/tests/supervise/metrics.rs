//! What the supervisor shows of itself: its numbers for Prometheus, and the span of a handoff in its log.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::fleet::Fleet;
use super::talk::assert_set;
use super::world::{Supervised, wait_for};

fn fleet(more: &str) -> Fleet {
    let fleet = Fleet::new("", "");
    let file = fleet.world.path("handoff.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replacen("socket = \"s\"\n", &format!("socket = \"s\"\n{more}"), 1);
    fs::write(file, text).unwrap();
    fleet
}

/// Where the log says that the metrics are.
fn address(supervisor: &Supervised) -> String {
    let log = supervisor.wait_log("metrics on http://");
    let at = log.split("metrics on http://").nth(1).unwrap();
    let end = at.find("/metrics").unwrap();
    at[..end].into()
}

/// The whole answer to this request.
fn ask(address: &str, request: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    write!(client, "{request} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn handoffs_are_counted_by_their_outcome_and_shown_to_whoever_asks() {
    let fleet = fleet("metrics = \"127.0.0.1:0\"\n");
    let supervisor = fleet.start(&[]);
    let at = address(&supervisor);
    assert_set(fleet.port("a"), "k");
    fleet.port("b");
    // A client that says nothing holds up nobody.
    let _silent: Vec<_> = (0..4).map(|_| TcpStream::connect(&at).unwrap()).collect();

    let (code, ended) = fleet.answer(&["upgrade", "a", "--binary", &fleet.binary("a2")]);
    assert_eq!(code, 0, "{ended}");
    let dead = fleet.binary("dead");
    let (code, ended) = fleet.answer(&["upgrade", "a", "--binary", &dead]);
    assert_eq!(code, 4, "{ended}");

    // The events are on their way while the command has its answer.
    let text = wait_for("the numbers of two handoffs", || {
        let text = ask(&at, "GET /metrics");
        text.contains("handoff_handoffs_total{service=\"a\"} 2")
            .then_some(text)
    });
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    assert!(
        text.contains("content-type: text/plain; version=0.0.4"),
        "{text}"
    );
    for line in [
        "handoff_failures_total{service=\"a\"} 1",
        "handoff_rolled_back_total{service=\"a\"} 1",
        "handoff_seal_failures_total{service=\"a\"} 0",
        "handoff_duration_seconds_count{service=\"a\"} 2",
        "handoff_drain_seconds_count{service=\"a\"} 1",
        "handoff_seal_seconds_count{service=\"a\"} 1",
        "handoff_begin_to_ready_seconds_count{service=\"a\"} 1",
        "handoff_pause_seconds_count{service=\"a\"} 1",
        "handoff_daemon_up{service=\"a\"} 1",
        "handoff_daemon_starts_total{service=\"a\"} 1",
        "handoff_handoffs_total{service=\"b\"} 0",
        "handoff_daemon_up{service=\"b\"} 1",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
    }
    assert!(ask(&at, "GET /").starts_with("HTTP/1.1 404 "));
    assert!(ask(&at, "POST /metrics").starts_with("HTTP/1.1 405 "));
}

#[test]
fn an_address_that_is_taken_keeps_the_supervisor_from_starting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let fleet = fleet(&format!("metrics = \"{at}\"\n"));
    let mut supervisor = fleet.start(&[]);
    assert_eq!(supervisor.wait().code(), Some(1));
    let log = supervisor.log();
    assert!(log.contains(&format!("metrics on {at}")), "{log}");
    assert_eq!(fleet.world.processes(), []);
}

#[test]
fn what_is_logged_in_a_handoff_says_which_service_and_which_handoff() {
    let fleet = fleet("log_format = \"json\"\n");
    let supervisor = fleet.start(&[]);
    fleet.port("a");
    let (code, ended) = fleet.answer(&["restart", "a"]);
    assert_eq!(code, 0, "{ended}");
    let log = supervisor.wait_log("committed");
    let spans: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["target"] == "handoff.outcome")
        .map(|line| line["spans"].clone())
        .collect();
    let of_the_handoff = spans.iter().any(|spans| {
        let has = |key: &str, value: &Value| {
            let mut spans = spans.as_array().into_iter().flatten();
            spans.any(|span| span[key] == *value)
        };
        has("service", &"a".into()) && has("id", &ended["handoff_id"])
    });
    assert!(of_the_handoff, "{spans:?} and {ended}");
}

#[test]
fn the_numbers_follow_the_services_of_the_file() {
    let fleet = fleet("metrics = \"127.0.0.1:0\"\n");
    let supervisor = fleet.start(&[]);
    let at = address(&supervisor);
    fleet.port("b");
    fleet.reload(&supervisor, |text| {
        text.replace("[service.b]", "[service.c]")
            .replace("service.b.", "service.c.")
    });
    fleet.port("c");
    let text = wait_for("the numbers of the service that is new", || {
        let text = ask(&at, "GET /metrics");
        text.contains("handoff_daemon_up{service=\"c\"} 1")
            .then_some(text)
    });
    for line in [
        "handoff_handoffs_total{service=\"c\"} 0",
        "handoff_handoffs_total{service=\"a\"} 0",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
    }
    assert!(!text.contains("service=\"b\""), "{text}");
}
