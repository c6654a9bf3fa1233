//! A daemon in one page: counts its visitors, durably, and can be replaced while it does.

use std::error::Error;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::{env, fs, thread, time::Duration};

use handoff_std::{
    DataDirLock, DrainReport, Drainable, HookContext, HookError, Incumbent, Readiness, Role,
    SealReport, SuccessorSetup, detect_role,
};

/// The count is `None` while another process may be the writer.
struct Counter(PathBuf, Mutex<Option<u64>>);

impl Counter {
    fn load(&self) -> u64 {
        fs::read_to_string(&self.0)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    fn serve(&self, listener: &TcpListener) -> Result<(), Box<dyn Error>> {
        listener.set_nonblocking(true)?; // only now: until Begin the incumbent uses it as well
        loop {
            let mut count = self.1.lock().unwrap();
            if let Some(count) = &mut *count
                && let Ok((mut visitor, _)) = listener.accept()
            {
                *count += 1;
                let new = self.0.with_extension("new"); // a kill leaves the old file or the new one
                fs::write(&new, count.to_string())?;
                fs::rename(&new, &self.0)?;
                writeln!(visitor, "{count}")?;
            } else {
                drop(count); // nobody is waiting, or it is not ours to count
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

struct Hooks(Arc<Counter>);

impl Drainable for Hooks {
    fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        self.0.1.lock().unwrap().take(); // visitors wait in the kernel's queue from now on
        Ok(DrainReport {
            open_connections: 0,
            accept_closed: true,
        })
    }

    fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        Ok(SealReport {
            revisions: vec![self.0.load()],
            ..SealReport::default()
        })
    }

    fn resume(&self) -> Result<(), HookError> {
        *self.0.1.lock().unwrap() = Some(self.0.load());
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let role = detect_role()?; // first of all, while there is one thread
    let (control, data) = (
        env::args().nth(1).ok_or("control?")?,
        env::args().nth(2).ok_or("data?")?,
    );
    let counter = Arc::new(Counter(
        PathBuf::from(&data).join("count"),
        Mutex::new(None),
    ));
    let (listener, incumbent) = match role {
        Role::ColdStart(mut inherited) => {
            let incumbent = Incumbent::bind(&control, DataDirLock::acquire(data.as_ref())?)?;
            let listener = inherited.take_tcp("main")?;
            *counter.1.lock().unwrap() = Some(counter.load());
            (listener, incumbent)
        }
        Role::Successor(successor) => {
            let standing = successor.handshake(SuccessorSetup::new(&control, &data))?;
            let mut begun = standing.wait_for_begin()?; // the incumbent has sealed; the lock is ours
            let listener = begun.take_tcp("main")?;
            *counter.1.lock().unwrap() = Some(counter.load());
            (
                listener,
                begun.announce(Readiness {
                    healthy: true,
                    ..Readiness::default()
                })?,
            )
        }
    };
    let listener = listener.ok_or("no listener named main")?;
    let hooks = Hooks(Arc::clone(&counter));
    thread::spawn(move || counter.serve(&listener).expect("serving"));
    println!("{:?}", incumbent.serve(hooks)?);
    Ok(())
}
