//! The writer lock between processes. The other process is this test binary again, told its part by
//! a variable: it runs `part` alone, which does nothing in an ordinary run.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use handoff_std::host::lock::{holder_hint, lock_is_free};
use handoff_std::host::{DataDirLock, LockError};

const DATA_DIR: &str = "HOST_LOCK_DATA_DIR";

/// In the other process: hold the lock until killed or until standard input ends.
#[test]
fn part() {
    let Ok(data_dir) = env::var(DATA_DIR) else {
        return;
    };
    let lock = DataDirLock::acquire(Path::new(&data_dir)).unwrap();
    println!("holding {}", lock.generation());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(lock);
}

/// Another process that holds the lock.
struct Other {
    child: Child,
    generation: u64,
    /// Kept open, since the test harness in there goes on printing.
    _stdout: BufReader<ChildStdout>,
}

impl Other {
    fn holding(data_dir: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "part", "--nocapture"])
            .env(DATA_DIR, data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let generation = stdout
            .by_ref()
            .lines()
            .map(|line| line.unwrap())
            .find_map(|line| line.split_once("holding ")?.1.parse().ok())
            .unwrap();
        Self {
            child,
            generation,
            _stdout: stdout,
        }
    }
}

fn lock_file(data_dir: &Path) -> String {
    fs::read_to_string(data_dir.join(".handoff.lock")).unwrap()
}

#[test]
fn held_elsewhere_until_the_holder_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut other = Other::holding(dir.path());
    assert_eq!(other.generation, 1);
    let pid = other.child.id();
    assert!(!lock_is_free(dir.path()).unwrap());
    let error = DataDirLock::acquire(dir.path()).unwrap_err();
    assert!(matches!(error, LockError::Held { holder, .. } if holder == Some(pid)));
    let text = error.to_string();
    assert!(text.contains(&format!("held by pid {pid}")), "{text}");
    assert!(
        text.contains("stop it or choose another directory"),
        "{text}"
    );

    other.child.kill().unwrap();
    other.child.wait().unwrap();
    assert!(lock_is_free(dir.path()).unwrap());
    // What a killed holder leaves: its pidfile, overwritten by the next, and its generation.
    assert_eq!(holder_hint(dir.path()), Some(pid));
    let lock = DataDirLock::acquire(dir.path()).unwrap();
    assert_eq!(lock.generation(), 2);
    assert_eq!(holder_hint(dir.path()), Some(std::process::id()));
}

#[test]
fn a_holder_that_leaves_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut other = Other::holding(dir.path());
    drop(other.child.stdin.take());
    assert!(other.child.wait().unwrap().success());
    assert!(lock_is_free(dir.path()).unwrap());
    assert_eq!(holder_hint(dir.path()), None);
}

#[test]
fn one_process_can_take_it_again_and_never_twice() {
    let dir = tempfile::tempdir().unwrap();
    let first = DataDirLock::acquire(dir.path()).unwrap();
    assert!(matches!(
        DataDirLock::acquire(dir.path()),
        Err(LockError::Held { .. })
    ));
    assert_eq!(first.data_dir(), dir.path());
    first.release();
    assert_eq!(DataDirLock::acquire(dir.path()).unwrap().generation(), 2);
    assert_eq!(lock_file(dir.path()), "2\n");
}

#[test]
fn the_generation_is_read_from_the_first_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".handoff.lock");
    for (content, expected) in [
        ("", 1),
        ("41\n", 42),
        ("9", 10),
        (" 7 \n", 8),
        ("99\n1234\n", 100),
        (
            "garbage that is much longer than a number could ever be\n",
            1,
        ),
        ("-5\n", 1),
        ("99999999999999999999999\n", 1),
    ] {
        fs::write(&path, content).unwrap();
        let lock = DataDirLock::acquire(dir.path()).unwrap();
        assert_eq!(lock.generation(), expected, "{content:?}");
        assert_eq!(lock_file(dir.path()), format!("{expected}\n"));
    }
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(DataDirLock::acquire(dir.path()).unwrap().generation(), 1);
}

#[test]
fn without_a_new_generation_there_is_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".handoff.lock"), u64::MAX.to_string()).unwrap();
    let error = DataDirLock::acquire(dir.path()).unwrap_err();
    assert!(matches!(error, LockError::Generation { .. }), "{error}");
    assert!(lock_is_free(dir.path()).unwrap());
    // A disk that is full: the lock file opens and locks, and cannot be written.
    if Path::new("/dev/full").exists() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join(".handoff.lock")).unwrap();
        let error = DataDirLock::acquire(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("generation") && error.contains("room"),
            "{error}"
        );
    }
}

#[test]
fn a_pidfile_that_cannot_be_written_is_no_reason_to_fail() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".handoff.pidfile")).unwrap();
    let lock = DataDirLock::acquire(dir.path()).unwrap();
    assert_eq!(holder_hint(dir.path()), None);
    drop(lock);
    assert!(dir.path().join(".handoff.pidfile").is_dir());
}

#[test]
fn another_ones_pidfile_stays() {
    let dir = tempfile::tempdir().unwrap();
    let lock = DataDirLock::acquire(dir.path()).unwrap();
    // As a process of version 1 writes it.
    fs::write(dir.path().join("new"), "1\n").unwrap();
    fs::rename(dir.path().join("new"), dir.path().join(".handoff.pidfile")).unwrap();
    drop(lock);
    assert_eq!(holder_hint(dir.path()), Some(1));
}

#[test]
fn a_lock_that_is_passed_on_leaves_its_pidfile_to_be_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let pidfile = dir.path().join(".handoff.pidfile");
    DataDirLock::acquire(dir.path()).unwrap().pass_on();
    assert!(lock_is_free(dir.path()).unwrap());
    assert_eq!(holder_hint(dir.path()), Some(std::process::id()));

    // Whatever was there before, no more of it is left.
    fs::write(&pidfile, "99999999999\nand more\n".repeat(9)).unwrap();
    fs::write(dir.path().join(".handoff.lock"), "41\n and more").unwrap();
    let lock = DataDirLock::acquire(dir.path()).unwrap();
    let ours = format!("{}\n", std::process::id());
    assert_eq!(fs::read_to_string(&pidfile).unwrap(), ours);
    assert_eq!(lock_file(dir.path()), "42\n");
    drop(lock);
    assert!(!pidfile.exists());
}

#[test]
fn the_data_directory_is_made_or_the_error_says_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("a/b");
    assert!(lock_is_free(&data_dir).unwrap());
    assert_eq!(holder_hint(&data_dir), None);
    let lock = DataDirLock::acquire(&data_dir).unwrap();
    let mode = fs::metadata(data_dir.join(".handoff.lock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(lock);

    fs::write(dir.path().join("file"), "").unwrap();
    let error = DataDirLock::acquire(&dir.path().join("file/below")).unwrap_err();
    assert!(error.to_string().contains("file/below"), "{error}");

    // root may write anywhere but where nobody may.
    let error = DataDirLock::acquire(Path::new("/proc/handoff-test")).unwrap_err();
    assert!(error.to_string().contains("/proc/handoff-test"), "{error}");
}

#[test]
fn a_pipe_in_place_of_a_file_is_not_waited_for_by_who_looks() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let dir = tempfile::tempdir().unwrap();
    for name in [".handoff.lock", ".handoff.pidfile"] {
        mknodat(CWD, dir.path().join(name), FileType::Fifo, Mode::RWXU, 0).unwrap();
    }
    assert_eq!(holder_hint(dir.path()), None);
    assert!(lock_is_free(dir.path()).unwrap());
}
