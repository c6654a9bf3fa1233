//! Keeps the processors from going to sleep, by work that anything else is done before.
//!
//! Under strace some calls stop twice for it, and every stop wakes a processor; on one that has slept through
//! a slow flush that takes far longer. So what would be compared is how deep the processors slept.

use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;

/// As long as it is there.
pub(super) struct Awake(Vec<Child>);

impl Awake {
    /// One process for each processor, in the class of the idle.
    pub(super) fn keep() -> Self {
        let busy = || {
            Command::new("chrt")
                .args(["-i", "0", "sh", "-c", "while :; do :; done"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        };
        let processors = available_parallelism().map_or(1, usize::from);
        // Where there is no such class, they sleep.
        Self((0..processors).filter_map(|_| busy().ok()).collect())
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that could not go on has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
