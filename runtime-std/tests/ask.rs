//! Questions to a daemon: a real one, and peers that answer in every way but the right one.

mod peer;

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use handoff_std::ask::{self, AskError, DaemonPhase};
use handoff_std::core::wire::{Message, Revisions, StatusPhase, VersionRange};
use handoff_std::core::{SupervisorConfig, Task};
use handoff_std::host::ListenSpec;
use peer::{Serving, Session};

const NOWHERE: SupervisorConfig = SupervisorConfig::new(Task::Recover(None));

fn listening(text: &str) -> handoff_std::host::NamedListener {
    text.parse::<ListenSpec>().unwrap().bind().unwrap()
}

#[test]
fn a_daemon_says_how_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path(), VersionRange::SUPPORTED, |incumbent| {
        incumbent.with_build_id(b"build 7")
    });
    let control = dir.path().join("control");
    let status = ask::status(&control).unwrap();
    assert_eq!(status.pid, std::process::id());
    assert_eq!(status.build_id, b"build 7");
    assert_eq!(status.phase, DaemonPhase::Known(StatusPhase::Serving));
    assert_eq!(status.phase.to_string(), "serving");
    assert_eq!((status.generation, status.open_connections), (1, 7));
    assert_eq!(status.revisions, [3, 1 << 40]);
    assert!(ask::status(&control).unwrap().uptime >= status.uptime);
    assert!(ask::listeners(&control).unwrap().is_empty());
    serving.end();
}

#[test]
fn a_daemon_hands_over_its_listeners() {
    let dir = tempfile::tempdir().unwrap();
    let unix = format!("admin=unix:{}", dir.path().join("admin").display());
    let kept = [
        listening("web=127.0.0.1:0"),
        listening(&unix),
        listening("web=127.0.0.1:0"),
    ];
    let expected: Vec<_> = kept
        .iter()
        .map(|kept| (kept.name.clone(), kept.address.clone()))
        .collect();
    let serving = Serving::start(dir.path(), VersionRange::SUPPORTED, |incumbent| {
        kept.into_iter().fold(incumbent, |incumbent, kept| {
            incumbent.with_kept_listener(kept.name, kept.fd)
        })
    });
    let control = dir.path().join("control");
    let got = ask::listeners(&control).unwrap();
    let found: Vec<_> = got
        .iter()
        .map(|kept| (kept.name.clone(), kept.address.clone()))
        .collect();
    assert_eq!(found, expected);
    assert!(unix.parse::<ListenSpec>().unwrap().matches(&got[1]));
    serving.end();

    // They work, and outlive the daemon's own.
    let address = got[0].address.clone();
    let door = TcpListener::from(got.into_iter().next().unwrap().fd);
    let visitor = std::net::TcpStream::connect(address).unwrap();
    let (_, from) = door.accept().unwrap();
    assert_eq!(from, visitor.local_addr().unwrap());
}

#[test]
fn version_1_has_no_answer_on_either_side() {
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("control");
    let us = std::process::id();
    let serving = Serving::start(dir.path(), VersionRange::SUPPORTED, |incumbent| incumbent);
    let limited = SupervisorConfig {
        versions: VersionRange::V1,
        ..NOWHERE
    };
    let error = ask::status_with(&control, &limited).unwrap_err();
    assert!(
        matches!(error, AskError::Version1 { pid } if pid == us),
        "{error}"
    );
    serving.end();

    // The lock of the first stays with this process.
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("control");
    let serving = Serving::start(dir.path(), VersionRange::V1, |incumbent| incumbent);
    let error = ask::listeners(&control).unwrap_err();
    assert!(
        matches!(error, AskError::Version1 { pid } if pid == us),
        "{error}"
    );
    serving.end();
}

#[test]
fn nobody_there() {
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("control");
    let error = ask::status(&control).unwrap_err();
    assert!(matches!(error, AskError::Nobody { .. }), "{error}");
    assert!(error.to_string().contains("No such file"), "{error}");

    // One that went away, and one that shows its door only.
    let session = Session::serve_one(&control, |_| {});
    let error = ask::status(&control).unwrap_err();
    assert!(matches!(error, AskError::Nobody { .. }), "{error}");
    assert!(error.to_string().contains("without a word"), "{error}");
    session.join().unwrap();
}

/// What comes of asking for the listeners when the daemon does this once it was asked.
fn listeners_from(
    control: &Path,
    answer: impl FnOnce(&mut Session) + Send + 'static,
) -> Result<Vec<handoff_std::host::NamedListener>, AskError> {
    let session = Session::serve_one(control, |session| {
        session.hello(VersionRange::SUPPORTED);
        session.hear_question();
        answer(session);
        session.wait_for_end();
    });
    let result = ask::listeners(control);
    session.join().unwrap();
    result
}

