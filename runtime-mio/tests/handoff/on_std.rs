//! The same daemon with `handoff-std`, on its threads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoff_std::{
    DataDirLock, DrainReport, Drainable, HookContext, HookError, Incumbent, Readiness, Role,
    SealReport, SuccessorSetup, detect_role,
};

use crate::daemon::visit;

/// Whether it may write.
struct Counter(PathBuf, Mutex<bool>);

impl Drainable for Counter {
    fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
        *self.1.lock().unwrap() = false;
        Ok(DrainReport::CLEAN)
    }

    fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        Ok(SealReport::default())
    }

    fn resume(&self) -> Result<(), HookError> {
        *self.1.lock().unwrap() = true;
        Ok(())
    }
}

pub(crate) fn run(dir: &Path) {
    let control = dir.join("control");
    let (incumbent, door) = match detect_role().unwrap() {
        Role::ColdStart(mut listeners) => {
            let lock = DataDirLock::acquire(dir).unwrap();
            let incumbent = Incumbent::bind(&control, lock).unwrap();
            (incumbent, listeners.take_tcp("main").unwrap().unwrap())
        }
        Role::Successor(successor) => {
            let warming = successor.handshake(SuccessorSetup::new(&control, dir));
            let standing_by = warming.unwrap().stand_by().unwrap();
            let mut begun = standing_by.wait_for_begin().unwrap();
            let door = begun.take_tcp("main").unwrap().unwrap();
            (begun.announce(Readiness::healthy()).unwrap(), door)
        }
    };
    door.set_nonblocking(true).unwrap();
    let counter = Arc::new(Counter(dir.to_path_buf(), Mutex::new(true)));
    let serving = Arc::clone(&counter);
    std::thread::spawn(move || {
        loop {
            let open = serving.1.lock().unwrap();
            if *open {
                visit(&serving.0, &door);
            }
            drop(open);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    incumbent.serve(counter).unwrap();
}
