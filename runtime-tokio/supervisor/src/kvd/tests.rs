//! The daemon seen from outside: over TCP, and through the hooks.

mod health;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use handoff_std::hooks::{Drainable, HookContext};
use tempfile::TempDir;

use super::Kvd;
use super::args::KvdArgs;
use super::lock;
use super::resp::MAX_ARG;

/// Longer than anything here takes, so that a hang fails instead of hanging.
const LONG: Duration = Duration::from_secs(20);

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: KvdArgs,
}

pub(crate) fn args(line: &str) -> KvdArgs {
    let words = std::iter::once("kvd").chain(line.split_whitespace());
    Cli::try_parse_from(words).unwrap().args
}

pub(crate) fn context() -> HookContext {
    HookContext::new(Some(Instant::now() + LONG))
}

pub(crate) struct Daemon {
    pub(crate) kvd: Kvd,
    addr: SocketAddr,
    _dir: TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kvd.shutdown().unwrap();
    }
}

pub(crate) fn daemon(line: &str) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    let kvd = Kvd::open(&args(line), dir.path()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    kvd.serve_on(listener).unwrap();
    Daemon {
        kvd,
        addr,
        _dir: dir,
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Reads exactly as much as `expected` has, and compares.
#[track_caller]
fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).unwrap();
    let (got, expected) = (
        String::from_utf8_lossy(&got),
        String::from_utf8_lossy(expected),
    );
    assert_eq!(got, expected);
}

