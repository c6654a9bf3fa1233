//! The control path: how it gets into place, whose it is, and who is let in.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use handoff_core::op::PathOwner;
use handoff_std::host::control::{self, PATH_LIMIT, check_path, knock};
use handoff_std::host::{Accept, ControlError, ControlListener, Process};
use rustix::io::FdFlags;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Leave a socket file that nobody listens on.
fn abandon(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
}

#[test]
fn staged_under_another_name_and_renamed_into_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let staged = ControlListener::stage(&path).unwrap();
    assert!(!path.exists());
    let [temp] = &names(dir.path())[..] else {
        panic!("one temporary name")
    };
    let mode = fs::metadata(dir.path().join(temp))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut listener = staged.publish().unwrap();
    assert_eq!(names(dir.path()), ["p"]);
    assert_eq!(listener.file().path(), path);
    assert_eq!(listener.file().owner().unwrap(), PathOwner::Ours);
    assert!(matches!(listener.accept(&[]), Accept::WouldBlock));

    let (mut client, server) = control::connect(&path).unwrap();
    assert_eq!(server.uid, rustix::process::geteuid().as_raw());
    let Accept::Accepted(mut stream, peer) = listener.accept(&[]) else {
        panic!("not accepted")
    };
    assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
    #[cfg(target_os = "linux")]
    assert_eq!((peer.pid, server.pid), (Some(std::process::id()), peer.pid));
    for fd in [listener.as_fd(), stream.as_fd(), client.as_fd()] {
        assert!(
            rustix::io::fcntl_getfd(fd)
                .unwrap()
                .contains(FdFlags::CLOEXEC)
        );
    }
    // Neither end waits.
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    client.write_all(b"x").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 1);
}

#[test]
fn a_staged_socket_that_is_dropped_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let one = ControlListener::stage(&path).unwrap();
    let other = ControlListener::stage(&path).unwrap();
    assert_eq!(names(dir.path()).len(), 2);
    drop(one);
    other.publish().unwrap();
    assert_eq!(names(dir.path()), ["p"]);
}

#[test]
fn a_successor_takes_over_and_the_incumbent_leaves_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let incumbent = ControlListener::bind(&path).unwrap();
    let mut successor = ControlListener::bind(&path).unwrap();
    assert_eq!(incumbent.file().owner().unwrap(), PathOwner::Theirs);
    assert_eq!(knock(&path).unwrap(), PathOwner::Theirs);
    assert_eq!(successor.file().owner().unwrap(), PathOwner::Ours);
    assert!(!incumbent.file().unlink_if_ours().unwrap());
    drop(incumbent);
    let _client = control::connect(&path).unwrap();
    assert!(matches!(successor.accept(&[]), Accept::Accepted(..)));
    assert!(successor.file().unlink_if_ours().unwrap());
    assert_eq!(successor.file().owner().unwrap(), PathOwner::Nobody);
    assert_eq!(knock(&path).unwrap(), PathOwner::Nobody);
    assert!(!successor.file().unlink_if_ours().unwrap());
    assert!(names(dir.path()).is_empty());
}

