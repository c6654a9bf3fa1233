//! A daemon in one page: counts its visitors, durably, and can be replaced while it does.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::{env, error::Error, fs, net::TcpListener, path::PathBuf, thread, time::Duration};

use handoff_std::{DataDirLock, Incumbent, Readiness, Role, SuccessorSetup, detect_role};
use handoff_std::{DrainReport, Drainable, HookContext, HookError, SealReport};

/// The count is `None` while another process may be the writer.
struct Counter(PathBuf, Mutex<Option<u64>>);

impl Counter {
    fn load(&self) {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        *self.1.lock().unwrap() = Some(text.parse().unwrap_or(0));
    }

    fn serve(&self, door: &TcpListener) -> Result<(), Box<dyn Error>> {
        door.set_nonblocking(true)?; // only now: until Begin the incumbent uses it as well
        loop {
            if let Some(count) = &mut *self.1.lock().unwrap()
                && let Ok((mut visitor, _)) = door.accept()
            {
                *count += 1;
                let new = self.0.with_extension("new"); // a kill leaves the old file or the new one
                fs::write(&new, count.to_string())?;
                fs::rename(&new, &self.0)?;
                writeln!(visitor, "{count}")?;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drainable for Counter {
    fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        self.1.lock().unwrap().take(); // visitors wait in the kernel's queue from now on
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

fn main() -> Result<(), Box<dyn Error>> {
    let role = detect_role()?; // first of all, while there is one thread
    let args: Vec<PathBuf> = env::args_os().map(PathBuf::from).collect();
    let [_, control, data] = &args[..] else {
        return Err("usage: counter CONTROL-SOCKET DATA-DIR".into());
    };
    let counter = Arc::new(Counter(data.join("count"), Mutex::default()));
    let (door, incumbent) = match role {
        Role::ColdStart(mut inherited) => {
            let incumbent = Incumbent::bind(control, DataDirLock::acquire(data)?)?;
            counter.load();
            (inherited.take_tcp("main")?, incumbent)
        }
        Role::Successor(successor) => {
            let warming = successor.handshake(SuccessorSetup::new(control, data))?;
            let standing_by = warming.stand_by()?; // warm: nothing of the incumbent was touched yet
            let mut begun = standing_by.wait_for_begin()?; // it has sealed, the lock is ours
            counter.load();
            let door = begun.take_tcp("main")?;
            (door, begun.announce(Readiness::healthy())?)
        }
    };
    let (serving, door) = (Arc::clone(&counter), door.ok_or("no listener named main")?);
    thread::spawn(move || serving.serve(&door).expect("serving"));
    println!("{:?}", incumbent.serve(counter)?);
    Ok(())
}
