//! The daemon's hooks, in the subject's process: each call is told to the kit, which says how it ends.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use handoff_std::{DrainReport, Progress, Readiness, SealReport, Snapshot};

/// How often a hook looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(5);

/// How far a seal has come when the kit wants it to say so.
const HALF_WAY: Progress = Progress {
    sealed: 1,
    total: 2,
    revision: 7,
};

/// The hooks of a daemon under test. An adapter calls each when its machine asks for it; a call blocks until the kit
/// has answered, and panics if the kit says so.
///
/// `stop` says whether the hook has been asked to stop early; it is looked at again and again.
#[derive(Debug, Clone)]
pub struct Daemon {
    stage: PathBuf,
}

impl Daemon {
    pub(super) const fn new(stage: PathBuf) -> Self {
        Self { stage }
    }

    /// Get ready as far as it goes without the lock.
    ///
    /// # Errors
    /// What the kit wants to have gone wrong.
    pub fn warm_up(&self, stop: impl Fn() -> bool) -> Result<(), String> {
        self.call("warm-up", &stop).map(drop)
    }

    /// Open the data.
    ///
    /// # Errors
    /// What the kit wants to have gone wrong.
    pub fn open(&self, stop: impl Fn() -> bool) -> Result<Readiness, String> {
        let healthy = self.call("open", &stop)? != "ill";
        Ok(Readiness {
            listening_on: vec!["door".into()],
            healthy,
            revisions: vec![7],
        })
    }

    /// Stop accepting writes.
    ///
    /// # Errors
    /// What the kit wants to have gone wrong.
    pub fn drain(&self, stop: impl Fn() -> bool) -> Result<DrainReport, String> {
        self.call("drain", &stop)?;
        Ok(DrainReport {
            open_connections: 3,
            accept_closed: true,
        })
    }

    /// Close the writer. `progress` is told how far that has come.
    ///
    /// # Errors
    /// What the kit wants to have gone wrong.
    pub fn seal(&self, progress: impl Fn(Progress)) -> Result<SealReport, String> {
        self.call_with("seal", &|| false, &progress)?;
        Ok(SealReport {
            revisions: vec![7],
            fingerprint: [1; 32],
        })
    }

    /// Serve again, under this generation of the lock.
    ///
    /// # Errors
    /// What the kit wants to have gone wrong.
    pub fn resume(&self, generation: u64) -> Result<(), String> {
        let what = format!("resume, generation {generation}");
        self.call(&what, &|| false).map(drop)
    }

    /// Nobody will come back.
    ///
    /// # Errors
    /// What the kit wants to have gone wrong.
    pub fn committed(&self) -> Result<(), String> {
        self.call("committed", &|| false).map(drop)
    }

    /// How it is. The kit does not answer this one: it may come at any time.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            open_connections: 3,
            revisions: vec![7],
        }
    }

    fn call(&self, what: &str, stop: &dyn Fn() -> bool) -> Result<String, String> {
        self.call_with(what, stop, &|_| {})
    }

    fn call_with(
        &self,
        what: &str,
        stop: &dyn Fn() -> bool,
        progress: &dyn Fn(Progress),
    ) -> Result<String, String> {
        let mut stage = UnixStream::connect(&self.stage).map_err(|e| e.to_string())?;
        stage
            .write_all(format!("call {what}\n").as_bytes())
            .map_err(|e| e.to_string())?;
        stage
            .set_read_timeout(Some(LOOK))
            .map_err(|e| e.to_string())?;
        let mut told = false;
        let mut reader = BufReader::new(stage);
        let mut answer = String::new();
        loop {
            match reader.read_line(&mut answer) {
                Ok(_) if answer == "progress\n" => {
                    progress(HALF_WAY);
                    answer.clear();
                }
                Ok(_) if answer.ends_with('\n') => break,
                Ok(_) => return Err("the kit has gone".into()),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => return Err(e.to_string()),
            }
            if !told && stop() {
                told = true;
                let _ = reader.get_mut().write_all(b"told to stop\n");
            }
        }
        match answer.trim_end() {
            "fail" => Err("as the kit wants it".into()),
            "panic" => std::panic::panic_any("as the kit wants it"),
            answer => Ok(answer.to_owned()),
        }
    }
}
