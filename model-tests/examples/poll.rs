//! A daemon on the port to poll(2): counts its visitors, durably, and can be replaced while it does.
//!
//! ```sh
//! mkdir -p /tmp/counter
//! cargo run -p handoff-model-tests --example poll -- /tmp/counter/control /tmp/counter 127.0.0.1:8080
//! ```
//!
//! Under a supervisor it takes the listener that is handed to it, and needs no address.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs, thread};

use handoff_core::{IncumbentConfig, SuccessorConfig};
use handoff_model_tests::ports::poll::Poll;
use handoff_std::host::operations::{Post, Startable};
use handoff_std::host::{Clock, Inherited, LockKeeper, roles};
use handoff_std::{DrainReport, Drainable, HookContext, HookError, Readiness, SealReport};

/// The count is `None` while another process may be the writer.
struct Counter {
    file: PathBuf,
    count: Mutex<Option<u64>>,
}

impl Counter {
    fn set(&self, count: Option<u64>) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) = count;
    }

    fn load(&self) {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        self.set(Some(text.trim().parse().unwrap_or(0)));
    }

    /// Nobody is let in while the count is another's.
    fn serve(&self, door: &TcpListener) -> Result<(), HookError> {
        loop {
            let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = &mut *count {
                door.set_nonblocking(true)?;
                if let Ok((mut visitor, _)) = door.accept() {
                    *count += 1;
                    let new = self.file.with_extension("new");
                    fs::write(&new, count.to_string())?;
                    fs::rename(&new, &self.file)?;
                    writeln!(visitor, "{count}")?;
                }
            }
            drop(count);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drainable for Counter {
    fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        self.set(None);
        Ok(DrainReport::CLEAN)
    }

    fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        Ok(SealReport::default())
    }

    fn resume(&self) -> Result<(), HookError> {
        self.load();
        Ok(())
    }
}

impl Startable for Counter {
    fn warm_up(&self, _: &HookContext) -> Result<(), HookError> {
        Ok(())
    }

    fn open(&self, _: &HookContext) -> Result<Readiness, HookError> {
        self.load();
        Ok(Readiness::healthy())
    }
}

fn main() -> Result<(), HookError> {
    let mut inherited = Inherited::from_env()?; // first of all, while there is one thread
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let (Some(control), Some(data)) = (args.next(), args.next()) else {
        return Err("usage: poll CONTROL_PATH DATA_DIRECTORY [ADDRESS]".into());
    };
    let name = inherited.listeners.names().next().map(str::to_owned);
    let door = match name {
        Some(name) => inherited.listeners.take_tcp(&name)?,
        None => None,
    };
    let door = match (door, args.next()) {
        (Some(door), _) => door,
        (None, Some(address)) => TcpListener::bind(address.to_string_lossy().as_ref())?,
        (None, None) => return Err("no listener was inherited, and no address was given".into()),
    };
    let counter = Arc::new(Counter {
        file: data.join("count"),
        count: Mutex::new(None),
    });
    let visitors = Arc::clone(&counter);
    thread::spawn(move || visitors.serve(&door).map_err(|error| eprintln!("{error}")));

    let outcome = match inherited.successor_channel {
        None => {
            let post = Post::take(Arc::clone(&counter), control, &data, Clock::new())?;
            counter.load();
            roles::incumbent(&Poll, post, &IncumbentConfig::default())?
        }
        Some(channel) => {
            let post = Post::new(counter, control, LockKeeper::new(&data), Clock::new());
            let (times, later) = (SuccessorConfig::default(), IncumbentConfig::default());
            roles::successor(&Poll, channel, post, &times, &later)?
                .map_err(|why| why.to_string())?
        }
    };
    println!("{outcome}");
    Ok(())
}