#[test]
fn silence_is_not_waited_for_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("control");
    let quick = SupervisorConfig {
        hello: Duration::from_millis(50),
        ..NOWHERE
    };
    for says_hello in [false, true] {
        let session = Session::serve_one(&control, move |session| {
            if says_hello {
                session.hello(VersionRange::SUPPORTED);
            }
            session.wait_for_end();
        });
        let error = ask::status_with(&control, &quick).unwrap_err();
        assert!(matches!(error, AskError::Late { .. }), "{error}");
        session.join().unwrap();
    }
}

#[test]
fn a_refusal_comes_in_the_daemons_words() {
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("control");
    let session = Session::serve_one(&control, |session| {
        use std::io::Read;
        session.hello(VersionRange::SUPPORTED);
        // The id of a refusal is the one that HelloAck said.
        let mut ack = [0; 4 + 2 + 2 + 17];
        session.socket.read_exact(&mut ack).unwrap();
        let id = <[u8; 16]>::try_from(&ack[ack.len() - 16..]).unwrap();
        let id = handoff_std::core::wire::HandoffId::from_bytes(id);
        let reason = "not today";
        session.say(2, &Message::Abort { id, reason }, &[]);
        session.wait_for_end();
    });
    let error = ask::listeners(&control).unwrap_err();
    assert!(
        matches!(&error, AskError::Refused(words) if words == "not today"),
        "{error}"
    );
    session.join().unwrap();
}

fn named<'a>(names: &'a [&'a str]) -> Message<'a> {
    Message::Listeners {
        names: names.into(),
    }
}

#[test]
fn answers_that_break_the_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("control");
    let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
    let too_few = listeners_from(&control, move |session| {
        session.say(2, &named(&["a", "b"]), &[&listener()]);
    });
    let too_many = listeners_from(&control, move |session| {
        session.say(2, &named(&["a"]), &[&listener(), &listener()]);
    });
    let none = listeners_from(&control, move |session| {
        session.say(2, &named(&["a"]), &[]);
    });
    let unasked = listeners_from(&control, |session| {
        let status = Message::Status {
            phase: 0,
            generation: 1,
            uptime_ms: 1,
            open_connections: 0,
            revisions: Revisions::default(),
        };
        session.say(2, &status, &[]);
    });
    let garbage = listeners_from(&control, Session::babble);
    let gone = listeners_from(&control, |session| {
        session.socket.shutdown(std::net::Shutdown::Write).unwrap();
    });
    for (answer, words) in [
        (too_few, "1 descriptor"),
        (too_many, "2 descriptors"),
        (none, "0 descriptors"),
        (unasked, "Status is not allowed"),
        (garbage, "protocol violation"),
        (gone, "closed by the peer"),
    ] {
        let error = answer.unwrap_err();
        assert!(matches!(error, AskError::Lost(_)), "{words}: {error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    }

    let session = Session::serve_one(&control, |session| {
        session.babble();
        session.wait_for_end();
    });
    let error = ask::status(&control).unwrap_err();
    assert!(matches!(error, AskError::Lost(_)), "{error}");
    session.join().unwrap();
}

#[test]
fn what_does_not_listen_is_named_and_the_rest_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("control");
    let good = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = good.local_addr().unwrap().to_string();
    let answer = listeners_from(&control, move |session| {
        let (connected, _other) = UnixStream::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        let names = ["connected", "good", "file", "a name"];
        session.say(2, &named(&names), &[&connected, &good, &file, &good]);
    });
    let error = answer.unwrap_err();
    let text = error.to_string();
    for words in [
        "`connected` does not listen",
        "`file` does not listen",
        "`a name` is not a listener's name",
    ] {
        assert!(text.contains(words), "{text}");
    }
    let AskError::Unusable { listeners, .. } = error else {
        panic!("{text}");
    };
    let kept: Vec<_> = listeners
        .iter()
        .map(|kept| (&*kept.name, &*kept.address))
        .collect();
    assert_eq!(kept, [("good", &*address)]);
}

#[test]
fn a_phase_of_a_later_version_is_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("control");
    let session = Session::serve_one(&control, |session| {
        session.hello(VersionRange { min: 1, max: 9 });
        session.hear_question();
        let status = Message::Status {
            phase: 200,
            generation: u64::MAX,
            uptime_ms: u64::MAX,
            open_connections: u32::MAX,
            revisions: Revisions::default(),
        };
        session.say(2, &status, &[]);
        session.wait_for_end();
    });
    let status = ask::status(&control).unwrap();
    assert_eq!(status.phase, DaemonPhase::Unknown(200));
    assert_eq!(status.uptime, Duration::from_millis(u64::MAX));
    assert_eq!(status.build_id, b"by hand");
    session.join().unwrap();
}