#[track_caller]
fn expect_end(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

#[track_caller]
fn ask(stream: &mut TcpStream, request: &[u8], expected: &[u8]) {
    stream.write_all(request).unwrap();
    expect(stream, expected);
}

/// Drains and seals, as for a handoff.
fn seal(kvd: &Kvd) -> u64 {
    kvd.drain(&context()).unwrap();
    kvd.seal(&context()).unwrap().revisions[0]
}

/// The text of a hook's error.
fn why<T: std::fmt::Debug>(result: Result<T, handoff_std::hooks::HookError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn commands_are_answered_as_redis_answers() {
    let daemon = daemon("--tag v7");
    daemon.kvd.set_generation(3);
    let mut client = connect(daemon.addr);
    ask(&mut client, b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n");
    ask(&mut client, b"ping hello\r\n", b"$5\r\nhello\r\n");
    ask(
        &mut client,
        b"*2\r\n$4\r\nEcHo\r\n$2\r\n\r\n\r\n",
        b"$2\r\n\r\n\r\n",
    );
    ask(&mut client, b"GET a\r\n", b"$-1\r\n");
    ask(&mut client, b"SET a 1\r\n", b"+OK\r\n");
    ask(
        &mut client,
        b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$0\r\n\r\n",
        b"+OK\r\n",
    );
    ask(&mut client, b"GET a\r\n", b"$1\r\n1\r\n");
    ask(&mut client, b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", b"$0\r\n\r\n");
    ask(&mut client, b"DBSIZE\r\n", b":2\r\n");
    ask(&mut client, b"DEL a a b\r\n", b":1\r\n");
    ask(&mut client, b"CONFIG GET save\r\n", b"*0\r\n");
    ask(&mut client, b"COMMAND DOCS\r\n", b"*0\r\n");
    ask(
        &mut client,
        b"FLUSHALL\r\n",
        b"-ERR unknown command 'flushall'\r\n",
    );
    let info = format!(
        "version:v7\r\nruntime:std\r\npid:{}\r\ngeneration:3\r\nphase:serving\r\nkeys:1\r\nconnected_clients:1\r\n\
         healthy:yes\r\ncommitted:no\r\n",
        std::process::id()
    );
    let reply = format!("${}\r\n{info}\r\n", info.len());
    ask(&mut client, b"INFO server\r\n", reply.as_bytes());
    ask(&mut client, b"QUIT\r\n", b"+OK\r\n");
    expect_end(&mut client);
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let daemon = daemon("");
    let mut client = connect(daemon.addr);
    let pipeline =
        b"SET k 1\r\nSET k 2\r\nGET k\r\nDEL k x\r\nGET k\r\nnope\r\nSET k 3\r\nPING\r\n";
    let answers =
        b"+OK\r\n+OK\r\n$1\r\n2\r\n:1\r\n$-1\r\n-ERR unknown command 'nope'\r\n+OK\r\n+PONG\r\n";
    ask(&mut client, pipeline, answers);
    // Byte by byte it is the same.
    for byte in pipeline {
        client.write_all(&[*byte]).unwrap();
    }
    expect(&mut client, answers);
}

#[test]
fn a_large_value_comes_back_many_times() {
    let daemon = daemon("");
    let mut client = connect(daemon.addr);
    let value = "v".repeat(MAX_ARG);
    let bulk = format!("${MAX_ARG}\r\n{value}\r\n");
    let request = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n{bulk}");
    ask(&mut client, request.as_bytes(), b"+OK\r\n");
    client.write_all("GET k\r\n".repeat(8).as_bytes()).unwrap();
    expect(&mut client, bulk.repeat(8).as_bytes());
}

#[test]
fn a_protocol_error_is_answered_and_ends_the_connection() {
    let daemon = daemon("");
    let mut client = connect(daemon.addr);
    let junk = "x".repeat(10_000);
    let request = format!("SET k v\r\n*1\r\n!{junk}");
    let expected = b"+OK\r\n-ERR Protocol error: expected '$'\r\n";
    ask(&mut client, request.as_bytes(), expected);
    expect_end(&mut client);
    // The others are not disturbed.
    ask(&mut connect(daemon.addr), b"GET k\r\n", b"$1\r\nv\r\n");
}

#[test]
fn a_drain_answers_what_has_arrived_and_closes() {
    let daemon = daemon("--drain-grace-ms 10000");
    let mut idle = connect(daemon.addr);
    ask(&mut idle, b"SET a 1\r\n", b"+OK\r\n");
    let mut slow = connect(daemon.addr);
    ask(&mut slow, b"PING\r\nSET sl", b"+PONG\r\n");

    let kvd = daemon.kvd.clone();
    let drain = thread::spawn(move || kvd.drain(&context()).unwrap());
    expect_end(&mut idle);
    ask(&mut slow, b"ow 1\r\n", b"+OK\r\n");
    expect_end(&mut slow);
    assert!(drain.join().unwrap().accept_closed);

    // Whoever comes now waits in the backlog.
    let mut early = connect(daemon.addr);
    early.write_all(b"DBSIZE\r\n").unwrap();
    let sealed = daemon.kvd.seal(&context()).unwrap();
    assert_eq!(sealed.revisions, daemon.kvd.snapshot().revisions);
    daemon.kvd.resume().unwrap();
    expect(&mut early, b":2\r\n");
}

#[test]
fn a_request_that_never_ends_does_not_hold_up_a_drain() {
    let daemon = daemon("--drain-grace-ms 1");
    let mut stuck = connect(daemon.addr);
    ask(&mut stuck, b"PING\r\nSET stu", b"+PONG\r\n");
    daemon.kvd.drain(&context()).unwrap();
    expect_end(&mut stuck);
}

#[test]
fn a_connection_without_a_request_does_not_hold_up_a_drain() {
    let daemon = daemon("--drain-grace-ms 600000");
    let mut heard = connect(daemon.addr);
    let mut silent = connect(daemon.addr);
    ask(&mut heard, b"PING\r\n", b"+PONG\r\n");
    // Connections are accepted in order: the silent one is, once a later one is answered.
    ask(&mut connect(daemon.addr), b"PING\r\n", b"+PONG\r\n");
    daemon.kvd.drain(&context()).unwrap();
    expect_end(&mut silent);
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_up_a_drain() {
    let daemon = daemon("--drain-grace-ms 1");
    let mut deaf = connect(daemon.addr);
    let value = "v".repeat(MAX_ARG);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${MAX_ARG}\r\n{value}\r\n");
    ask(&mut deaf, set.as_bytes(), b"+OK\r\n");
    deaf.write_all("GET k\r\n".repeat(100).as_bytes()).unwrap();
    daemon.kvd.drain(&context()).unwrap();
}

#[test]
fn the_hooks_come_in_order_and_resume_any_time() {
    let daemon = daemon("");
    let kvd = &daemon.kvd;
    kvd.resume().unwrap();
    assert_eq!(why(kvd.seal(&context())), "cannot seal while serving");
    let mut client = connect(daemon.addr);
    ask(&mut client, b"SET a 1\r\n", b"+OK\r\n");

    kvd.drain(&context()).unwrap();
    assert_eq!(why(kvd.drain(&context())), "cannot drain while drained");
    kvd.resume().unwrap();
    kvd.resume().unwrap();

    assert_eq!(seal(kvd), 1);
    assert_eq!(why(kvd.seal(&context())), "cannot seal while sealed");
    kvd.resume().unwrap();
    kvd.resume().unwrap();
    let mut client = connect(daemon.addr);
    ask(&mut client, b"SET b 1\r\nDBSIZE\r\n", b"+OK\r\n:2\r\n");

    assert_eq!(seal(kvd), 2);
    kvd.shutdown().unwrap();
    assert_eq!(why(kvd.resume()), "the daemon was shut down");
}

#[test]
fn a_sealed_fingerprint_names_the_state() {
    let daemon = daemon("");
    let prints = [(); 2].map(|()| {
        daemon.kvd.drain(&context()).unwrap();
        let print = daemon.kvd.seal(&context()).unwrap().fingerprint;
        daemon.kvd.resume().unwrap();
        print
    });
    assert_eq!(prints[0], prints[1]);
    ask(&mut connect(daemon.addr), b"SET a 1\r\n", b"+OK\r\n");
    daemon.kvd.drain(&context()).unwrap();
    assert_ne!(daemon.kvd.seal(&context()).unwrap().fingerprint, prints[0]);
}

#[test]
fn a_listener_given_while_sealed_is_served_after_the_resume() {
    let daemon = daemon("");
    seal(&daemon.kvd);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    daemon.kvd.serve_on(listener).unwrap();
    daemon.kvd.resume().unwrap();
    for addr in [addr, daemon.addr] {
        ask(&mut connect(addr), b"PING\r\n", b"+PONG\r\n");
    }
}

#[test]
fn a_listener_made_blocking_is_made_non_blocking_by_a_resume() {
    let daemon = daemon("");
    let listener = lock(&daemon.kvd.inner.life).listeners[0]
        .try_clone()
        .unwrap();
    let is_nonblocking = || {
        let flags = rustix::fs::fcntl_getfl(&listener).unwrap();
        flags.contains(rustix::fs::OFlags::NONBLOCK)
    };
    assert!(is_nonblocking());
    listener.set_nonblocking(false).unwrap();
    daemon.kvd.resume().unwrap();
    assert!(is_nonblocking());
    daemon.kvd.drain(&context()).unwrap();
    listener.set_nonblocking(false).unwrap();
    daemon.kvd.resume().unwrap();
    assert!(is_nonblocking());
}

#[test]
fn a_cancelled_drain_ends_early() {
    let daemon = daemon("--drain-delay-ms 60000");
    let cx = context();
    let (kvd, for_drain) = (daemon.kvd.clone(), cx.clone());
    let drain = thread::spawn(move || kvd.drain(&for_drain));
    cx.cancel();
    assert_eq!(why(drain.join().unwrap()), "the drain was asked to stop");
    daemon.kvd.resume().unwrap();
    ask(&mut connect(daemon.addr), b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn a_drain_that_hangs_is_overtaken() {
    let daemon = daemon("--ignore-drain-deadline");
    let cx = context();
    let (kvd, for_drain) = (daemon.kvd.clone(), cx.clone());
    let mut client = connect(daemon.addr);
    // Answered, so accepted: a connection still in the backlog would outlive the drain.
    ask(&mut client, b"PING\r\n", b"+PONG\r\n");
    let drain = thread::spawn(move || kvd.drain(&for_drain));
    expect_end(&mut client);
    cx.cancel();
    daemon.kvd.resume().unwrap();
    ask(&mut connect(daemon.addr), b"SET a 1\r\n", b"+OK\r\n");
    assert!(!drain.is_finished());
}

#[test]
fn a_drain_that_comes_back_late_stops_nothing() {
    let daemon = daemon("--drain-grace-ms 10000");
    let mut idle = connect(daemon.addr);
    ask(&mut idle, b"PING\r\n", b"+PONG\r\n");
    let mut slow = connect(daemon.addr);
    ask(&mut slow, b"PING\r\nSET sl", b"+PONG\r\n");
    let kvd = daemon.kvd.clone();
    let drain = thread::spawn(move || kvd.drain(&context()));
    expect_end(&mut idle);
    daemon.kvd.resume().unwrap();
    ask(&mut slow, b"ow 1\r\n", b"+OK\r\n");
    assert!(why(drain.join().unwrap()).contains("overtaken"));
    ask(&mut connect(daemon.addr), b"SET a 1\r\n", b"+OK\r\n");
}

#[test]
fn hooks_fail_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let open = Kvd::open(&args("--fail open"), dir.path());
    assert!(open.err().unwrap().to_string().contains("--fail"));

    let failing = daemon("--fail drain");
    let mut client = connect(failing.addr);
    ask(&mut client, b"PING\r\n", b"+PONG\r\n");
    assert!(why(failing.kvd.drain(&context())).contains("--fail"));
    expect_end(&mut client);
    failing.kvd.resume().unwrap();
    ask(&mut connect(failing.addr), b"SET a 1\r\n", b"+OK\r\n");

    let failing = daemon("--fail seal --fail resume");
    failing.kvd.drain(&context()).unwrap();
    assert!(why(failing.kvd.seal(&context())).contains("--fail"));
    assert!(why(failing.kvd.resume()).contains("--fail"));

    let failing = daemon("--fail seal");
    ask(&mut connect(failing.addr), b"SET a 1\r\n", b"+OK\r\n");
    failing.kvd.drain(&context()).unwrap();
    assert!(why(failing.kvd.seal(&context())).contains("--fail"));
    failing.kvd.resume().unwrap();
    ask(&mut connect(failing.addr), b"GET a\r\n", b"$1\r\n1\r\n");
}

#[test]
fn hooks_panic_as_asked() {
    let panicking = daemon("--panic drain --panic seal");
    let kvd = AssertUnwindSafe(&panicking.kvd);
    let mut client = connect(panicking.addr);
    assert!(catch_unwind(|| kvd.drain(&context())).is_err());
    ask(&mut client, b"SET a 1\r\n", b"+OK\r\n");
    assert!(catch_unwind(|| kvd.seal(&context())).is_err());
    kvd.resume().unwrap();
    ask(&mut client, b"GET a\r\n", b"$1\r\n1\r\n");
}

#[test]
fn nobody_reads_from_a_drained_daemon() {
    let daemon = daemon("");
    let mut reader = connect(daemon.addr);
    ask(&mut reader, b"SET k old\r\n", b"+OK\r\n");
    seal(&daemon.kvd);
    // What a successor may have overwritten is not answered: the connection is at its end.
    let _ = reader.write_all(b"GET k\r\n");
    let mut answer = Vec::new();
    // That, or a reset.
    let _ = reader.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
    let mut early = connect(daemon.addr);
    early.write_all(b"GET k\r\n").unwrap();
    early
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    assert!(early.read(&mut [0; 1]).is_err());
}
