//! What a configuration is held against beside its own text: the machine it is for. Looked at, never
//! changed.

use std::fs;
use std::io;
use std::path::Path;

use handoff_std::SpawnSpec;
use handoff_std::host::User;
use rustix::process::{Resource, getrlimit};

/// What has to be known of a machine.
pub trait Machine {
    /// Whether we are root there, and may become another user.
    fn is_root(&self) -> bool;

    /// The user with this name or number, if there is one.
    ///
    /// # Errors
    /// The system's, when the user database cannot be read.
    fn user(&self, name: &str) -> io::Result<Option<User>>;

    /// Whether this program can be run.
    ///
    /// # Errors
    /// Why not, in words.
    fn program(&self, path: &Path) -> Result<(), String>;

    /// How many descriptors a process may have at most; `None` if that is not limited.
    fn descriptors(&self) -> Option<u64>;

    /// Whether something is there, and whether it is a directory.
    fn directory(&self, path: &Path) -> Option<bool>;
}

/// The machine we run on.
#[derive(Debug, Clone, Copy)]
pub struct ThisMachine;

impl Machine for ThisMachine {
    fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    fn user(&self, name: &str) -> io::Result<Option<User>> {
        User::find(name)
    }

    fn program(&self, path: &Path) -> Result<(), String> {
        let spec = SpawnSpec {
            binary: path.into(),
            ..SpawnSpec::default()
        };
        spec.check().map_err(|error| error.to_string())
    }

    fn descriptors(&self) -> Option<u64> {
        getrlimit(Resource::Nofile).maximum
    }

    fn directory(&self, path: &Path) -> Option<bool> {
        fs::metadata(path).ok().map(|found| found.is_dir())
    }
}
