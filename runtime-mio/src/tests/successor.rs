//! A successor whose supervisor does not wait for it, or leaves.

use std::os::unix::net::UnixStream;

use handoff_core::wire::{Message, MessageKind};
use handoff_std::host::InheritedListeners;
use handoff_std::{DataDirLock, Readiness, SuccessorSetup};
use mio::{Events, Interest, Poll, Token};
use tempfile::TempDir;

use super::{ID, LOOK, Peer};
use crate::{Begun, Step, Succession, Successor, SuccessorError, Warming};

/// A successor on a loop.
struct House {
    poll: Poll,
    succession: Succession,
    dir: TempDir,
}

/// A supervisor that speaks version 1, and its successor.
fn house() -> (House, Peer) {
    let (dir, (ours, theirs)) = (tempfile::tempdir().unwrap(), UnixStream::pair().unwrap());
    ours.set_nonblocking(true).unwrap();
    let successor = Successor::new(theirs, InheritedListeners::default());
    let setup = SuccessorSetup::new(dir.path().join("control"), dir.path());
    let mut house = House {
        poll: Poll::new().unwrap(),
        succession: successor.handshake(setup).unwrap(),
        dir,
    };
    let registry = house.poll.registry();
    registry
        .register(&mut house.succession, Token(1), Interest::READABLE)
        .unwrap();
    let peer = Peer {
        stream: ours,
        version: 1,
        heard: Vec::new(),
    };
    (house, peer)
}

impl House {
    fn turn(&mut self) -> Result<Option<Step>, SuccessorError> {
        let mut events = Events::with_capacity(4);
        let timeout = self.succession.timeout().unwrap_or(LOOK).min(LOOK);
        self.poll.poll(&mut events, Some(timeout)).unwrap();
        for event in &events {
            assert!(self.succession.ready(event));
        }
        self.succession.turn()
    }

    fn hear(&mut self, peer: &mut Peer, wanted: MessageKind) {
        while peer.next() != Some(wanted) {
            assert!(self.turn().unwrap().is_none());
        }
    }

    fn step(&mut self) -> Step {
        loop {
            if let Some(step) = self.turn().unwrap() {
                return step;
            }
        }
    }

    fn until_warming(&mut self) -> Warming {
        match self.step() {
            Step::WarmUp(warming) => warming,
            other => panic!("{other:?}"),
        }
    }

    fn until_begun(&mut self) -> Begun {
        match self.step() {
            Step::Open(begun) => begun,
            other => panic!("{other:?}"),
        }
    }

    fn until_it_has_the_lock(&mut self) {
        while DataDirLock::acquire(self.dir.path()).is_ok() {
            assert!(self.turn().unwrap().is_none());
        }
        // It is only waited for.
        for _ in 0..3 {
            assert!(self.turn().unwrap().is_none());
        }
    }

    fn until_it_has_failed(&mut self) -> SuccessorError {
        loop {
            match self.turn() {
                Ok(step) => assert!(step.is_none(), "{step:?}"),
                Err(error) => return error,
            }
        }
    }
}

/// It has begun, and the daemon is still warming up.
fn begun_too_early() -> (House, Peer, Warming) {
    let (mut house, mut peer) = house();
    house.hear(&mut peer, MessageKind::Hello);
    peer.say(&Message::HelloAck { version: 1, id: ID });
    let warming = house.until_warming();
    peer.say(&Message::Begin { id: ID });
    house.until_it_has_the_lock();
    (house, peer, warming)
}

#[test]
fn data_is_not_opened_before_the_daemon_is_warm() {
    let (mut house, mut peer, warming) = begun_too_early();
    std::thread::spawn(|| warming.stand_by());
    house.until_begun().announce(Readiness::healthy());
    assert!(matches!(house.step(), Step::Serve(_)));
    house.hear(&mut peer, MessageKind::Ready);
}

#[test]
fn a_daemon_that_does_not_get_warm_does_not_open_its_data() {
    let (mut house, mut peer, warming) = begun_too_early();
    warming.give_up("as the test wants it");
    let error = house.until_it_has_failed();
    assert!(
        error.to_string().contains("as the test wants it"),
        "{error}"
    );
    let mut heard = std::iter::from_fn(|| peer.next());
    assert!(heard.any(|kind| kind == MessageKind::Abort));
}

// C3: lost before HelloAck, and nobody else is there.
#[test]
fn a_daemon_that_is_left_alone_warms_up_all_the_same() {
    let (mut house, mut peer) = house();
    house.hear(&mut peer, MessageKind::Hello);
    drop(peer);
    let warming = house.until_warming();
    house.until_it_has_the_lock();
    warming.stand_by();
    house.until_begun().announce(Readiness::healthy());
    assert!(matches!(house.step(), Step::Serve(_)));

    let (mut house, peer) = self::house();
    drop(peer);
    drop(house.until_warming());
    house.until_it_has_failed();
}

/// Somebody may find the path before the loop has an incumbent.
#[test]
fn a_peer_that_is_earlier_than_the_incumbent_is_not_forgotten() {
    let (mut house, mut peer, warming) = begun_too_early();
    warming.stand_by();
    house.until_begun().announce(Readiness::healthy());
    let Step::Serve(serving) = house.step() else {
        panic!("it is ready");
    };
    let mut early = Peer {
        stream: UnixStream::connect(house.dir.path().join("control")).unwrap(),
        version: 1,
        heard: Vec::new(),
    };
    early.stream.set_nonblocking(true).unwrap();
    for _ in 0..3 {
        assert!(house.turn().unwrap().is_none());
    }
    house.hear(&mut peer, MessageKind::Ready);
    let mut incumbent = house.succession.into_incumbent(serving);
    let mut events = Events::with_capacity(4);
    while early.next() != Some(MessageKind::Hello) {
        assert!(incumbent.turn().unwrap().is_none());
        let timeout = incumbent.timeout().unwrap_or(LOOK).min(LOOK);
        house.poll.poll(&mut events, Some(timeout)).unwrap();
        for event in &events {
            incumbent.ready(event);
        }
    }
}
