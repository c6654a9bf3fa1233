//! A successor that runs out of descriptors while it opens its data still takes over: the incumbent
//! may be gone by the time it is ready, so nothing may fail after Ready.

use std::env;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use handoff_std::core::wire::{HandoffId, Message, encode};
use handoff_std::{Readiness, Role, SpawnSpec, Successor, SuccessorSetup, detect_role};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The test process starts itself as the successor, since the limit is the whole process's.
#[test]
fn a_successor_out_of_descriptors_fails_after_ready() {
    match detect_role().unwrap() {
        Role::Successor(successor) => be_the_successor(successor),
        Role::ColdStart(_) => be_the_supervisor(),
    }
}

fn be_the_successor(successor: Successor) {
    let dir = env::var_os("TEST_DIR").unwrap();
    let dir = Path::new(&dir);
    let setup = SuccessorSetup::new(dir.join("control"), dir);
    let begun = successor
        .handshake(setup)
        .unwrap()
        .stand_by()
        .unwrap()
        .wait_for_begin()
        .unwrap();

    // Lower than every number that is free: even what the handshake gives back cannot be had again,
    // but for the channel's own.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(4);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    let ready = Readiness {
        healthy: true,
        ..Readiness::default()
    };
    let incumbent = begun.announce(ready).unwrap();
    assert_eq!(incumbent.generation(), 1);
}

fn be_the_supervisor() {
    let dir = tempfile::tempdir().unwrap();
    let spec = SpawnSpec {
        binary: env::current_exe().unwrap(),
        args: [
            "--exact",
            "a_successor_out_of_descriptors_fails_after_ready",
        ]
        .map(Into::into)
        .into(),
        env: vec![("TEST_DIR".into(), dir.path().into())],
        ..SpawnSpec::default()
    };
    let (mut spawned, mut channel) = spec.successor(&[]).unwrap();
    channel.set_nonblocking(false).unwrap();
    let id = HandoffId::from_bytes([7; 16]);
    say(&mut channel, &Message::HelloAck { version: 1, id });
    say(&mut channel, &Message::Begin { id });
    // Hello, then Ready; the successor closes its end when it has written that.
    channel.read_to_end(&mut Vec::new()).unwrap();
    assert!(spawned.child.wait().unwrap().success());
    assert!(dir.path().join("control").exists());
}

fn say(channel: &mut UnixStream, message: &Message<'_>) {
    let mut room = [0; 64];
    let len = encode(1, message, &mut room).unwrap();
    channel.write_all(&room[..len]).unwrap();
}