#[test]
fn only_sockets_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    abandon(&path);
    let mut listener = ControlListener::bind(&path).unwrap();
    assert!(matches!(listener.accept(&[]), Accept::WouldBlock));

    let staged = ControlListener::stage(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    assert_eq!(listener.file().owner().unwrap(), PathOwner::Nobody);
    let error = ControlListener::stage(&path).unwrap_err();
    assert!(matches!(error, ControlError::NotASocket { .. }), "{error}");
    // The file came after the staging: the staged socket is given back, and good for another try.
    let (staged, error) = *staged.publish().unwrap_err();
    assert!(matches!(error, ControlError::NotASocket { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();
    let listener = staged.publish().unwrap();
    assert_eq!(listener.file().owner().unwrap(), PathOwner::Ours);
    assert_eq!(names(dir.path()), ["p"]);
}

#[test]
fn what_dead_processes_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let dead = i32::MAX;
    assert_eq!(Process::of(dead.unsigned_abs()), None);
    let parent = std::os::unix::process::parent_id();
    let kept = [
        format!("p.{parent}.0"),
        format!("other.{dead}.0"),
        format!("p.{dead}"),
        format!("p.{dead}.x"),
        format!("p.+{dead}.1"),
    ];
    for name in &kept {
        abandon(&dir.path().join(name));
    }
    fs::write(dir.path().join(format!("p.{dead}.7")), "not a socket").unwrap();
    abandon(&dir.path().join(format!("p.{dead}.0")));
    abandon(&dir.path().join(format!("p.{dead}.12")));
    let _listener = ControlListener::bind(&path).unwrap();
    let mut expected = [&kept[..], &["p".into(), format!("p.{dead}.7")]].concat();
    expected.sort();
    assert_eq!(names(dir.path()), expected);
}

#[test]
fn lengths_are_found_wrong_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let fill = |length: usize| {
        let start = dir.path().as_os_str().len() + 1;
        dir.path().join("x".repeat(length - start))
    };
    let longest = fill(PATH_LIMIT);
    check_path(&longest).unwrap();
    let listener = ControlListener::bind(&longest).unwrap();
    control::connect(&longest).unwrap();
    drop(listener);

    let error = ControlListener::stage(&fill(PATH_LIMIT + 1)).unwrap_err();
    assert!(matches!(error, ControlError::TooLong { length, .. } if length == PATH_LIMIT + 1));
    let text = error.to_string();
    assert!(text.contains(&PATH_LIMIT.to_string()), "{text}");
    assert_eq!(names(dir.path()).len(), 1);
    for path in ["/", "..", "/tmp/..", "", "/tmp/x/"] {
        let error = check_path(Path::new(path)).unwrap_err();
        assert!(
            matches!(error, ControlError::NoName { .. }),
            "{path}: {error}"
        );
    }
}

#[test]
fn directories_that_do_not_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = ControlListener::bind(&dir.path().join("absent/p")).unwrap_err();
    assert!(matches!(error, ControlError::NoDirectory { .. }), "{error}");
    fs::write(dir.path().join("file"), "").unwrap();
    let error = ControlListener::bind(&dir.path().join("file/p")).unwrap_err();
    assert!(matches!(error, ControlError::NoDirectory { .. }), "{error}");
    let error = ControlListener::bind(&PathBuf::from("/proc/p")).unwrap_err();
    assert!(error.to_string().contains("/proc/p"), "{error}");
}

#[test]
fn connecting_never_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let error = control::connect(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    abandon(&path);
    let error = control::connect(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    // A listener that does not accept: its queue fills up, and then there is an error, not a wait.
    let listener = ControlListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    let mut queued = Vec::new();
    let error = loop {
        match control::connect(&path) {
            Ok(connected) => queued.push(connected),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(!queued.is_empty() && queued.len() < 10);
}

/// Only root can become somebody else, so this test says nothing to others.
#[cfg(target_os = "linux")]
#[test]
fn strangers_are_refused_unless_allowed() {
    const STRANGER: u32 = 54321;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let mut listener = ControlListener::bind(&path).unwrap();
    // Otherwise the file's mode would keep a stranger out.
    for (path, mode) in [(dir.path(), 0o755), (&path, 0o666)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    // On Linux a thread has its own user id, and this one ends with it.
    let connect_as_stranger = || {
        let path = path.clone();
        std::thread::spawn(move || {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(STRANGER)).unwrap();
            control::connect(&path).unwrap().0
        })
        .join()
        .unwrap()
    };
    let mut client = connect_as_stranger();
    assert!(matches!(
        listener.accept(&[]),
        Accept::Refused { uid: STRANGER }
    ));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    let _client = connect_as_stranger();
    let Accept::Accepted(_, peer) = listener.accept(&[STRANGER]) else {
        panic!("an allowed user was refused")
    };
    assert_eq!(peer.uid, STRANGER);
}
