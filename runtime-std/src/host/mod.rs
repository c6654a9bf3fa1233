//! The Unix things that every adapter needs, once: nothing here knows the protocol's messages or an
//! event loop, and nothing here waits unless its name says so.
//!
//! | file | what it holds |
//! |---|---|
//! | [`lock`] | the writer lock L with its pidfile hint and its generation |
//! | [`control`] | the control path P: staged, published, accepted from, connected to |
//! | [`descriptors`] | descriptors that travel over a Unix socket |
//! | [`peer`] | who is at the other end of a Unix socket |
//! | [`inherit`] | what a process finds in its environment when it is born |
//! | [`spawn`] | the other end of the same convention: how a process is born |
//! | [`listen`] | the named listeners that a supervisor holds |
//! | [`process`] | a process that cannot be mistaken for a later one with the same pid |
//! | [`journal`] | the file that lets a restarted supervisor know what was in flight |
//! | [`user`] | the user that a daemon runs as |
//! | [`clock`] | monotonic time that reads as Unix time |
//!
//! Linux is where all of it runs and is tested. What only Linux has (pidfds, `/proc`) sits in
//! [`process`] and [`journal::boot_id`], each with a portable second side.

pub mod clock;
pub mod control;
pub mod descriptors;
pub mod inherit;
pub mod journal;
pub mod listen;
pub mod lock;
pub mod peer;
pub mod process;
mod socket;
pub mod spawn;
pub mod user;

pub use clock::Clock;
pub use control::{Accept, ControlError, ControlListener, StagedControl};
pub use inherit::{InheritError, Inherited, InheritedListeners, KeptListener, kept_listeners};
pub use journal::{JournalFile, boot_id};
pub use listen::{ListenAddress, ListenError, ListenOptions, ListenSpec, NamedListener};
pub use lock::{DataDirLock, LockError};
pub use peer::{PeerCredentials, uid_allowed};
pub use process::{Process, Signal, Watch, Watching};
pub use spawn::{SpawnError, SpawnSpec, Spawned};
pub use user::User;
