//! The work inside the pause, counted and not timed: system calls and frames from the moment at which the
//! incumbent has drained, and so acknowledged its last write, to the successor's Ready.
//!
//! What clients and the thread that serves them do is not counted; what the daemon does in seal and open is: it
//! flushes and closes one file, and opens and reads it, in seven calls.

use std::path::PathBuf;

use handoff_model_tests::pause::{Calls, Contender, Series, has_strace};

/// Calls that come and go with the scheduler, the allocator and the profile of the build, and are not held
/// against anybody.
const WHIMS: &[&str] = &[
    "fcntl",
    "futex",
    "sched_yield",
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    "brk",
    "prctl",
];

/// What has no place in the pause: processes, threads, sockets and names of files that come and go.
const LOUD: &[&str] = &[
    "clone",
    "clone3",
    "fork",
    "vfork",
    "execve",
    "socket",
    "socketpair",
    "bind",
    "listen",
    "connect",
    "mkdir",
    "rename",
    "unlink",
    "unlinkat",
    "fsync",
    "fdatasync",
    "ftruncate",
    "nanosleep",
    "clock_nanosleep",
];

/// Drained, `SealRequest`, `SealComplete`, Begin, Ready.
const FRAMES: [u8; 5] = [3, 4, 6, 8, 9];

/// The calls of the whole pause, and those to Ready.
fn traced(on: Contender) -> Option<(Calls, Calls)> {
    if !has_strace() {
        eprintln!("skipped: strace is not installed, or may not trace here");
        return None;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let series = Series {
        program: PathBuf::from(env!("CARGO_BIN_EXE_pause-bench")),
        dir: dir.path().to_path_buf(),
        real_time: false,
    };
    Some(series.trace(on).expect("a handoff"))
}

/// Holds the pause of a handoff against a bound of calls, and of threads that are started.
fn assert_quiet(on: Contender, bound: u64, threads: u64) {
    // What the scheduler adds is not the library's: the least of some counts is.
    let mut least = u64::MAX;
    for _ in 0..3 {
        let Some(counted) = count(on, threads) else {
            return;
        };
        least = least.min(counted);
        if least <= bound {
            return;
        }
    }
    panic!("{least} calls, not {bound}");
}

/// How many calls there were to Ready. What must not be there at all is looked for as well.
fn count(on: Contender, threads: u64) -> Option<u64> {
    let (pause, calls) = traced(on)?;
    // A machine that takes all the memory of its links at once takes 16 or more.
    let taken = pause.of(&["mmap"]);
    assert!(taken <= 4, "memory is taken {taken} times: {pause:#?}");
    let messages: Vec<u8> = calls.frames.iter().map(|frame| frame.message).collect();
    assert_eq!(messages, FRAMES, "{calls:#?}");
    assert_eq!(calls.flushes, 0, "{calls:#?}");
    assert!(calls.of(&["clone3"]) <= threads, "{calls:#?}");
    // The flush of the daemon's own seal.
    let loud = calls.of(LOUD) - calls.of(&["clone3"]);
    assert_eq!(loud, 1, "{calls:#?}");
    let counted = calls.total() - calls.of(WHIMS);
    println!(
        "{counted} calls, memory taken {taken} times: {:?}",
        calls.by_name
    );
    Some(counted)
}

#[test]
fn the_pause_on_threads_holds_more_than_it_did() {
    // Counted: 36, each time. A thread that finds another at the machine rings a bell instead, which is three.
    assert_quiet(Contender::Std, 42, 0);
}

#[test]
fn the_pause_on_tokio_holds_more_than_it_did() {
    // Counted: 52 to 59, since the runtime looks at its sockets once more or once less. It may start a thread for
    // the daemon's own opening, when the one that it had is gone.
    assert_quiet(Contender::Tokio, 66, 1);
}

#[test]
fn the_pause_on_mio_holds_more_than_it_did() {
    // Counted: 49 to 51. Each answer rings the loop's own bell, and each edge is looked at until nothing is left.
    assert_quiet(Contender::Mio, 56, 0);
}

/// The counting sees what there is to be seen.
#[test]
fn the_pause_of_the_published_crate_is_quiet() {
    if let Some((_, calls)) = traced(Contender::V1) {
        assert!(calls.flushes >= 6, "{calls:#?}");
        assert!(calls.of(&["clone", "clone3"]) >= 1, "{calls:#?}");
    }
}
