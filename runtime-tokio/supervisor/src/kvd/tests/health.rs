//! How the daemon says it is, and how it is asked.

use std::io::{Read, Write};
use std::net::TcpListener;

use handoff_std::hooks::Drainable;

use super::{ask, connect, daemon};
use crate::kvd::check::check;

#[test]
fn info_says_how_it_is() {
    let daemon = daemon("--sick-after-ms 0");
    let info = || {
        let mut client = connect(daemon.addr);
        client.write_all(b"INFO\r\nQUIT\r\n").unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    };
    let text = info();
    assert!(text.contains("healthy:no\r\ncommitted:no\r\n"), "{text}");
    // A sick one answers all the same.
    ask(&mut connect(daemon.addr), b"PING\r\n", b"+PONG\r\n");
    daemon.kvd.committed().unwrap();
    assert!(info().contains("committed:yes\r\n"));
}

#[test]
fn a_check_asks_a_daemon_how_it_is() {
    check(daemon("--sick-after-ms 600000").addr).unwrap();
    let error = |line: &str| check(daemon(line).addr).unwrap_err().to_string();
    assert!(error("--sick-after-ms 0").contains("not well"));
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = check(dead).unwrap_err().to_string();
    assert!(error.contains("nobody answers"), "{error}");
}
