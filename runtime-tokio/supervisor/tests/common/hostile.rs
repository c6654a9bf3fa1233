//! Peers that send descriptors where none belong, as many as fit into a message: on the control path,
//! and as a successor, which is one of the programs of [`stand_in`](super::stand_in).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use handoff_std::core::wire::{HandoffId, Hello, Message, Side, VersionRange};
use handoff_std::host::descriptors;
use handoff_std::host::inherit::{Inherited, MAX_LISTENERS};

use super::ms;
use super::wire::Peer;

/// As a successor, instead of Hello.
pub(crate) const GARBAGE: &str = "garbage";
/// With Hello.
pub(crate) const WITH_HELLO: &str = "with-hello";
/// After Hello, with a Standby that is in order but for them.
pub(crate) const WITH_STANDBY: &str = "with-standby";
/// After Standby, with heartbeats.
pub(crate) const WITH_HEARTBEATS: &str = "with-heartbeats";

/// How many messages a flood has.
const MESSAGES: usize = 50;

/// A flood of messages, each with all the descriptors that it can carry. Ends early when the other
/// side has had enough.
fn flood(stream: &UnixStream, bytes: &[u8]) {
    let file = File::open("/dev/null").unwrap();
    let with: [BorrowedFd<'_>; MAX_LISTENERS] = [file.as_fd(); MAX_LISTENERS];
    for _ in 0..MESSAGES {
        match descriptors::send(stream, bytes, &with) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Floods a control path before or after `HelloAck`, with messages or with garbage, and waits until the
/// session is ended. Does nothing when nobody has room for a session.
pub(crate) fn flood_control(control: &Path, acknowledge: bool, garbage: bool) {
    let peer = if acknowledge {
        Peer::try_speaking(2, control, 9)
    } else {
        UnixStream::connect(control)
            .ok()
            .map(|stream| Peer::new(stream, 9))
    };
    let Some(peer) = peer else { return };
    let (version, id) = (2, peer.id);
    let bytes = match (garbage, acknowledge) {
        (true, _) => vec![0xff; 64],
        (false, true) => peer.frame(&Message::StatusRequest),
        (false, false) => peer.frame(&Message::HelloAck { version, id }),
    };
    flood(&peer.stream, &bytes);
    // A reset is an end, too.
    let ended = (&peer.stream).read_to_end(&mut Vec::new());
    let late = |e: &io::Error| e.kind() == io::ErrorKind::WouldBlock;
    assert!(!ended.as_ref().is_err_and(late), "{ended:?}");
}

/// A successor that never serves, and stays until it is killed.
pub(crate) fn successor(how: &str) -> i32 {
    let channel = Inherited::from_env().unwrap().successor_channel;
    let mut peer = Peer::new(channel.unwrap(), 0);
    let hello = Message::Hello(Hello {
        side: Side::Successor,
        pid: std::process::id(),
        build_id: b"",
        versions: VersionRange::SUPPORTED,
        capabilities: 0,
    });
    let bytes = match how {
        GARBAGE => vec![0xff; 64],
        WITH_HELLO => peer.frame(&hello),
        WITH_STANDBY | WITH_HEARTBEATS => {
            peer.send(&hello);
            let id = acknowledgement(&mut peer);
            let standby = Message::Standby { id };
            if how == WITH_STANDBY {
                peer.frame(&standby)
            } else {
                peer.send(&standby);
                peer.frame(&Message::Heartbeat { ts_ms: 0 })
            }
        }
        other => panic!("no such stand-in: {other}"),
    };
    flood(&peer.stream, &bytes);
    loop {
        thread::sleep(ms(1000));
    }
}

/// Waits for `HelloAck`, and speaks its version from then on.
fn acknowledgement(peer: &mut Peer) -> HandoffId {
    let answer = peer.receive().unwrap();
    let Message::HelloAck { version, id } = answer.message() else {
        panic!("{:?}", answer.message());
    };
    peer.version = version;
    id
}
