//! What every adapter needs, once: the Unix things, and the [`engine`] that a loop is built around.
//! Nothing here knows an event loop, and nothing here waits unless its name says so.
//!
//! | file | what it holds |
//! |---|---|
//! | [`lock`] | the writer lock L with its pidfile hint and its generation |
//! | [`control`] | the control path P: staged, published, accepted from, connected to |
//! | [`seat`] | what a daemon's operations do with the two |
//! | [`descriptors`] | descriptors that travel over a Unix socket |
//! | [`peer`] | who is at the other end of a Unix socket |
//! | [`inherit`] | what a process finds in its environment when it is born |
//! | [`spawn`] | the other end of the same convention: how a process is born |
//! | [`child`] | what was started, to wait for it |
//! | [`listen`] | the named listeners that a supervisor holds |
//! | [`mode`] | the mode of a socket's file, and of no other |
//! | [`process`] | a process that cannot be mistaken for a later one with the same pid |
//! | [`journal`] | the file that lets a restarted supervisor know what was in flight |
//! | [`user`] | the user that a daemon runs as |
//! | [`calls`] | how other threads reach a loop |
//! | [`clock`] | monotonic time that reads as Unix time |
//! | [`engine`] | a machine with its sockets: all of a loop but the waiting |
//! | [`recording`] | files for `handoff replay`, when somebody asks for them |
//! | [`identity`] | what a process says in its Hello |
//! | [`operations`] | a daemon's operations, carried out one by one for a loop of one's own |
//! | [`roles`] | all three roles, for a loop of one's own |
//! | [`observer`] | calls the user's observer |
//! | [`supervise`] | a supervisor's operations, its report and its watch over a probation |
//!
//! Linux is where all of it runs and is tested. What only Linux has (pidfds, `/proc`) sits in
//! [`process`], [`mode`] and [`journal::boot_id`], each with a portable second side.

pub mod calls;
pub mod child;
pub mod clock;
pub mod control;
pub mod descriptors;
pub mod engine;
pub mod identity;
pub mod inherit;
pub mod journal;
pub mod listen;
pub mod lock;
pub mod mode;
pub mod observer;
pub mod operations;
mod panic;
pub mod peer;
pub mod process;
pub mod recording;
pub mod roles;
pub mod seat;
mod socket;
pub mod spawn;
pub mod supervise;
pub mod user;

pub use calls::{Caller, Calls};
pub use child::Child;
pub use clock::Clock;
pub use control::{Accept, ControlError, ControlFile, ControlListener, StagedControl};
pub use inherit::{InheritError, Inherited, InheritedListeners, KeptListener, kept_listeners};
pub use journal::{JournalFile, boot_id};
pub use listen::{ListenAddress, ListenError, ListenOptions, ListenSpec, NamedListener};
pub use lock::{DataDirLock, LockError, LockKeeper};
pub use observer::Observer;
pub use panic::panic_text;
pub use peer::{PeerCredentials, uid_allowed};
pub use process::{Process, Signal, Watch, Watching};
pub use recording::Recordings;
pub use seat::Seat;
pub use spawn::{SpawnError, SpawnSpec, Spawned};
pub use user::User;
