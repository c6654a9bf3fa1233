//! Both sides of a handoff for tests of the supervisor: a real incumbent on a thread of the test, and a
//! peer that says what a test has it say.

#![allow(dead_code, reason = "each test uses its part of it")]

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use handoff_std::core::IncumbentConfig;
use handoff_std::core::wire::{Hello, Message, Side, VersionRange, encode};
use handoff_std::host::descriptors;
use handoff_std::{
    Child, DataDirLock, DrainReport, Drainable, HookContext, HookError, Incumbent, IncumbentHandle,
    Retirement, SealReport, ServeError, Snapshot,
};

/// A daemon that does nothing, and counts how often it was brought back.
#[derive(Default)]
pub(crate) struct Idle {
    pub(crate) resumed: AtomicU32,
}

impl Drainable for Idle {
    fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        Ok(DrainReport::CLEAN)
    }

    fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        Ok(SealReport::default())
    }

    fn resume(&self) -> Result<(), HookError> {
        self.resumed.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            open_connections: 7,
            revisions: vec![3, 1 << 40],
        }
    }
}

/// A process of the test, which does not outlive it.
pub(crate) struct Guard(pub(crate) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An incumbent on a thread of this process.
pub(crate) struct Serving {
    pub(crate) daemon: Arc<Idle>,
    pub(crate) handle: IncumbentHandle,
    thread: JoinHandle<Result<Retirement, ServeError>>,
}

impl Serving {
    /// Serve `dir`, whose control path is `control`, speaking these versions.
    pub(crate) fn start(
        dir: &Path,
        versions: VersionRange,
        set_up: impl FnOnce(Incumbent) -> Incumbent,
    ) -> Self {
        let lock = DataDirLock::acquire(dir).unwrap();
        let times = IncumbentConfig {
            versions,
            ..IncumbentConfig::default()
        };
        let incumbent = Incumbent::bind(dir.join("control"), lock)
            .unwrap()
            .with_times(times);
        let incumbent = set_up(incumbent);
        let daemon = Arc::new(Idle::default());
        Self {
            handle: incumbent.handle(),
            thread: thread::spawn({
                let daemon = Arc::clone(&daemon);
                move || incumbent.serve(daemon)
            }),
            daemon,
        }
    }

    /// Stop it, if it has not left by itself.
    pub(crate) fn end(self) -> Retirement {
        self.handle.stop();
        self.thread.join().unwrap().unwrap()
    }

    /// Wait until it has left by itself.
    pub(crate) fn left(self) -> Retirement {
        self.thread.join().unwrap().unwrap()
    }
}

/// The daemon's end of one session, in the hands of a test.
pub(crate) struct Session {
    pub(crate) socket: UnixStream,
}

impl Session {
    /// Listen on `control`, let one peer in, and have `act` deal with it on a thread. The socket is
    /// closed when that returns.
    pub(crate) fn serve_one(
        control: &Path,
        act: impl FnOnce(&mut Self) + Send + 'static,
    ) -> JoinHandle<()> {
        let _ = std::fs::remove_file(control);
        let listener = UnixListener::bind(control).unwrap();
        thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            act(&mut Self { socket });
        })
    }

    /// Say something in a frame of this version; the descriptors go with its first byte.
    pub(crate) fn say(&mut self, version: u16, message: &Message<'_>, with: &[&dyn AsFd]) {
        let mut room = vec![0; 64 * 1024];
        let len = encode(version, message, &mut room).unwrap();
        let fds: Vec<_> = with.iter().map(|fd| fd.as_fd()).collect();
        assert_eq!(
            descriptors::send(&self.socket, &room[..len], &fds).unwrap(),
            len
        );
    }

    /// Say Hello as an incumbent.
    pub(crate) fn hello(&mut self, versions: VersionRange) {
        let hello = Hello {
            side: Side::Incumbent,
            pid: std::process::id(),
            build_id: b"by hand",
            versions,
            capabilities: 0,
        };
        self.say(1, &Message::Hello(hello), &[]);
    }

    /// Hear two frames: `HelloAck` and the question.
    pub(crate) fn hear_question(&mut self) {
        for _ in 0..2 {
            let mut len = [0; 4];
            self.socket.read_exact(&mut len).unwrap();
            let len = usize::try_from(u32::from_le_bytes(len)).unwrap();
            self.socket.read_exact(&mut vec![0; len]).unwrap();
        }
    }

    /// Say something that is no frame.
    pub(crate) fn babble(&mut self) {
        self.socket.write_all(&[0xff; 64]).unwrap();
    }

    /// Until the other side has closed.
    pub(crate) fn wait_for_end(&mut self) {
        let _ = self.socket.read_to_end(&mut Vec::new());
    }
}
